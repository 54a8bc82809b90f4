/* A run with what people are told about it. */
#include <jansson.h>

#include "panels/scene.h"

namespace viewer
{
namespace
{

std::string last_part(const char *path)
{
    std::string text(path);
    while (text.size() > 1 && text.back() == '/')
        text.pop_back();
    return text.substr(text.find_last_of('/') + 1);
}

/* "ddpm-cache", "midpoint": how the run went; "" when the file does not tell. */
std::string sampler_name(const char *options)
{
    json_t *json = json_loads(options, 0, nullptr);
    std::string out;
    for (const char *key : {"solver", "sampler"}) {
        const char *text = json_string_value(json_object_get(json, key));
        if (text && out.empty())
            out = text;
    }
    json_decref(json);
    return out;
}

} // namespace

sheet::sheet(std::unique_ptr<run> source_run) : source(std::move(source_run)), facts(*source)
{
    describe();
}

void sheet::describe()
{
    details.clear();
    const vkdlm_trajectory_info &info = source->info();
    /* A live run is named after its model. */
    const std::string model = last_part(info.model);
    const std::string parts[] = {model == source->name() ? "" : model, sampler_name(info.sampler),
                                 *info.seed ? "seed " + std::string(info.seed) : "", info.device};
    for (const std::string &part : parts)
        if (!part.empty())
            details += (details.empty() ? "" : " \u00B7 ") + one_line(part);
}

} // namespace viewer

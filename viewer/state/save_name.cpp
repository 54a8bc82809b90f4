#include "state/save_name.h"

#include <cstdlib>
#include <cstring>

namespace viewer
{
namespace
{

const char *ending_of(save_kind kind)
{
    static const char *const endings[n_save_kinds] = {".safetensors", ".png", ".gif", ""};
    return endings[static_cast<int>(kind)];
}

bool ends_with(const std::string &text, const std::string &end)
{
    return text.size() > end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

std::string without_ending(const std::string &name)
{
    for (save_kind kind : {save_kind::recording, save_kind::png, save_kind::gif})
        if (ends_with(name, ending_of(kind)))
            return name.substr(0, name.size() - strlen(ending_of(kind)));
    return name;
}

} // namespace

std::string name_of_kind(const std::string &name, save_kind kind)
{
    return without_ending(name) + ending_of(kind);
}

std::string default_name(const std::string &run_name, save_kind kind, uint32_t step)
{
    std::string stem = without_ending(run_name);
    for (char &c : stem)
        if (c == '/' || c == ' ')
            c = '-';
    if (stem.empty())
        stem = "run";
    if (kind == save_kind::png)
        stem += "-step" + std::to_string(step);
    if (kind == save_kind::frames)
        stem += "-frames";
    return stem + ending_of(kind);
}

std::string full_path(const std::string &name)
{
    const char *home = std::getenv("HOME");
    return home && name.compare(0, 2, "~/") == 0 ? home + name.substr(1) : name;
}

} // namespace viewer

/* The settings of a recorded run. */
#include <algorithm>
#include <cstdlib>

#include "live/live.h"

namespace viewer
{
namespace
{

/* Whether a text is a list of token ids, more than one. */
bool is_id_list(const std::string &text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.size(); i++)
        n += text[i] >= '0' && text[i] <= '9' &&
             (i + 1 == text.size() || text[i + 1] < '0' || text[i + 1] > '9');
    return n > 1 && text.find_first_not_of("0123456789 ,\t\r\n") == std::string::npos;
}

/* A recording has the text that was given, but not as what. */
live_settings::given kind_of(const std::string &text, bool flow)
{
    if (!flow && text.find("[MASK") != std::string::npos)
        return live_settings::given::masks;
    return is_id_list(text) ? live_settings::given::ids : live_settings::given::prompt;
}

} // namespace

bool read_settings(const run &r, live_settings &out, std::string &error)
{
    const vkdlm_trajectory_info &info = r.info();
    const bool flow = info.kind == VKDLM_TRAJECTORY_FLOW;
    vkdlm_error err = {};
    out = {};
    vkdlm_status status = flow ? vkdlm_complete_options_read(info.sampler, &out.causal, out.temperature, &err)
                               : vkdlm_generate_options_read(info.sampler, &out.masked, &err);
    if (status) {
        error = err.message;
        return false;
    }
    out.masked.seed = out.causal.seed = strtoull(info.seed, nullptr, 10);
    out.masked.first_step = out.causal.first_token = 0;
    out.masked.first_time = 0;
    out.text = info.prompt;
    out.kind = kind_of(out.text, flow);
    if (flow)
        out.length = out.causal.max_tokens;
    else if (out.kind != live_settings::given::masks)
        out.length = info.length - static_cast<uint32_t>(std::min<uint64_t>(
                                       uint64_t{out.masked.stride} * out.masked.strides, info.length));
    return true;
}

} // namespace viewer

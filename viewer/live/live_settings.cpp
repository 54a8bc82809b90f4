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

live_settings::given guess_kind(const std::string &text, bool flow)
{
    if (!flow && text.find("[MASK") != std::string::npos)
        return live_settings::given::masks;
    return is_id_list(text) ? live_settings::given::ids : live_settings::given::prompt;
}

/* What the run began from, mask ids among it; "" when the recording does not tell. */
std::string start_ids(const run &r)
{
    const vkdlm_trajectory_info &info = r.info();
    const int32_t *ids = info.prompt_ids;
    uint32_t n = info.n_prompt_ids;
    vkdlm_trajectory_step start;
    if (info.kind == VKDLM_TRAJECTORY_MASKED && r.step(0, &start)) {
        ids = start.tokens;
        n = info.length;
    }
    std::string out;
    for (uint32_t i = 0; i < n; i++)
        out += (i ? " " : "") + std::to_string(ids[i]);
    return out;
}

void read_prompt(const run &r, live_settings &out)
{
    using given = live_settings::given;
    const vkdlm_trajectory_info &info = r.info();
    const bool flow = info.kind == VKDLM_TRAJECTORY_FLOW;
    const std::string ids = start_ids(r);
    out.text = info.prompt;
    switch (info.prompt_kind) {
    case VKDLM_PROMPT_TEXT:
        out.kind = given::prompt;
        return;
    case VKDLM_PROMPT_TEMPLATE:
        out.kind = flow ? given::prompt : given::masks;
        return;
    case VKDLM_PROMPT_IDS:
        out.kind = given::ids;
        return;
    case VKDLM_PROMPT_CHAT:
    case VKDLM_PROMPT_LINES:
        /* The run bar has no field for these. */
        if (!ids.empty()) {
            out.kind = given::ids;
            out.text = ids;
            return;
        }
        [[fallthrough]];
    default:
        out.kind = guess_kind(out.text, flow);
    }
}

} // namespace

bool read_settings(const run &r, live_settings &out, std::string &error, part_of_run part)
{
    const vkdlm_trajectory_info &info = r.info();
    const bool flow = info.kind == VKDLM_TRAJECTORY_FLOW;
    const char *sampler = info.sampler;
    uint64_t seed = strtoull(info.seed, nullptr, 10);
    if (part == part_of_run::end && info.n_resumptions) {
        sampler = info.resumptions[info.n_resumptions - 1].sampler;
        seed = info.resumptions[info.n_resumptions - 1].seed;
    }
    vkdlm_error err = {};
    out = {};
    vkdlm_status status = flow ? vkdlm_complete_options_read(sampler, &out.causal, out.temperature, &err)
                               : vkdlm_generate_options_read(sampler, &out.masked, &err);
    if (status) {
        error = err.message;
        return false;
    }
    out.masked.seed = out.causal.seed = seed;
    out.masked.first_step = out.causal.first_token = 0;
    out.masked.first_time = 0;
    read_prompt(r, out);
    if (flow)
        out.length = out.causal.max_tokens;
    else if (out.kind != live_settings::given::masks)
        out.length = info.length - static_cast<uint32_t>(std::min<uint64_t>(
                                       uint64_t{out.masked.stride} * out.masked.strides, info.length));
    return true;
}

} // namespace viewer

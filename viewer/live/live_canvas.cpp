#include "live/live_canvas.h"

#include <cstdlib>

#include <vkdlm/chat.h>

extern "C" {
#include "cli/canvas.h"
}

namespace viewer
{
namespace
{

/* Frees what the functions of C made. */
struct given {
    canvas_set set = {};
    int32_t *ids = nullptr;
    ~given()
    {
        canvas_set_deinit(&set);
        free(ids);
    }
};

vkdlm_status add(const live_settings &s, const canvas_rules &rules, given &g, vkdlm_error *err)
{
    size_t n = 0;
    if (s.text.empty() && s.kind != live_settings::given::masks)
        return canvas_add_empty(&g.set, &rules, err);
    switch (s.kind) {
    case live_settings::given::masks:
        return canvas_add_template(&g.set, &rules, s.text.data(), s.text.size(), err);
    case live_settings::given::ids:
        if (vkdlm_status status = canvas_read_ids("the ids", s.text.data(), s.text.size(), &g.ids, &n, err))
            return status;
        return canvas_add_ids(&g.set, &rules, "the ids", g.ids, n, err);
    default:
        return canvas_add_text(&g.set, &rules, "the prompt", s.text.data(), s.text.size(), err);
    }
}

} // namespace

bool make_start(const live_settings &settings, const live_model &model, std::vector<int32_t> &tokens,
                std::string &error)
{
    const vkdlm_generate_options &o = settings.masked;
    canvas_rules rules = canvas_rules_of(&model.info, model.tokenizer);
    if (rules.causal && settings.kind == live_settings::given::masks) {
        error = "masks are for models of masked diffusion; this one continues a prompt";
        return false;
    }
    if (!rules.causal && settings.length > rules.model_length) {
        error = "the length is 1 to the model's, " + std::to_string(rules.model_length) + ", not " +
                std::to_string(settings.length);
        return false;
    }
    if (!rules.causal && settings.length)
        rules.length = settings.length;
    rules.may_be_full = o.strides != 0;
    given g;
    vkdlm_error err = {};
    if (add(settings, rules, g, &err) != VKDLM_OK) {
        error = err.message;
        return false;
    }
    tokens.assign(g.set.tokens, g.set.tokens + g.set.n_tokens);
    return true;
}

} // namespace viewer

#include "flow_report.h"

#include "report.h"

static json_t *per_token(uint64_t count, uint64_t n_tokens)
{
    return n_tokens ? json_real((double)count / (double)n_tokens) : json_null();
}

json_t *flow_report_evaluations(const vkdlm_flow_counts *counts, uint64_t n_tokens, uint64_t n_draws)
{
    uint64_t n_refined = n_tokens * (n_draws ? n_draws : 1);
    return json_pack("{s:o,s:o,s:o,s:{s:o,s:o,s:o}}",                        //
                     "main", report_count(counts->main),                     //
                     "path", report_count(counts->path),                     //
                     "velocity_calls", report_count(counts->velocity_calls), //
                     "per_token", "main", per_token(counts->main, n_tokens), //
                     "path", per_token(counts->path, n_refined),             //
                     "velocity_calls", per_token(counts->velocity_calls, n_refined));
}

json_t *flow_report_solves(json_t *object, const vkdlm_flow_counts *counts)
{
    const struct {
        const char *name;
        uint64_t count;
    } entries[] = {{"accepted_steps", counts->accepted},
                   {"rejected_steps", counts->rejected},
                   {"limited_tokens", counts->limited},
                   {"refined_tokens", counts->refined}};
    for (size_t i = 0; object && i < sizeof entries / sizeof *entries; i++) {
        if (json_object_set_new(object, entries[i].name, report_count(entries[i].count))) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

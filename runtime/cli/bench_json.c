#include <math.h>
#include <string.h>

#include "bench.h"
#include "report.h"

/* Adds a member unless the value says nothing. */
static void put_number(json_t *object, const char *key, double value)
{
    if (!isnan(value))
        json_object_set_new(object, key, report_real(value));
}

static void put_text(json_t *object, const char *key, const char *text)
{
    if (*text)
        json_object_set_new(object, key, report_string(text));
}

json_t *bench_conditions_json(const bench_conditions *c)
{
    return json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:s,s:o,s:{s:o,s:b,s:o}}", //
                     "kind", "conditions",                                //
                     "device", report_string(c->device->name),            //
                     "driver", report_string(c->device->driver),          //
                     "device_type", report_string(vkdlm_device_type_name(c->device->type)), "subgroup_size",
                     report_count(c->device->subgroup_size),                        //
                     "version", report_string(vkdlm_version()),                     //
                     "time", c->time,                                               //
                     "cpus", report_count(c->n_cpus > 0 ? (uint64_t)c->n_cpus : 0), //
                     "options",                                                     //
                     "only", report_string(c->only),                                //
                     "all", (int)c->all,                                            //
                     "seconds", report_real(c->seconds));
}

json_t *bench_row_json(const vkdlm_bench_row *row)
{
    bool probe = row->kind == VKDLM_BENCH_PROBE;
    json_t *object = json_pack("{s:s,s:s}", "kind", vkdlm_bench_kind_name(row->kind), "group", row->group);
    if (!object)
        return NULL;
    put_text(object, "type", row->type);
    put_text(object, "of", row->of);
    if (row->m) {
        json_object_set_new(object, "m", report_count(row->m));
        json_object_set_new(object, "n", report_count(row->n));
        json_object_set_new(object, "k", report_count(row->k));
    }
    put_number(object, "us", row->us);
    put_number(object, "us_min", row->us_min);
    put_number(object, "us_max", row->us_max);
    json_object_set_new(object, "repeats", report_count(row->repeats));
    json_object_set_new(object, "clock", json_string(row->device_clock ? "device" : "host"));
    put_number(object, "gflops", row->gflops);
    put_number(object, "gbps", row->gbps);
    if (!probe) {
        put_text(object, "bound", row->compute_bound ? "compute" : "memory");
        put_number(object, "percent_of_limit", row->percent_of_limit);
        put_number(object, "limit_gflops", row->limit_gflops);
        put_number(object, "limit_gbps", row->limit_gbps);
        put_number(object, "seconds_per_model", row->seconds_per_model);
        put_number(object, "evaluations", row->evaluations);
        put_number(object, "seconds_per_evaluation", row->seconds_per_evaluation);
        put_number(object, "tokens_per_second", row->tokens_per_second);
    }
    put_text(object, "variant", row->variant);
    return object;
}

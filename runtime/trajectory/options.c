/* The options of a run as JSON, and back: what the metadata of a recording say of it. Tables list the
 * members; a writer first resolves the defaults in a copy. */
#include <vkdlm/trajectory.h>

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "format/json.h"
#include "trajectory.h"

enum kind { COUNT32, COUNT64, NUMBER, FLAG, NOT_FLAG /* the field says the opposite */, NAME };

/* The names of an enum, whose field is as wide as an unsigned. */
typedef struct names {
    const char *(*of)(unsigned value);
    unsigned first, end; /* those that may be written */
} names;

typedef struct member {
    const char *key;
    enum kind kind;
    size_t offset;
    const names *names;
} member;

#define MEMBERS(list) list, sizeof list / sizeof *list

static const char *sampler_of(unsigned value)
{
    return vkdlm_sampler_name((vkdlm_sampler)value);
}

static const char *schedule_of(unsigned value)
{
    return vkdlm_schedule_name((vkdlm_schedule)value);
}

static const char *solver_of(unsigned value)
{
    return vkdlm_solver_name((vkdlm_solver)value);
}

static const char *velocity_of(unsigned value)
{
    return vkdlm_velocity_name((vkdlm_velocity)value);
}

static const char *estimate_of(unsigned value)
{
    return vkdlm_estimate_name((vkdlm_estimate)value);
}

static const char *budget_of(unsigned value)
{
    return vkdlm_budget_name((vkdlm_budget)value);
}

static const names samplers = {sampler_of, 0, VKDLM_SAMPLER_COUNT};
static const names schedules = {schedule_of, 0, VKDLM_SCHEDULE_COUNT};
static const names solvers = {solver_of, 1, VKDLM_SOLVER_COUNT};
static const names velocities = {velocity_of, 1, VKDLM_VELOCITY_COUNT};
static const names estimates = {estimate_of, 1, VKDLM_ESTIMATE_COUNT};
static const names budgets = {budget_of, 0, VKDLM_BUDGET_COUNT};

#define AT(field) offsetof(vkdlm_generate_options, field)
static const member masked_members[] = {
    {"sampler", NAME, AT(sampler), &samplers},
    {"steps", COUNT32, AT(steps), NULL},
    {"schedule", NAME, AT(noise.schedule), &schedules},
    {"end_time", NUMBER, AT(end_time), NULL},
    {"final_denoise", NOT_FLAG, AT(no_final_denoise), NULL},
    {"stride", COUNT32, AT(stride), NULL},
    {"strides", COUNT32, AT(strides), NULL},
    {"temperature", NUMBER, AT(temperature), NULL},
    {"top_k", COUNT32, AT(top_k), NULL},
    {"top_p", NUMBER, AT(top_p), NULL},
    {"first_sample", COUNT64, AT(first_sample), NULL},
    {"first_step", COUNT32, AT(first_step), NULL},
    {"candidates", COUNT32, AT(n_candidates), NULL},
    {"evaluate_all", FLAG, AT(evaluate_all), NULL},
};
static const member eps_members[] = {{"schedule_eps", NUMBER, AT(noise.eps), NULL}};
static const member sigma_members[] = {{"sigma_min", NUMBER, AT(noise.sigma_min), NULL},
                                       {"sigma_max", NUMBER, AT(noise.sigma_max), NULL}};
static const member hitting_members[] = {{"first_time", NUMBER, AT(first_time), NULL}};
#undef AT

#define AT(field) offsetof(vkdlm_complete_options, field)
static const member complete_members[] = {
    {"max_tokens", COUNT32, AT(max_tokens), NULL},
    {"ignore_end", FLAG, AT(ignore_end), NULL},
    {"greedy", FLAG, AT(greedy), NULL},
    {"temperature", NUMBER, AT(temperature), NULL},
    {"top_k", COUNT32, AT(top_k), NULL},
    {"top_p", NUMBER, AT(top_p), NULL},
    {"first_sample", COUNT64, AT(first_sample), NULL},
    {"first_token", COUNT32, AT(first_token), NULL},
    {"candidates", COUNT32, AT(n_candidates), NULL},
    {"base_alone", FLAG, AT(flow.off), NULL},
};
static const member flow_members[] = {
    {"solver", NAME, AT(flow.solver), &solvers},
    {"steps", COUNT32, AT(flow.steps), NULL},
    {"end_time", NUMBER, AT(flow.end_time), NULL},
    {"velocity", NAME, AT(flow.velocity), &velocities},
    {"estimate", NAME, AT(flow.estimate), &estimates},
    {"budget", NAME, AT(flow.budget), &budgets},
    {"budget_threshold", NUMBER, AT(flow.budget_threshold), NULL},
};
static const member adaptive_members[] = {
    {"rtol", NUMBER, AT(flow.rtol), NULL},
    {"atol", NUMBER, AT(flow.atol), NULL},
    {"max_evaluations", COUNT32, AT(flow.max_evaluations), NULL},
    {"first_step", NUMBER, AT(flow.first_step), NULL},
};
static const member class_members[] = {{"class", COUNT32, AT(flow.class_id), NULL}};
static const member guidance_members[] = {{"guidance", NUMBER, AT(flow.guidance), NULL}};
#undef AT

/* ---- writing ------------------------------------------------------------------------------------------- */

static json_t *write_value(const member *m, const void *options)
{
    const unsigned char *from = (const unsigned char *)options + m->offset;
    uint32_t count32;
    uint64_t count64;
    double number;
    bool flag;
    unsigned value;
    switch (m->kind) {
    case COUNT32:
        memcpy(&count32, from, sizeof count32);
        return json_integer(count32);
    case COUNT64:
        memcpy(&count64, from, sizeof count64);
        return json_integer((json_int_t)count64);
    case NUMBER:
        memcpy(&number, from, sizeof number);
        return isfinite(number) ? json_real(number) : json_null(); /* which no run accepts */
    case NAME:
        memcpy(&value, from, sizeof value);
        return json_string(m->names->of(value));
    default:
        memcpy(&flag, from, sizeof flag);
        return json_boolean(flag == (m->kind == FLAG));
    }
}

/* False when there is no memory. */
static bool write_members(json_t *object, const member *list, size_t n, const void *options)
{
    for (size_t i = 0; i < n; i++)
        if (json_object_set_new(object, list[i].key, write_value(&list[i], options)))
            return false;
    return true;
}

char *trajectory_json_text(const json_t *value)
{
    char *text = NULL;
    for (size_t digits = 12; digits <= DBL_DECIMAL_DIG; digits++) {
        free(text);
        text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(digits));
        json_t *again = text ? json_loads(text, 0, NULL) : NULL;
        bool same = again && json_equal(value, again);
        json_decref(again);
        if (!text || same)
            break;
    }
    return text;
}

/* Takes the object over. */
static char *write_text(json_t *object, bool good)
{
    char *text = good ? trajectory_json_text(object) : NULL;
    json_decref(object);
    return text;
}

static double either(double value, double otherwise)
{
    return value != 0 ? value : otherwise;
}

char *vkdlm_generate_options_write(const vkdlm_generate_options *options)
{
    vkdlm_generate_options o = *options;
    bool hitting = o.sampler == VKDLM_SAMPLER_FIRST_HITTING;
    bool sigma = o.noise.schedule == VKDLM_SCHEDULE_LINEAR || o.noise.schedule == VKDLM_SCHEDULE_GEOMETRIC;
    o.steps = hitting ? 0 : o.steps ? o.steps : 64;
    o.end_time = hitting || o.stride ? 0 : either(o.end_time, 1e-5);
    o.temperature = either(o.temperature, 1);
    o.top_p = either(o.top_p, 1);
    o.noise.eps = either(o.noise.eps, 1e-3);
    if (o.noise.schedule == VKDLM_SCHEDULE_GEOMETRIC)
        o.noise.sigma_min = either(o.noise.sigma_min, 1e-3);
    o.noise.sigma_max = either(o.noise.sigma_max, o.noise.schedule == VKDLM_SCHEDULE_LINEAR ? 10 : 1);
    o.first_time = either(o.first_time, 1);
    json_t *object = json_object();
    bool good = object && write_members(object, MEMBERS(masked_members), &o) &&
                (sigma ? write_members(object, MEMBERS(sigma_members), &o)
                       : write_members(object, MEMBERS(eps_members), &o)) &&
                (!hitting || write_members(object, MEMBERS(hitting_members), &o));
    return write_text(object, good);
}

/* What the options leave to the model. */
static void resolve_flow(vkdlm_flow_options *o, const vkdlm_flow_info *model)
{
    o->solver = o->solver ? o->solver : model->solver ? model->solver : VKDLM_SOLVER_MIDPOINT;
    o->steps = o->steps ? o->steps : model->steps ? model->steps : 8;
    o->rtol = either(o->rtol, either(model->rtol, 1e-5));
    o->atol = either(o->atol, either(model->atol, 1e-5));
    o->max_evaluations = o->max_evaluations ? o->max_evaluations : 1000;
    o->end_time = either(o->end_time, either(model->end_time, 1));
    o->velocity = o->velocity ? o->velocity : model->velocity ? model->velocity : VKDLM_VELOCITY_CONSTANT;
    o->estimate = o->estimate ? o->estimate : model->estimate ? model->estimate : VKDLM_ESTIMATE_SAMPLE;
    if (!o->temperature)
        o->temperature = model->temperature ? model->temperature : "0";
}

static bool write_flow(json_t *object, const vkdlm_complete_options *o)
{
    const vkdlm_flow_options *f = &o->flow;
    return write_members(object, MEMBERS(flow_members), o) &&
           !json_object_set_new(object, "xhat_temperature", json_string(f->temperature)) &&
           !json_object_set_new(object, "noise_given", json_boolean(f->noise != NULL)) &&
           (!vkdlm_solver_is_adaptive(f->solver) || write_members(object, MEMBERS(adaptive_members), o)) &&
           (!f->has_class || write_members(object, MEMBERS(class_members), o)) &&
           (!f->has_guidance || write_members(object, MEMBERS(guidance_members), o));
}

char *vkdlm_complete_options_write(const vkdlm_complete_options *options, const vkdlm_flow_info *flow)
{
    vkdlm_complete_options o = *options;
    o.flow.off = o.flow.off || !flow->present;
    o.temperature = o.greedy ? 0 : either(o.temperature, 1);
    o.top_p = either(o.top_p, 1);
    resolve_flow(&o.flow, flow);
    json_t *object = json_object();
    bool good = object && write_members(object, MEMBERS(complete_members), &o) &&
                !json_object_set_new(object, "kv_type", json_string(o.cache_f16 ? "f16" : "f32")) &&
                (o.flow.off || write_flow(object, &o));
    return write_text(object, good);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static vkdlm_status read_name(const json_scope *scope, const char *key, const names *list, unsigned *out,
                              vkdlm_error *err)
{
    char expected[256] = "";
    const char *text = json_string_value(json_object_get(scope->object, key));
    for (unsigned i = list->first; i < list->end; i++) {
        if (text && !strcmp(text, list->of(i))) {
            *out = i;
            return VKDLM_OK;
        }
        if (i > list->first)
            strncat(expected, i + 1 < list->end ? ", " : " or ", sizeof expected - strlen(expected) - 1);
        strncat(expected, list->of(i), sizeof expected - strlen(expected) - 1);
    }
    return json_refuse(scope, key, expected, err);
}

static vkdlm_status read_value(const json_scope *scope, const member *m, void *options, vkdlm_error *err)
{
    unsigned char *to = (unsigned char *)options + m->offset;
    vkdlm_status status;
    int64_t count;
    double number;
    bool flag = false;
    unsigned value;
    switch (m->kind) {
    case COUNT32:
        status = json_get_integer(scope, m->key, 0, UINT32_MAX, &count, err);
        if (!status)
            memcpy(to, &(uint32_t){(uint32_t)count}, sizeof(uint32_t));
        return status;
    case COUNT64:
        status = json_get_integer(scope, m->key, 0, INT64_MAX, &count, err);
        if (!status)
            memcpy(to, &(uint64_t){(uint64_t)count}, sizeof(uint64_t));
        return status;
    case NUMBER:
        status = json_get_number(scope, m->key, -DBL_MAX, DBL_MAX, &number, err);
        if (!status)
            memcpy(to, &number, sizeof number);
        return status;
    case NAME:
        status = read_name(scope, m->key, m->names, &value, err);
        if (!status)
            memcpy(to, &value, sizeof value);
        return status;
    default:
        status = json_get_bool(scope, m->key, &flag, err);
        flag = flag == (m->kind == FLAG);
        if (!status)
            memcpy(to, &flag, sizeof flag);
        return status;
    }
}

static vkdlm_status read_members(const json_scope *scope, const member *list, size_t n, void *options,
                                 vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; i < n && !status; i++)
        if (json_has(scope, list[i].key))
            status = read_value(scope, &list[i], options, err);
    return status;
}

/* scope: of *object, which the caller frees. */
static vkdlm_status read_text(const char *json, json_scope *scope, json_t **object, vkdlm_error *err)
{
    *object = NULL;
    if (!json)
        return error_set(err, VKDLM_MALFORMED, "'options': expected JSON, found nothing");
    vkdlm_status status = json_parse_object(json, strlen(json), "'options'", object, err);
    *scope = (json_scope){.object = *object, .file = "options"};
    return status;
}

vkdlm_status vkdlm_generate_options_read(const char *json, vkdlm_generate_options *out, vkdlm_error *err)
{
    json_t *object;
    json_scope scope;
    vkdlm_generate_options o = {0};
    vkdlm_status status = read_text(json, &scope, &object, err);
    if (!status)
        status = read_members(&scope, MEMBERS(masked_members), &o, err);
    if (!status)
        status = read_members(&scope, MEMBERS(eps_members), &o, err);
    if (!status)
        status = read_members(&scope, MEMBERS(sigma_members), &o, err);
    if (!status)
        status = read_members(&scope, MEMBERS(hitting_members), &o, err);
    json_decref(object);
    *out = status ? (vkdlm_generate_options){0} : o;
    return status;
}

static vkdlm_status read_flow(const json_scope *scope, vkdlm_complete_options *o, char *temperature,
                              vkdlm_error *err)
{
    const char *text;
    vkdlm_status status = read_members(scope, MEMBERS(flow_members), o, err);
    if (!status)
        status = read_members(scope, MEMBERS(adaptive_members), o, err);
    if (!status)
        status = read_members(scope, MEMBERS(class_members), o, err);
    if (!status)
        status = read_members(scope, MEMBERS(guidance_members), o, err);
    o->flow.has_class = json_has(scope, "class");
    o->flow.has_guidance = json_has(scope, "guidance");
    if (!status)
        status = json_get_string_or(scope, "xhat_temperature", NULL, &text, err);
    if (status || !text)
        return status;
    if (strlen(text) >= VKDLM_TEMPERATURE_BYTES)
        return json_refuse(scope, "xhat_temperature", "less than 64 bytes", err);
    strcpy(temperature, text);
    o->flow.temperature = temperature;
    return VKDLM_OK;
}

vkdlm_status vkdlm_complete_options_read(const char *json, vkdlm_complete_options *out,
                                         char temperature[VKDLM_TEMPERATURE_BYTES], vkdlm_error *err)
{
    json_t *object;
    json_scope scope;
    vkdlm_complete_options o = {0};
    const char *kv_type = NULL;
    vkdlm_status status = read_text(json, &scope, &object, err);
    temperature[0] = 0;
    if (!status)
        status = read_members(&scope, MEMBERS(complete_members), &o, err);
    if (!status)
        status = json_get_string_or(&scope, "kv_type", "f32", &kv_type, err);
    if (!status && strcmp(kv_type, "f16") != 0 && strcmp(kv_type, "f32") != 0)
        status = json_refuse(&scope, "kv_type", "f32 or f16", err);
    if (!status)
        status = read_flow(&scope, &o, temperature, err);
    o.cache_f16 = !status && !strcmp(kv_type, "f16");
    json_decref(object);
    *out = status ? (vkdlm_complete_options){0} : o;
    return status;
}

#include "model/l2d_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define MAX_WIDTH   (1 << 16)
#define MAX_CLASSES (1 << 16)
#define MAX_STEPS   10000

/* ---- settings that only one value of is run -------------------------------------------------------- */

/* The code of the authors has switches that no published model uses. */
static const struct {
    const char *key;
    bool value;
} flags[] = {
    {"modulate_hidden_states", false},
    {"freeze_modulation_at_flow_start", false},
    {"full_dit_modulation", true},
    {"preserve_behavior_at_flow_start", true},
    {"separate_flow_params", true},
    {"flow_representation_normalize", true},
    {"nstep_normalize_x1_predictions", false},
    {"nstep_clamp_predictions", false},
};
static const struct {
    const char *key;
    double value;
} numbers[] = {
    {"flow_representation_num_layers", 1},
    {"flow_to_lm_translation_depth", 2},
    {"timestep_modulation_num_layers", 2},
    {"flow_to_lm_timestep_rescaling", 1},
    {"version", 1},
};
static const struct {
    const char *key, *value;
} texts[] = {
    {"format", "l2d"},
    {"flow_representation_space", "mapping"},
    {"noise_schedule", "identity"},
};

static vkdlm_status refuse_others(const json_scope *scope, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (size_t i = 0; i < sizeof flags / sizeof *flags && !status; i++) {
        bool found;
        status = json_get_bool_or(scope, flags[i].key, flags[i].value, &found, err);
        if (!status && found != flags[i].value)
            status = error_set(err, VKDLM_UNSUPPORTED, "'%s': %s: expected %s, found %s", scope->file,
                               flags[i].key, flags[i].value ? "true" : "false", found ? "true" : "false");
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && !status; i++) {
        double found;
        status = json_get_number_or(scope, numbers[i].key, -1e12, 1e12, numbers[i].value, &found, err);
        if (!status && found != numbers[i].value)
            status = error_set(err, VKDLM_UNSUPPORTED, "'%s': %s: expected %g, found %g", scope->file,
                               numbers[i].key, numbers[i].value, found);
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts && !status; i++) {
        const char *found;
        status = json_get_string_or(scope, texts[i].key, texts[i].value, &found, err);
        if (!status && strcmp(found, texts[i].value) != 0)
            status = error_set(err, VKDLM_UNSUPPORTED, "'%s': %s: expected \"%s\", found \"%.100s\"",
                               scope->file, texts[i].key, texts[i].value, found);
    }
    return status;
}

/* ---- names ------------------------------------------------------------------------------------------ */

typedef struct choice {
    const char *name;
    int value;
} choice;

static const choice rescalings[] = {
    {"mult", L2D_RESCALE_MULT}, {"div", L2D_RESCALE_DIV}, {"none", L2D_RESCALE_NONE}, {NULL, 0}};
static const choice estimates[] = {
    {"sample", VKDLM_ESTIMATE_SAMPLE}, {"average", VKDLM_ESTIMATE_AVERAGE}, {NULL, 0}};
static const choice velocities[] = {
    {"constant", VKDLM_VELOCITY_CONSTANT}, {"edm", VKDLM_VELOCITY_EDM}, {NULL, 0}};
static const choice solvers[] = {
#define SOLVER(suffix, name, adaptive) {name, VKDLM_SOLVER_##suffix},
    VKDLM_SOLVER_LIST(SOLVER)
#undef SOLVER
        {NULL, 0}};

/* One of the names; the key's default when it is absent. */
static vkdlm_status read_choice(const json_scope *scope, const char *key, const choice *choices,
                                const char *otherwise, int *out, vkdlm_error *err)
{
    const char *found;
    vkdlm_status status = json_get_string_or(scope, key, otherwise, &found, err);
    if (status)
        return status;
    for (const choice *c = choices; c->name; c++)
        if (strcmp(c->name, found) == 0) {
            *out = c->value;
            return VKDLM_OK;
        }
    char names[200];
    size_t n = 0;
    for (const choice *c = choices; c->name && n < sizeof names; c++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", c->name);
    return error_set(err, VKDLM_UNSUPPORTED, "'%s': %s: expected one of %s, found \"%.100s\"", scope->file,
                     key, names, found);
}

/* ---- the rest --------------------------------------------------------------------------------------- */

/* Absent: 0, which the tensors decide. */
static vkdlm_status read_size(const json_scope *scope, const char *key, int64_t least, uint32_t *out,
                              vkdlm_error *err)
{
    int64_t value;
    vkdlm_status status = json_get_integer_or(scope, key, least, MAX_WIDTH, 0, &value, err);
    if (!status)
        *out = (uint32_t)value;
    return status;
}

static vkdlm_status read_lora(const json_scope *scope, l2d_config *out, vkdlm_error *err)
{
    bool lora;
    double alpha;
    vkdlm_status status = json_get_bool_or(scope, "separate_flow_params_with_lora", false, &lora, err);
    if (status || !lora)
        return status;
    int64_t rank;
    status = json_get_integer(scope, "flow_lora_rank", 1, MAX_WIDTH, &rank, err);
    if (!status)
        status = json_get_number_or(scope, "flow_lora_alpha", -1, 1e6, -1, &alpha, err);
    if (status)
        return status;
    if (alpha < 0 && alpha != -1)
        return json_refuse(scope, "flow_lora_alpha", "a number from 0 on, or -1 for twice the rank", err);
    out->lora_rank = (uint32_t)rank;
    out->lora_scale = alpha == -1 ? 2.0 : alpha / out->lora_rank;
    return VKDLM_OK;
}

#define SCHEDULE_PREFIX "polynomial_"

/* A number, or a schedule, whose numbers are read by whoever solves. */
static vkdlm_status read_temperature(const json_scope *scope, l2d_config *out, vkdlm_error *err)
{
    const char *key = "nstep_temperature_schedule";
    snprintf(out->temperature, sizeof out->temperature, "0");
    if (!json_has(scope, key))
        return VKDLM_OK;
    const json_t *value = json_object_get(scope->object, key);
    if (json_is_number(value)) {
        /* Not by printf, whose decimal point depends on the locale. */
        size_t n = json_dumpb(value, out->temperature, sizeof out->temperature - 1, JSON_ENCODE_ANY);
        out->temperature[n < sizeof out->temperature ? n : 0] = 0;
        return VKDLM_OK;
    }
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    size_t prefix = strlen(SCHEDULE_PREFIX);
    if (strncmp(text, SCHEDULE_PREFIX, prefix) != 0 || strlen(text) >= sizeof out->temperature ||
        text[prefix + strspn(text + prefix, "0123456789._")])
        return json_refuse(scope, key, "a number or a schedule " SCHEDULE_PREFIX "P_END", err);
    snprintf(out->temperature, sizeof out->temperature, "%s", json_string_value(value));
    return VKDLM_OK;
}

static vkdlm_status read_solver(const json_scope *scope, l2d_config *out, vkdlm_error *err)
{
    int64_t steps;
    int solver = VKDLM_SOLVER_MIDPOINT;
    out->rtol = out->atol = 1e-5;
    vkdlm_status status = json_get_integer_or(scope, "default_ode_steps", 2, MAX_STEPS, 8, &steps, err);
    if (!status && json_has(scope, "ode_kwargs")) {
        json_scope ode;
        status = json_get_object(scope, "ode_kwargs", &ode, err);
        if (!status)
            status = read_choice(&ode, "method", solvers, "midpoint", &solver, err);
        if (!status)
            status = json_get_number_or(&ode, "rtol", 1e-15, 1, 1e-5, &out->rtol, err);
        if (!status)
            status = json_get_number_or(&ode, "atol", 1e-15, 1, 1e-5, &out->atol, err);
    }
    if (!status) {
        out->steps = (uint32_t)steps;
        out->solver = (vkdlm_solver)solver;
    }
    return status;
}

vkdlm_status l2d_config_read(const checkpoint *ck, l2d_config *out, vkdlm_error *err)
{
    json_scope scope = checkpoint_config(ck);
    int rescaling, estimate, velocity;
    int64_t n_classes;
    *out = (l2d_config){0};
    vkdlm_status status = refuse_others(&scope, err);
    if (!status)
        status = json_get_string(&scope, "base_model_type", &out->base, err);
    if (!status)
        status = read_size(&scope, "flow_representation_dim", 1, &out->flow_dim, err);
    if (!status)
        status = read_size(&scope, "flow_to_lm_hidden_size", 1, &out->encoder_dim, err);
    if (!status)
        status = read_size(&scope, "timestep_modulation_hidden_size", 1, &out->cond_dim, err);
    if (!status)
        status = read_size(&scope, "timestep_modulation_freq_embedding_size", 2, &out->features, err);
    if (!status)
        status = read_lora(&scope, out, err);
    if (!status)
        status = json_get_integer_or(&scope, "guidance_modulation_num_classes", 0, MAX_CLASSES, 0, &n_classes,
                                     err);
    if (!status)
        status = read_choice(&scope, "flow_representation_rescaling", rescalings, "mult", &rescaling, err);
    if (!status)
        status = json_get_number_or(&scope, "noise_rescaling", 1e-6, 1e6, 64, &out->noise_scale, err);
    if (!status)
        status = read_choice(&scope, "nstep_x1_estimation", estimates, "sample", &estimate, err);
    if (!status)
        status = read_choice(&scope, "velocity_schedule", velocities, "constant", &velocity, err);
    if (!status)
        status = json_get_number_or(&scope, "nstep_final_timestep", 1e-6, 1, 1, &out->end_time, err);
    if (!status)
        status = read_temperature(&scope, out, err);
    if (!status)
        status = read_solver(&scope, out, err);
    if (status)
        return status;
    out->n_classes = (uint32_t)n_classes;
    out->rescaling = (enum l2d_rescaling)rescaling;
    out->estimate = (vkdlm_estimate)estimate;
    out->velocity = (vkdlm_velocity)velocity;
    return VKDLM_OK;
}

double l2d_vocabulary_norm(const l2d_config *config)
{
    double n = config->flow_dim;
    const double norms[] = {
        [L2D_RESCALE_MULT] = sqrt(n), [L2D_RESCALE_DIV] = 1 / sqrt(n), [L2D_RESCALE_NONE] = 1};
    return norms[config->rescaling];
}

double l2d_vocabulary_variance(const l2d_config *config)
{
    double n = config->flow_dim;
    const double variances[] = {
        [L2D_RESCALE_MULT] = 1, [L2D_RESCALE_DIV] = 1 / (n * n), [L2D_RESCALE_NONE] = 1 / n};
    return variances[config->rescaling];
}

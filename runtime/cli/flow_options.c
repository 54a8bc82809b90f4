#include "flow_options.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

#define AT(field) (offsetof(flow_command_values, flow) + offsetof(flow_values, field))

static const char *const solvers[] = {"none",
#define SOLVER_NAME(suffix, name, adaptive) name,
                                      VKDLM_SOLVER_LIST(SOLVER_NAME)
#undef SOLVER_NAME
                                          NULL};
static const char *const estimates[] = {"sample", "average", NULL};
static const char *const velocities[] = {"constant", "edm", NULL};
static const char *const kv_types[] = {"f32", "f16", NULL};

#define THE_PATHS "the diffusion path's"

static const option_spec flow_specs[] = {
    {"solver", 0, OPTION_CHOICE, AT(solver), "NAME",
     "how the path is integrated; none is the base model alone", .initially = THE_PATHS ", else midpoint",
     .choices = solvers, .fits = MODEL_L2D, .base_value = "none"},
    {"rtol", 0, OPTION_NUMBER, AT(rtol), "X", "relative tolerance of adaptive solvers (dopri5 and after)",
     .initially = THE_PATHS ", else 1e-5", .interval = {0, 1, true, false}, .fits = MODEL_L2D},
    {"atol", 0, OPTION_NUMBER, AT(atol), "X", "absolute tolerance of adaptive solvers",
     .initially = THE_PATHS ", else 1e-5", .interval = {0, 1, true, false}, .fits = MODEL_L2D},
    {"max-evals", 0, OPTION_COUNT, AT(max_evals), "N",
     "velocities that an adaptive solver may ask for; at the limit the state is taken as it is", "a token",
     .initially = "1000", .least = 1, .most = 1000000, .fits = MODEL_L2D},
    {"first-step", 0, OPTION_NUMBER, AT(first_step), "X",
     "first step of an adaptive solver; a negative number lets the solver choose",
     .initially = "0.05 for bosh3, fehlberg2 and adaptive_heun, chosen by the others",
     .interval = {-INFINITY, 1, true, false}, .fits = MODEL_L2D},
    {"estimate", 0, OPTION_CHOICE, AT(estimate), "NAME",
     "x_hat: the embedding of one token, or the mean under the distribution",
     .initially = THE_PATHS ", else sample", .choices = estimates, .fits = MODEL_L2D},
    {"xhat-temperature", 0, OPTION_TEXT, AT(xhat_temperature), "X",
     "temperature of x_hat: a number (0: the likeliest token), or a schedule polynomial_P_END, which falls "
     "as "
     "(1 - t/END)^P",
     .initially = THE_PATHS ", else 0", .fits = MODEL_L2D},
    {"velocity", 0, OPTION_CHOICE, AT(velocity), "NAME", "(x_hat - x) / (1 - t), or / (1 - t)^2",
     .initially = THE_PATHS ", else constant", .choices = velocities, .fits = MODEL_L2D},
    {"flow-end", 0, OPTION_NUMBER, AT(flow_end), "T",
     "where the integration, which runs from 0 up, ends and the token is drawn",
     .initially = THE_PATHS ", else 1", .interval = {0, 1, true, false}, .fits = MODEL_L2D},
    {"class", 0, OPTION_COUNT, AT(class_id), "J", "class of a path with classes, from 0",
     .initially = "none, the null class", .most = INT32_MAX, .fits = MODEL_L2D},
    {"guidance", 0, OPTION_NUMBER, AT(guidance), "W",
     "classifier-free guidance: W times the velocity of the class and 1 - W times that of the null class",
     .initially = "the class alone", .interval = {-1e6, 1e6, false, false}, .fits = MODEL_L2D},
    {"budget", 0, OPTION_TEXT, AT(budget), "RULE",
     "tokens that are refined: off is all of them, entropy:H those whose base distribution has at least H "
     "nats, confidence:P those whose likeliest token has at most the probability P",
     .initial = "off", .fits = MODEL_L2D},
};
const option_group flow_group = {"Diffusion path", flow_specs, sizeof flow_specs / sizeof *flow_specs, true};

static const option_spec causal_specs[] = {
    {"kv-type", 0, OPTION_CHOICE, AT(kv_type), "TYPE", "how cached keys and values are kept",
     .initial = "f32", .choices = kv_types, .fits = MODEL_CAUSAL | MODEL_L2D},
};
const option_group causal_group = {"Cache", causal_specs, 1, true};

/* "off", "entropy:H", "confidence:P" */
static vkdlm_status read_budget(const char *text, vkdlm_flow_options *flow, vkdlm_error *err)
{
    static const struct {
        const char *prefix;
        vkdlm_budget budget;
        double most;
    } rules[] = {{"entropy:", VKDLM_BUDGET_ENTROPY, INFINITY}, {"confidence:", VKDLM_BUDGET_CONFIDENCE, 1}};
    if (!strcmp(text, "off"))
        return VKDLM_OK;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        size_t n = strlen(rules[i].prefix);
        if (strncmp(text, rules[i].prefix, n) != 0)
            continue;
        double threshold;
        if (!options_read_number(text + n, &threshold) || threshold < 0 || threshold > rules[i].most)
            break;
        flow->budget = rules[i].budget;
        flow->budget_threshold = threshold;
        return VKDLM_OK;
    }
    return message_set(
        err, VKDLM_INVALID_ARGUMENT,
        "'--budget' takes off, entropy:H with H >= 0 (nats) or confidence:P with P from 0 to 1, "
        "not '%.100s'",
        text);
}

static vkdlm_status check_pairs(const flow_values *v, const option_value *steps, vkdlm_error *err)
{
    bool none = v->solver.given && !v->solver.choice;
    if (steps->given && (steps->count == 1 || steps->count > FLOW_STEPS_MOST))
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'--steps' takes 0 (the base alone) or 2 to %d points of the time grid with an "
                           "autoregressive model, not '%.40s'",
                           FLOW_STEPS_MOST, steps->text);
    if (none && steps->given && steps->count)
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'--steps %.40s' does not go with '--solver none', which is the base model alone",
                           steps->text);
    if (v->guidance.given && !v->class_id.given)
        return message_set(err, VKDLM_INVALID_ARGUMENT, "'--guidance' needs '--class' beside it");
    if (v->first_step.given && v->first_step.number == 0)
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'--first-step' takes a number > 0 and <= 1, or a negative one, not '%.40s'",
                           v->first_step.text);
    return VKDLM_OK;
}

vkdlm_status flow_from_options(const flow_values *v, const option_value *steps, vkdlm_flow_options *flow,
                               vkdlm_error *err)
{
    *flow = (vkdlm_flow_options){0};
    vkdlm_status status = check_pairs(v, steps, err);
    if (status)
        return status;
    if ((steps->given && !steps->count) || (v->solver.given && !v->solver.choice)) {
        flow->off = true;
        return VKDLM_OK;
    }
    *flow = (vkdlm_flow_options){
        .steps = steps->given ? (uint32_t)steps->count : 0,
        .solver = v->solver.given ? (vkdlm_solver)v->solver.choice : VKDLM_SOLVER_DEFAULT,
        .rtol = v->rtol.number,
        .atol = v->atol.number,
        .max_evaluations = (uint32_t)v->max_evals.count,
        .first_step = v->first_step.number,
        .end_time = v->flow_end.number,
        .velocity = v->velocity.given ? (vkdlm_velocity)(v->velocity.choice + VKDLM_VELOCITY_CONSTANT)
                                      : VKDLM_VELOCITY_DEFAULT,
        .estimate = v->estimate.given ? (vkdlm_estimate)(v->estimate.choice + VKDLM_ESTIMATE_SAMPLE)
                                      : VKDLM_ESTIMATE_DEFAULT,
        .temperature = v->xhat_temperature.text,
        .has_class = v->class_id.given,
        .class_id = (uint32_t)v->class_id.count,
        .has_guidance = v->guidance.given,
        .guidance = v->guidance.number,
    };
    return v->budget.given ? read_budget(v->budget.text, flow, err) : VKDLM_OK;
}

vkdlm_solver flow_solver(const vkdlm_flow_options *flow, const vkdlm_flow_info *info)
{
    return flow->solver ? flow->solver : info->solver;
}

uint32_t flow_steps(const vkdlm_flow_options *flow, const vkdlm_flow_info *info)
{
    return flow->off || !info->present ? 0 : flow->steps ? flow->steps : info->steps;
}

vkdlm_status flow_read_noise(const char *path, uint32_t n, uint64_t n_samples, vkdlm_flow_options *flow,
                             float **noise, vkdlm_error *err)
{
    vkdlm_tensors *file = NULL;
    vkdlm_status status = vkdlm_tensors_open(path, &file, err);
    const vkdlm_tensor *t = status ? NULL : vkdlm_tensors_find(file, "noise");
    *noise = NULL;
    if (status)
        return status;
    uint64_t rows = t && t->n_dims == 3 ? t->shape[1] : 1;
    if (!t) {
        status = message_set(err, VKDLM_MALFORMED,
                             "'%.400s' has no tensor 'noise' (F32 [tokens, %" PRIu32 "])", path, n);
    } else if (t->dtype != VKDLM_DTYPE_F32 || t->n_dims < 2 || t->n_dims > 3) {
        status = message_set(err, VKDLM_MALFORMED,
                             "'%.400s': tensor 'noise' is %s with %" PRIu32
                             " dimensions, expected F32 with 2 or 3",
                             path, vkdlm_dtype_name(t->dtype), t->n_dims);
    } else if (t->shape[t->n_dims - 1] != n || !t->shape[0] || t->shape[0] > UINT32_MAX) {
        status = message_set(err, VKDLM_MALFORMED,
                             "'%.400s': tensor 'noise' has %" PRIu64 " tokens of %" PRIu64
                             " components, expected 1 or more of %" PRIu32,
                             path, t->shape[0], t->shape[t->n_dims - 1], n);
    } else if (rows != 1 && rows != n_samples) {
        status = message_set(err, VKDLM_MALFORMED,
                             "'%.400s': tensor 'noise' has %" PRIu64
                             " rows, expected 1 or one for each of the %" PRIu64 " samples",
                             path, rows, n_samples);
    } else {
        *noise = malloc((size_t)t->n_bytes);
        if (!*noise)
            status = message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for the noise of '%.400s'",
                                 path);
    }
    if (!status)
        memcpy(*noise, t->data, (size_t)t->n_bytes);
    for (uint64_t i = 0; !status && i < t->n_elements; i++)
        if (!isfinite((*noise)[i]))
            status = message_set(err, VKDLM_MALFORMED,
                                 "'%.400s': tensor 'noise' has a value at element %" PRIu64
                                 " that is no finite number",
                                 path, i);
    if (!status) {
        flow->noise = *noise;
        flow->noise_tokens = (uint32_t)t->shape[0];
        flow->noise_rows = (uint32_t)rows;
    }
    vkdlm_tensors_close(file);
    return status;
}

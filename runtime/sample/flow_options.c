#include "sample/flow_options.h"

#include <math.h>

#include "base/error.h"

enum {
    DEFAULT_STEPS = 8,
    DEFAULT_EVALUATIONS = 1000,
    MAX_EVALUATIONS = 1000000, /* each has a number of its own for its draws, and takes its time */
};

#define DEFAULT_TOLERANCE 1e-5
#define AUTHORS_STEP      0.05
#define MIN_END_TIME      1e-6
#define MAX_GUIDANCE      1e6

/* The first of the options that only a diffusion path understands, or NULL. */
static const char *option_in_use(const vkdlm_flow_options *o)
{
    const struct {
        const char *name;
        bool used;
    } options[] = {
        {"--steps", o->steps != 0},
        {"--solver", o->solver != VKDLM_SOLVER_DEFAULT},
        {"--rtol", o->rtol != 0},
        {"--atol", o->atol != 0},
        {"--max-evals", o->max_evaluations != 0},
        {"--first-step", o->first_step != 0},
        {"--flow-end", o->end_time != 0},
        {"--velocity", o->velocity != VKDLM_VELOCITY_DEFAULT},
        {"--estimate", o->estimate != VKDLM_ESTIMATE_DEFAULT},
        {"--xhat-temperature", o->temperature != NULL},
        {"--class", o->has_class},
        {"--guidance", o->has_guidance},
        {"--budget", o->budget != VKDLM_BUDGET_ALL || o->budget_threshold != 0},
        {"--noise", o->noise != NULL},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (options[i].used)
            return options[i].name;
    return NULL;
}

/* The option, else what the model gives, else the default. */
static double choose(double option, double model, double otherwise)
{
    return option != 0 ? option : model != 0 ? model : otherwise;
}

static vkdlm_status set_solver(flow_settings *s, const vkdlm_flow_options *o, const vkdlm_flow_info *model,
                               vkdlm_error *err)
{
    vkdlm_solver solver = o->solver != VKDLM_SOLVER_DEFAULT       ? o->solver
                          : model->solver != VKDLM_SOLVER_DEFAULT ? model->solver
                                                                  : VKDLM_SOLVER_MIDPOINT;
    if ((unsigned)solver >= VKDLM_SOLVER_COUNT)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--solver: expected euler, midpoint, heun2, heun3, rk4, dopri5, bosh3, fehlberg2, "
                         "adaptive_heun or dopri8, found number %d",
                         (int)solver);
    s->solve.solver = solver;
    s->adaptive = vkdlm_solver_is_adaptive(solver);
    if (o->steps && (o->steps < FLOW_MIN_POINTS || o->steps > FLOW_MAX_POINTS))
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--steps: expected %u to %u points of the time grid, or 0 for the base model alone, "
                         "found %u",
                         FLOW_MIN_POINTS, FLOW_MAX_POINTS, o->steps);
    s->solve.n_points = o->steps ? o->steps : model->steps ? model->steps : DEFAULT_STEPS;
    s->solve.end_time = choose(o->end_time, model->end_time, 1);
    if (!(s->solve.end_time >= MIN_END_TIME && s->solve.end_time <= 1))
        return error_set(err, VKDLM_INVALID_ARGUMENT, "--flow-end: expected a number from %g to 1, found %g",
                         MIN_END_TIME, s->solve.end_time);
    return VKDLM_OK;
}

static vkdlm_status set_tolerances(flow_settings *s, const vkdlm_flow_options *o,
                                   const vkdlm_flow_info *model, vkdlm_error *err)
{
    if (!s->adaptive) {
        const char *found = o->rtol != 0              ? "--rtol"
                            : o->atol != 0            ? "--atol"
                            : o->max_evaluations != 0 ? "--max-evals"
                            : o->first_step != 0      ? "--first-step"
                                                      : NULL;
        return found ? error_set(err, VKDLM_INVALID_ARGUMENT,
                                 "%s: expected an adaptive --solver (dopri5, bosh3, fehlberg2, adaptive_heun "
                                 "or dopri8), found %s, whose grid --steps gives",
                                 found, vkdlm_solver_name(s->solve.solver))
                     : VKDLM_OK;
    }
    s->rtol = choose(o->rtol, model->rtol, DEFAULT_TOLERANCE);
    s->atol = choose(o->atol, model->atol, DEFAULT_TOLERANCE);
    bool rtol_good = s->rtol > 0 && s->rtol <= 1, atol_good = s->atol > 0 && s->atol <= 1;
    if (!rtol_good || !atol_good)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "%s: expected a number above 0 and at most 1, found %g",
                         rtol_good ? "--atol" : "--rtol", rtol_good ? s->atol : s->rtol);
    if (o->max_evaluations > MAX_EVALUATIONS)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "--max-evals: expected 1 to %d, found %u",
                         MAX_EVALUATIONS, o->max_evaluations);
    s->max_evaluations = o->max_evaluations ? o->max_evaluations : DEFAULT_EVALUATIONS;
    if (!(o->first_step <= 1))
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--first-step: expected a number up to 1, or a negative one for the solver's own "
                         "choice, found %g",
                         o->first_step);
    bool authors = s->solve.solver == VKDLM_SOLVER_BOSH3 || s->solve.solver == VKDLM_SOLVER_FEHLBERG2 ||
                   s->solve.solver == VKDLM_SOLVER_ADAPTIVE_HEUN;
    s->first_step = o->first_step != 0 ? fmax(o->first_step, 0) : authors ? AUTHORS_STEP : 0;
    return VKDLM_OK;
}

static vkdlm_status set_estimate(flow_settings *s, const vkdlm_flow_options *o, const vkdlm_flow_info *model,
                                 vkdlm_error *err)
{
    if ((unsigned)o->estimate >= VKDLM_ESTIMATE_COUNT)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--estimate: expected sample or average, found number %d", (int)o->estimate);
    if ((unsigned)o->velocity >= VKDLM_VELOCITY_COUNT)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "--velocity: expected constant or edm, found number %d",
                         (int)o->velocity);
    vkdlm_estimate estimate = o->estimate != VKDLM_ESTIMATE_DEFAULT ? o->estimate : model->estimate;
    vkdlm_velocity velocity = o->velocity != VKDLM_VELOCITY_DEFAULT ? o->velocity : model->velocity;
    s->average = estimate == VKDLM_ESTIMATE_AVERAGE;
    s->solve.velocity = velocity == VKDLM_VELOCITY_EDM ? VKDLM_VELOCITY_EDM : VKDLM_VELOCITY_CONSTANT;
    const char *temperature = o->temperature ? o->temperature : model->temperature;
    if (!temperature)
        return VKDLM_OK;
    vkdlm_status status = flow_temperature_parse(temperature, &s->solve.tau, err);
    return status == VKDLM_OK ? VKDLM_OK : error_prefix(err, status, "--xhat-temperature");
}

static vkdlm_status set_classes(flow_settings *s, const vkdlm_flow_options *o, const causal *network,
                                vkdlm_error *err)
{
    if (o->has_class && o->class_id >= network->n_classes)
        return network->n_classes
                   ? error_set(err, VKDLM_INVALID_ARGUMENT, "--class: expected 0 to %u, found %u",
                               network->n_classes - 1, o->class_id)
                   : error_set(err, VKDLM_INVALID_ARGUMENT,
                               "--class: expected a model with classes, found %u for one without",
                               o->class_id);
    if (o->has_guidance && !o->has_class)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         network->n_classes ? "--guidance: expected a --class to guide towards, found none"
                                            : "--guidance: expected a model with classes, found one without");
    double weight = o->has_guidance ? o->guidance : 1;
    if (!(fabs(weight) <= MAX_GUIDANCE))
        return error_set(err, VKDLM_INVALID_ARGUMENT, "--guidance: expected a number from %g to %g, found %g",
                         -MAX_GUIDANCE, MAX_GUIDANCE, weight);

    /* The class comes first: it is also that of the final evaluation. */
    s->classes[s->n_classes++] = o->has_class ? (int32_t)o->class_id : -1;
    if (weight != 0) {
        s->branch_weight[s->n_branches] = weight;
        s->branch_class[s->n_branches++] = 0;
    }
    if (weight != 1) {
        s->classes[s->n_classes++] = -1;
        s->branch_weight[s->n_branches] = 1 - weight;
        s->branch_class[s->n_branches++] = 1;
    }
    return VKDLM_OK;
}

static vkdlm_status set_budget(flow_settings *s, const vkdlm_flow_options *o, vkdlm_error *err)
{
    s->budget = o->budget;
    s->threshold = o->budget_threshold;
    switch (o->budget) {
    case VKDLM_BUDGET_ALL:
        if (o->budget_threshold != 0)
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "--budget: expected entropy or confidence with a threshold, found %g for all "
                             "tokens",
                             o->budget_threshold);
        return VKDLM_OK;
    case VKDLM_BUDGET_ENTROPY:
        if (!(s->threshold >= 0 && isfinite(s->threshold)))
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "--budget entropy: expected a threshold of 0 nats or more, found %g",
                             s->threshold);
        return VKDLM_OK;
    case VKDLM_BUDGET_CONFIDENCE:
        if (!(s->threshold >= 0 && s->threshold <= 1))
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "--budget confidence: expected a threshold from 0 to 1, found %g", s->threshold);
        return VKDLM_OK;
    default:
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--budget: expected all, entropy or confidence, found number %d", (int)o->budget);
    }
}

vkdlm_status flow_settings_init(flow_settings *out, const vkdlm_flow_options *options,
                                const vkdlm_flow_info *model, const causal *network, vkdlm_error *err)
{
    *out = (flow_settings){0};
    if (!model->present) {
        const char *found = option_in_use(options);
        return found ? error_set(err, VKDLM_INVALID_ARGUMENT,
                                 "%s: expected a model with a diffusion path, found one without", found)
                     : VKDLM_OK;
    }
    if (options->off)
        return VKDLM_OK;
    out->on = true;
    out->solve.sigma = network->noise_scale;
    out->solve.variance = network->data_variance;
    vkdlm_status status = set_solver(out, options, model, err);
    if (status == VKDLM_OK)
        status = set_tolerances(out, options, model, err);
    if (status == VKDLM_OK)
        status = set_estimate(out, options, model, err);
    if (status == VKDLM_OK)
        status = set_classes(out, options, network, err);
    if (status == VKDLM_OK)
        status = set_budget(out, options, err);
    if (status == VKDLM_OK)
        status = flow_options_check(&out->solve, err);
    out->noise = options->noise;
    out->noise_tokens = options->noise_tokens;
    out->noise_rows = options->noise_rows;
    return status;
}

vkdlm_status flow_settings_check_noise(const flow_settings *settings, uint32_t dim, uint64_t n_tokens,
                                       uint64_t n_rows, vkdlm_error *err)
{
    if (!settings->on || !settings->noise)
        return VKDLM_OK;
    if (settings->noise_tokens < n_tokens)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--noise: expected x_0 of %llu tokens or more, found %u",
                         (unsigned long long)n_tokens, settings->noise_tokens);
    if (settings->noise_rows != 1 && settings->noise_rows != n_rows)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--noise: expected 1 row, or one for each of %llu samples, found %u",
                         (unsigned long long)n_rows, settings->noise_rows);
    size_t row = (size_t)settings->noise_rows * dim;
    for (uint32_t token = 0; token < settings->noise_tokens; token++)
        for (size_t i = 0; i < row; i++)
            if (!isfinite(settings->noise[token * row + i]))
                return error_set(err, VKDLM_INVALID_ARGUMENT,
                                 "--noise: expected finite numbers, found %g for token %u",
                                 (double)settings->noise[token * row + i], token);
    return VKDLM_OK;
}

bool flow_settings_wants(const flow_settings *settings, const causal_result *base)
{
    switch (settings->budget) {
    case VKDLM_BUDGET_ENTROPY:
        return (double)base->entropy >= settings->threshold;
    case VKDLM_BUDGET_CONFIDENCE:
        return exp((double)base->max_log_prob) <= settings->threshold;
    default:
        return true;
    }
}

#include "sample/schedule.h"

#include <math.h>

#include "base/error.h"

#define PI 3.14159265358979323846

/* exp(-sigma) must stay a normal number. */
#define SIGMA_LIMIT 700.0

/* Each schedule is a growing curve. With eps it is mc(t) = (1 - eps) value(t), value from 0 to 1; with a
 * sigma range it is sigma(t) = value(t). */
typedef struct curve {
    double (*value)(const schedule *s, double t);
    double (*slope)(const schedule *s, double t);
    double (*rest)(const schedule *s, double t);                     /* 1 - value(t); with eps only */
    double (*difference)(const schedule *s, double from, double to); /* value(from) - value(to) */
    double (*inverse)(const schedule *s, double value);
    double sigma_min, sigma_max; /* defaults */
} curve;

static const struct {
    const char *name;
    bool has_eps, has_sigma;
} facts[VKDLM_SCHEDULE_COUNT] = {
#define SCHEDULE_FACT(suffix, name, has_eps, has_sigma) {name, has_eps, has_sigma},
    VKDLM_SCHEDULE_LIST(SCHEDULE_FACT)
#undef SCHEDULE_FACT
};

static double loglinear_value(const schedule *s, double t)
{
    (void)s;
    return t;
}

static double loglinear_slope(const schedule *s, double t)
{
    (void)s;
    (void)t;
    return 1.0;
}

static double loglinear_rest(const schedule *s, double t)
{
    (void)s;
    return 1.0 - t;
}

static double loglinear_difference(const schedule *s, double from, double to)
{
    (void)s;
    return from - to;
}

static double loglinear_inverse(const schedule *s, double value)
{
    (void)s;
    return value;
}

/* 1 - cos(pi t/2) = 2 sin^2(pi t/4) */
static double cosine_value(const schedule *s, double t)
{
    (void)s;
    double x = sin(PI / 4 * t);
    return 2 * x * x;
}

static double cosine_slope(const schedule *s, double t)
{
    (void)s;
    return PI / 2 * sin(PI / 2 * t);
}

static double cosine_rest(const schedule *s, double t)
{
    (void)s;
    return sin(PI / 2 * (1.0 - t));
}

/* cos b - cos a = 2 sin((a + b)/2) sin((a - b)/2) */
static double cosine_difference(const schedule *s, double from, double to)
{
    (void)s;
    return 2 * sin(PI / 4 * (from + to)) * sin(PI / 4 * (from - to));
}

static double cosine_inverse(const schedule *s, double value)
{
    (void)s;
    return 4 / PI * asin(sqrt(value / 2));
}

/* 1 - cos^2(pi t/2) */
static double cosinesqr_value(const schedule *s, double t)
{
    (void)s;
    double x = sin(PI / 2 * t);
    return x * x;
}

static double cosinesqr_slope(const schedule *s, double t)
{
    (void)s;
    return PI * sin(PI / 2 * t) * sin(PI / 2 * (1.0 - t));
}

static double cosinesqr_rest(const schedule *s, double t)
{
    (void)s;
    double x = sin(PI / 2 * (1.0 - t));
    return x * x;
}

/* sin^2 a - sin^2 b = sin(a + b) sin(a - b); a + b is taken from pi when that is nearer, for precision. */
static double cosinesqr_difference(const schedule *s, double from, double to)
{
    (void)s;
    double sum = from + to;
    return sin(PI / 2 * (sum > 1 ? (1.0 - from) + (1.0 - to) : sum)) * sin(PI / 2 * (from - to));
}

static double cosinesqr_inverse(const schedule *s, double value)
{
    (void)s;
    return 2 / PI * asin(sqrt(value));
}

static double linear_value(const schedule *s, double t)
{
    return s->sigma_min + t * (s->sigma_max - s->sigma_min);
}

static double linear_slope(const schedule *s, double t)
{
    (void)t;
    return s->sigma_max - s->sigma_min;
}

static double linear_difference(const schedule *s, double from, double to)
{
    return (from - to) * (s->sigma_max - s->sigma_min);
}

static double linear_inverse(const schedule *s, double value)
{
    return (value - s->sigma_min) / (s->sigma_max - s->sigma_min);
}

static double log_ratio(const schedule *s)
{
    return log(s->sigma_max) - log(s->sigma_min);
}

static double geometric_value(const schedule *s, double t)
{
    return pow(s->sigma_min, 1.0 - t) * pow(s->sigma_max, t);
}

static double geometric_slope(const schedule *s, double t)
{
    return geometric_value(s, t) * log_ratio(s);
}

static double geometric_difference(const schedule *s, double from, double to)
{
    return geometric_value(s, to) * expm1((from - to) * log_ratio(s));
}

static double geometric_inverse(const schedule *s, double value)
{
    return log(value / s->sigma_min) / log_ratio(s);
}

static const curve curves[VKDLM_SCHEDULE_COUNT] = {
    [VKDLM_SCHEDULE_LOGLINEAR] = {.value = loglinear_value,
                                  .slope = loglinear_slope,
                                  .rest = loglinear_rest,
                                  .difference = loglinear_difference,
                                  .inverse = loglinear_inverse},
    [VKDLM_SCHEDULE_COSINE] = {.value = cosine_value,
                               .slope = cosine_slope,
                               .rest = cosine_rest,
                               .difference = cosine_difference,
                               .inverse = cosine_inverse},
    [VKDLM_SCHEDULE_COSINESQR] = {.value = cosinesqr_value,
                                  .slope = cosinesqr_slope,
                                  .rest = cosinesqr_rest,
                                  .difference = cosinesqr_difference,
                                  .inverse = cosinesqr_inverse},
    [VKDLM_SCHEDULE_LINEAR] = {.sigma_min = 0,
                               .sigma_max = 10,
                               .value = linear_value,
                               .slope = linear_slope,
                               .difference = linear_difference,
                               .inverse = linear_inverse},
    [VKDLM_SCHEDULE_GEOMETRIC] = {.sigma_min = 1e-3,
                                  .sigma_max = 1,
                                  .value = geometric_value,
                                  .slope = geometric_slope,
                                  .difference = geometric_difference,
                                  .inverse = geometric_inverse},
};

vkdlm_status schedule_init(schedule *out, const vkdlm_noise *noise, vkdlm_error *err)
{
    if ((unsigned)noise->schedule >= VKDLM_SCHEDULE_COUNT)
        return error_set(
            err, VKDLM_INVALID_ARGUMENT,
            "--schedule: expected loglinear, cosine, cosinesqr, linear or geometric, found number %d",
            (int)noise->schedule);
    const curve *c = &curves[noise->schedule];
    const char *name = facts[noise->schedule].name;
    bool has_eps = facts[noise->schedule].has_eps;
    *out = (schedule){.kind = noise->schedule};
    if (has_eps && (noise->sigma_min != 0 || noise->sigma_max != 0))
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "%s does not apply to --schedule %s, whose parameter is --schedule-eps",
                         noise->sigma_min != 0 ? "--sigma-min" : "--sigma-max", name);
    if (!has_eps && noise->eps != 0)
        return error_set(
            err, VKDLM_INVALID_ARGUMENT,
            "--schedule-eps does not apply to --schedule %s, whose parameters are --sigma-min and "
            "--sigma-max",
            name);
    if (has_eps) {
        out->eps = noise->eps != 0 ? noise->eps : 1e-3;
        if (!(out->eps > 0 && out->eps < 1))
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "--schedule-eps: expected a number between 0 and 1, found %g", out->eps);
        return VKDLM_OK;
    }

    out->sigma_min = noise->sigma_min != 0 ? noise->sigma_min : c->sigma_min;
    out->sigma_max = noise->sigma_max != 0 ? noise->sigma_max : c->sigma_max;
    if (!(out->sigma_min >= 0 && out->sigma_min < SIGMA_LIMIT))
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--sigma-min: expected a number of at least 0 and below %g, found %g", SIGMA_LIMIT,
                         out->sigma_min);
    if (!(out->sigma_max > out->sigma_min && out->sigma_max <= SIGMA_LIMIT))
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--sigma-max: expected a number above --sigma-min (%g) and at most %g, found %g",
                         out->sigma_min, SIGMA_LIMIT, out->sigma_max);
    return VKDLM_OK;
}

double schedule_alpha(const schedule *s, double t)
{
    const curve *c = &curves[s->kind];
    return facts[s->kind].has_eps ? s->eps + (1 - s->eps) * c->rest(s, t) : exp(-c->value(s, t));
}

double schedule_move_chance(const schedule *s, double t)
{
    const curve *c = &curves[s->kind];
    return facts[s->kind].has_eps ? (1 - s->eps) * c->value(s, t) : -expm1(-c->value(s, t));
}

double schedule_sigma(const schedule *s, double t)
{
    const curve *c = &curves[s->kind];
    if (facts[s->kind].has_sigma)
        return c->value(s, t);
    double mc = schedule_move_chance(s, t);
    return mc < 0.5 ? -log1p(-mc) : -log(schedule_alpha(s, t));
}

double schedule_dsigma(const schedule *s, double t)
{
    const curve *c = &curves[s->kind];
    return facts[s->kind].has_sigma ? c->slope(s, t) : (1 - s->eps) * c->slope(s, t) / schedule_alpha(s, t);
}

double schedule_unmask(const schedule *s, double from, double to)
{
    const curve *c = &curves[s->kind];
    if (facts[s->kind].has_eps)
        return c->difference(s, from, to) / c->value(s, from);
    return schedule_alpha(s, to) * -expm1(-c->difference(s, from, to)) / schedule_move_chance(s, from);
}

double schedule_stay(const schedule *s, double from, double to)
{
    return schedule_move_chance(s, to) / schedule_move_chance(s, from);
}

double schedule_weight(const schedule *s, double t)
{
    const curve *c = &curves[s->kind];
    /* dsigma / (e^sigma - 1) = mc'(t) / mc(t) */
    return facts[s->kind].has_eps ? c->slope(s, t) / c->value(s, t) : c->slope(s, t) / expm1(c->value(s, t));
}

double schedule_time(const schedule *s, double mc)
{
    if (!(mc > schedule_move_chance(s, 0)))
        return 0;
    if (mc >= schedule_move_chance(s, 1))
        return 1;
    const curve *c = &curves[s->kind];
    double t = c->inverse(s, facts[s->kind].has_eps ? mc / (1 - s->eps) : -log1p(-mc));
    return fmin(fmax(t, 0), 1);
}

const char *vkdlm_schedule_name(vkdlm_schedule kind)
{
    return (unsigned)kind < VKDLM_SCHEDULE_COUNT ? facts[kind].name : "unknown";
}

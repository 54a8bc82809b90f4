#include "sample/masked_sample.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"

/* A uniform number in [0, 1) of this sample. */
static double draw(const masked_sample *sample, const masked_plan *plan, enum rng_purpose purpose,
                   uint32_t number, uint32_t element)
{
    rng_block block = rng_philox(plan->seed, element, 0, rng_counter2(purpose, number), sample->stream);
    return rng_uniform(block.word[0], block.word[1]);
}

/* Moves each masked position to picked with probability `unmask`. */
static void pick(masked_sample *sample, const masked_plan *plan, double unmask, uint32_t number)
{
    uint32_t kept = 0;
    sample->n_picked = 0;
    for (uint32_t i = 0; i < sample->n_masked; i++) {
        uint32_t position = sample->masked[i];
        if (draw(sample, plan, RNG_UNMASK, number, position) < unmask)
            sample->picked[sample->n_picked++] = position;
        else
            sample->masked[kept++] = position;
    }
    sample->n_masked = kept;
}

static void pick_all(masked_sample *sample)
{
    memcpy(sample->picked, sample->masked, sample->n_masked * sizeof *sample->masked);
    sample->n_picked = sample->n_masked;
    sample->n_masked = 0;
}

static void mask_tail(masked_sample *sample, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        sample->masked[i] = sample->window_length - n + i;
    sample->n_masked = n;
}

/* One step from t to `to`: a masked position unmasks with probability 1 - mc(to)/mc(t), at noise sigma(t).
 * True when the step needs an evaluation. */
static bool take_step(masked_sample *sample, const masked_plan *plan, bool always)
{
    double t = masked_plan_time(plan, sample->step), to = masked_plan_time(plan, sample->step + 1);
    uint32_t number = sample->stage * plan->steps + sample->step;
    pick(sample, plan, schedule_unmask(&plan->noise, t, to), number);
    sample->step++;
    if (sample->n_picked == 0 && !always)
        return false;
    sample->event = (masked_event){.mode = EVAL_DRAW,
                                   .sigma = schedule_sigma(&plan->noise, t),
                                   .time = to,
                                   .number = number,
                                   .step = number + 1};
    return true;
}

static bool advance_steps(masked_sample *sample, const masked_plan *plan, bool always, enum eval_mode last)
{
    for (;;) {
        while (sample->n_masked > 0 && sample->step < plan->steps)
            if (take_step(sample, plan, always))
                return true;
        if (sample->stage + 1 == plan->n_stages)
            break;
        sample->stage++;
        sample->step = 0;
        sample->start += plan->stride;
        mask_tail(sample, plan->stride);
    }
    if (sample->n_masked == 0 || !plan->final_denoise)
        return false;
    pick_all(sample);
    uint32_t n_steps = masked_plan_n_steps(plan);
    sample->event = (masked_event){.mode = last,
                                   .sigma = schedule_sigma(&plan->noise, plan->end_time),
                                   .time = 0,
                                   .number = n_steps,
                                   .step = n_steps + 1};
    return true;
}

static bool advance_ddpm(masked_sample *sample, const masked_plan *plan)
{
    return advance_steps(sample, plan, true, EVAL_ARGMAX);
}

static bool advance_ddpm_cache(masked_sample *sample, const masked_plan *plan)
{
    return advance_steps(sample, plan, false, EVAL_ARGMAX);
}

/* The authors' score form reduces to ddpm with SUBS: (e^dsigma - 1)/(e^sigma - 1) = 1 - mc(s)/mc(t). Their
 * last step (probability 0 at the mask, sigma(end) taken away whole) is a draw from x_theta. */
static bool advance_analytic(masked_sample *sample, const masked_plan *plan)
{
    return advance_steps(sample, plan, false, EVAL_DRAW);
}

/* With n positions masked at move chance mc, the next unmasks at mc u^(1/n), and each is as likely to be the
 * one. */
static bool advance_first_hitting(masked_sample *sample, const masked_plan *plan)
{
    uint32_t n = sample->n_masked;
    if (n == 0)
        return false;
    uint32_t number = sample->step++;
    double u = 1 - draw(sample, plan, RNG_TIME, number, 0); /* in (0, 1] */
    sample->move_chance *= pow(u, 1.0 / n);
    uint32_t choice = (uint32_t)(n * draw(sample, plan, RNG_CHOICE, number, 0));
    sample->picked[0] = sample->masked[choice];
    sample->n_picked = 1;
    memmove(sample->masked + choice, sample->masked + choice + 1, (n - choice - 1) * sizeof *sample->masked);
    sample->n_masked = n - 1;

    double t = schedule_time(&plan->noise, sample->move_chance);
    sample->event = (masked_event){.mode = EVAL_DRAW,
                                   .sigma = schedule_sigma(&plan->noise, t),
                                   .time = t,
                                   .number = number,
                                   .step = number + 1};
    return true;
}

static bool (*const advances[VKDLM_SAMPLER_COUNT])(masked_sample *, const masked_plan *) = {
    [VKDLM_SAMPLER_DDPM] = advance_ddpm,
    [VKDLM_SAMPLER_DDPM_CACHE] = advance_ddpm_cache,
    [VKDLM_SAMPLER_ANALYTIC] = advance_analytic,
    [VKDLM_SAMPLER_FIRST_HITTING] = advance_first_hitting,
};

void masked_sample_begin(masked_sample *sample, const masked_plan *plan, uint64_t index)
{
    *sample = (masked_sample){.index = index,
                              .prompt = index / plan->num_samples,
                              .stream = plan->first_stream + (uint32_t)index,
                              .tokens = sample->tokens,
                              .masked = sample->masked,
                              .picked = sample->picked,
                              .step = plan->first_step,
                              .move_chance = schedule_move_chance(&plan->noise, plan->first_time)};
    const vkdlm_canvas *canvas = plan->canvases ? &plan->canvases[sample->prompt] : NULL;
    sample->window_length = canvas ? canvas->length : plan->max_window;
    sample->length = sample->window_length + (plan->n_stages - 1) * plan->stride;
    for (uint32_t i = 0; i < sample->length; i++) {
        bool given = canvas && i < canvas->length && canvas->tokens[i] != plan->mask_id;
        sample->tokens[i] = given ? canvas->tokens[i] : plan->mask_id;
        if (!given && i < sample->window_length)
            sample->masked[sample->n_masked++] = i;
    }
}

bool masked_sample_advance(masked_sample *sample, const masked_plan *plan)
{
    sample->n_picked = 0;
    sample->finished = !advances[plan->sampler](sample, plan);
    return !sample->finished;
}

void masked_sample_apply(masked_sample *sample, const eval_result *results)
{
    for (uint32_t i = 0; i < sample->n_picked; i++)
        sample->tokens[sample->start + sample->picked[i]] = results[i].token;
    sample->evaluations++;
    sample->n_filled += sample->n_picked;
    sample->output_rows += sample->n_picked;
}

uint32_t masked_sample_n_masked(const masked_sample *sample)
{
    return sample->n_masked + (sample->length - sample->start - sample->window_length);
}

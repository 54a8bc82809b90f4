/* make_runs KIND FILE: records a made-up run.
 *
 * masked: 96 positions in 16 steps, four candidates, every position looked at; other: the same with another
 * token at every fifth position; edited: the same with some that were edited; flow: 12 tokens with 9
 * evaluations each; large: 1,024 positions in 1,000 steps. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vkdlm/tokenizer.h>
#include <vkdlm/trajectory.h>

enum { MASK = 4096, N_CANDIDATES = 4, FLOW_TOKENS = 12, FLOW_EVALUATIONS = 9, FLOW_DIM = 16 };

/* Token that a position gets; every ninth is a line feed's or another short one of the vocabulary. */
static int32_t token_of(uint32_t position, uint32_t candidate)
{
    return (int32_t)(260 + (position * 37 + candidate * 101) % 2000);
}

/* Step that unmasks a position. */
static uint32_t step_of(uint32_t position, uint32_t n_steps)
{
    return 1 + position * 7919 % n_steps;
}

/* Every `odd`-th position gets another token; 0: none does. */
static bool record_masked(vkdlm_recorder *recorder, uint32_t length, uint32_t n_steps, uint32_t odd)
{
    int32_t *tokens = calloc(length, sizeof *tokens),
            *ids = calloc((size_t)length * N_CANDIDATES, sizeof *ids);
    uint32_t *changed = calloc(length, sizeof *changed);
    float *probs = calloc((size_t)length * N_CANDIDATES, sizeof *probs),
          *entropy = calloc(length, sizeof *entropy);
    bool good = tokens && ids && changed && probs && entropy;
    for (uint32_t i = 0; good && i < length; i++)
        tokens[i] = MASK;
    for (uint32_t step = 1; good && step <= n_steps; step++) {
        vkdlm_step s = {.step = step,
                        .n_steps = n_steps,
                        .time = 1 - (double)step / n_steps,
                        .evaluations = step,
                        .tokens = tokens,
                        .length = length,
                        .changed = changed,
                        .entropy = entropy,
                        .n_candidates = N_CANDIDATES,
                        .candidate_ids = ids,
                        .candidate_probs = probs,
                        .host_ns = 1000000 + 1000 * ((uint64_t)step * step * 7919 % 997),
                        .device_ns = 900000};
        for (uint32_t pass = 0; pass < 2; pass++)
            for (uint32_t i = 0; i < length; i++)
                if (pass == 0 ? step_of(i, n_steps) == step : step_of(i, n_steps) > step)
                    changed[s.n_evaluated++] = i;
                else
                    continue;
        float *probability = calloc(length, sizeof *probability);
        good = probability != NULL;
        for (uint32_t k = 0; good && k < s.n_evaluated; k++) {
            uint32_t i = changed[k];
            float sure = (float)step / (float)step_of(i, n_steps);
            entropy[k] = 5 * (1 - sure) + 0.2f;
            probability[k] = 0.1f + 0.8f * sure;
            s.n_changed += step_of(i, n_steps) == step;
            s.n_masked += step_of(i, n_steps) > step;
            for (uint32_t c = 0; c < N_CANDIDATES; c++) {
                uint32_t other = sure < 0.5f ? (c + 1) % N_CANDIDATES : c;
                ids[k * N_CANDIDATES + c] = token_of(i, other);
                probs[k * N_CANDIDATES + c] = probability[k] / (float)(1 << c);
            }
            if (step_of(i, n_steps) == step)
                tokens[i] = token_of(i, odd && i % odd == 0);
        }
        s.probability = probability;
        good = good && vkdlm_recorder_on_step(recorder, &s);
        free(probability);
    }
    free(tokens);
    free(ids);
    free(changed);
    free(probs);
    free(entropy);
    return good;
}

/* Two positions that the step fills have tokens of people, and one that is filled later is masked again. */
static uint32_t make_edits(uint32_t step, vkdlm_trajectory_edit edits[3])
{
    uint32_t n_filled = 0, n_masked = 0, n = 0;
    for (uint32_t i = 0; i < 96 && n < 3; i++) {
        const bool filled = step_of(i, 16) == step && n_filled<2, later = step_of(i, 16)> step && !n_masked;
        if (!filled && !later)
            continue;
        edits[n++] = (vkdlm_trajectory_edit){
            .position = i, .from = later ? token_of(i, 1) : -1, .to = later ? -1 : token_of(i, 0)};
        n_filled += filled;
        n_masked += later;
    }
    return n;
}

static bool record_flow(vkdlm_recorder *recorder)
{
    int32_t tokens[FLOW_TOKENS];
    bool good = true;
    for (uint32_t token = 0; token < FLOW_TOKENS && good; token++) {
        for (uint32_t e = 0; e < FLOW_EVALUATIONS && good; e++) {
            float x[FLOW_DIM], probs[N_CANDIDATES], t = (float)e / (FLOW_EVALUATIONS - 1);
            int32_t ids[N_CANDIDATES];
            for (uint32_t d = 0; d < FLOW_DIM; d++)
                x[d] = cosf(t * (float)(d + token));
            for (uint32_t c = 0; c < N_CANDIDATES; c++) {
                ids[c] = token_of(token, t < 0.6f ? (c + 1) % N_CANDIDATES : c);
                probs[c] = (0.4f + 0.5f * t) / (float)(1 << c);
            }
            vkdlm_flow_step s = {.token_index = token,
                                 .index = e,
                                 .last = e + 1 == FLOW_EVALUATIONS,
                                 .time = (double)t,
                                 .x = x,
                                 .dim = FLOW_DIM,
                                 .xhat_id = ids[0],
                                 .entropy = 3 - 2.5f * t,
                                 .n_candidates = N_CANDIDATES,
                                 .candidate_ids = ids,
                                 .candidate_probs = probs,
                                 .wd_norm = t * 10,
                                 .device_ns = 1000000};
            good = vkdlm_recorder_on_flow_step(recorder, &s);
        }
        tokens[token] = token_of(token, 0);
        vkdlm_flow_counts counts = {0};
        vkdlm_token_step s = {.index = token,
                              .max_tokens = FLOW_TOKENS,
                              .token = tokens[token],
                              .refined = true,
                              .tokens = tokens,
                              .length = token + 1,
                              .counts = &counts};
        good = good && vkdlm_recorder_on_token(recorder, &s);
    }
    return good;
}

int main(int argc, char **argv)
{
    vkdlm_error err = {0};
    vkdlm_tokenizer *tokenizer = NULL;
    vkdlm_recorder *recorder = NULL;
    if (argc != 3)
        return 2;
    const bool flow = !strcmp(argv[1], "flow"), large = !strcmp(argv[1], "large");
    vkdlm_trajectory_edit edits[3];
    const vkdlm_trajectory_resumption resumptions[] = {
        {.step = 6, .edits = edits, .n_edits = make_edits(6, edits), .sampler = "{\"steps\":16}", .seed = 3},
        {.step = 11, .sampler = "{\"steps\":16}", .seed = 4},
    };
    vkdlm_model_info info = {.mask_id = MASK, .vocab_size = MASK + 1};
    vkdlm_generate_options masked = {
        .steps = large ? 1000 : 16, .n_candidates = N_CANDIDATES, .evaluate_all = true};
    vkdlm_complete_options path = {.n_candidates = N_CANDIDATES};
    vkdlm_recorder_options options = {.masked = flow ? NULL : &masked,
                                      .flow = flow ? &path : NULL,
                                      .info = &info,
                                      .model = "made-up",
                                      .device = "none",
                                      .prompt = flow ? "In the" : ""};
    vkdlm_status status = vkdlm_tokenizer_open(MODELS_DIR "/kjv-mdlm", &tokenizer, &err);
    options.tokenizer = tokenizer;
    if (!strcmp(argv[1], "edited")) {
        options.resumptions = resumptions;
        options.n_resumptions = 2;
    }
    if (!status)
        status = vkdlm_recorder_create(argv[2], &options, &recorder, &err);
    if (!status) {
        const uint32_t odd = strcmp(argv[1], "other") ? 0 : 5;
        bool good =
            flow ? record_flow(recorder) : record_masked(recorder, large ? 1024 : 96, large ? 1000 : 16, odd);
        if (!good)
            fprintf(stderr, "the recorder gave up\n");
        status = vkdlm_recorder_finish(recorder, &err);
    }
    if (status)
        fprintf(stderr, "%s\n", err.message);
    vkdlm_tokenizer_close(tokenizer);
    return status ? 1 : 0;
}

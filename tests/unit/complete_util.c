#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "complete_util.h"

const ref_causal_config small = {.vocab_size = VOCAB,
                                 .context = CONTEXT,
                                 .flow_dim = DIM,
                                 .n_classes = N_CLASSES,
                                 .sharpness = 1.5,
                                 .seed = 3};

static const int32_t text[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9};
const vkdlm_canvas prompts[N_PROMPTS] = {{text, 2}, {text + 2, 7}, {text + 5, 1}, {text, 12}};

static bool record_token(void *user, const vkdlm_token_step *step)
{
    record *r = user;
    assert_true(step->sample < MAX_SAMPLES && step->length <= CONTEXT);
    assert_int_equal(step->index, r->next[step->sample]);
    assert_true(step->index < step->max_tokens);
    assert_int_equal(step->tokens[step->length - 1], step->token);
    assert_int_equal(step->counts->main, step->index + 1);
    assert_true(step->log_prob <= 0 && step->entropy >= 0 && step->base_entropy >= 0);
    if (!step->refined)
        assert_true(step->entropy == step->base_entropy);
    r->next[step->sample]++;
    r->log_prob[step->sample] += (double)step->log_prob;
    r->entropy[step->sample] += (double)step->entropy;
    r->base_entropy[step->sample] += (double)step->base_entropy;
    r->refined[step->sample][step->index] = step->refined;
    return ++r->n_tokens != r->stop_after_tokens;
}

static bool record_sample(void *user, const vkdlm_completion *c)
{
    record *r = user;
    assert_true(r->gaps ? c->sample >= r->n_samples : c->sample == r->n_samples);
    assert_true(r->n_samples < MAX_SAMPLES && c->length <= CONTEXT);
    uint32_t n = c->length - c->prompt_length;
    assert_int_equal(n, r->next[c->sample]);
    assert_int_equal(c->counts.main, n);
    assert_true(c->log_prob == r->log_prob[c->sample]);
    assert_true(n ? c->mean_entropy == r->entropy[c->sample] / n : isnan(c->mean_entropy));
    assert_true(n ? c->mean_base_entropy == r->base_entropy[c->sample] / n : isnan(c->mean_base_entropy));
    assert_true(c->seconds >= 0);
    if (c->ended)
        assert_int_equal(c->tokens[c->length - 1], END_ID);
    r->samples[r->n_samples] = *c;
    memcpy(r->tokens[r->n_samples], c->tokens, c->length * sizeof *c->tokens);
    return ++r->n_samples != r->stop_after_samples;
}

vkdlm_complete_options all_prompts(void)
{
    return (vkdlm_complete_options){
        .prompts = prompts, .n_prompts = N_PROMPTS, .num_samples = 3, .max_tokens = 9, .seed = 5};
}

vkdlm_status complete_on(causal *network, const vkdlm_model_info *info, vkdlm_complete_options options,
                         record *r)
{
    const record before = *r;
    *r = (record){.stop_after_tokens = before.stop_after_tokens,
                  .stop_after_samples = before.stop_after_samples,
                  .gaps = before.gaps};
    options.on_token = record_token;
    options.on_sample = record_sample;
    options.user = r;
    return complete_run(network, info, &options, &r->stats, &r->err);
}

void complete_small(const ref_causal_config *config, vkdlm_complete_options options, record *r)
{
    causal *network = ref_causal_create(config);
    vkdlm_model_info info = ref_causal_info(config);
    vkdlm_status status = complete_on(network, &info, options, r);
    if (status != VKDLM_OK)
        fail_msg("%s", r->err.message);
    assert_int_equal(r->n_samples, r->stats.samples);
    ref_causal_destroy(network);
}

void check_same(const record *a, const record *b)
{
    assert_int_equal(a->n_samples, b->n_samples);
    for (uint32_t i = 0; i < a->n_samples; i++) {
        const vkdlm_completion *x = &a->samples[i], *y = &b->samples[i];
        assert_int_equal(x->length, y->length);
        assert_memory_equal(a->tokens[i], b->tokens[i], x->length * sizeof(int32_t));
        assert_true(x->log_prob == y->log_prob && x->ended == y->ended);
        assert_memory_equal(&x->counts, &y->counts, sizeof x->counts);
        assert_true(a->base_entropy[i] == b->base_entropy[i] && a->entropy[i] == b->entropy[i]);
    }
}

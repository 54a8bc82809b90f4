/* Causal language models on a device through the public API against transformers' f32 run: logits, hidden
 * states, greedy continuation. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_test.h"
#include "golden/golden.h"
#include "ref/ref_llm.h"

/* The bars of the golden data: two f32 runs differ by far less. */
#define LOGITS_TOLERANCE 2e-4
#define HIDDEN_TOLERANCE 1e-4 /* relative to the largest value */

enum { MAX_LENGTH = 64, MAX_PROMPTS = 4 };

static const char *const folders[] = {
    TESTS_DIR "/golden/llm/llama-tied",   TESTS_DIR "/golden/llm/llama-untied",
    TESTS_DIR "/golden/llm/llama-bf16",   TESTS_DIR "/golden/llm/qwen2",
    TESTS_DIR "/golden/llm/qwen2-untied",
};

/* ---- evaluations ------------------------------------------------------------------------------------ */

/* What one call of vkdlm_forward returned, widened. */
typedef struct forward_outputs {
    double *logits; /* [n_sequences, n_rows, V] */
    double *hidden; /* [n_sequences, blocks + 1, n_rows, D]; NULL when not wanted */
    size_t n_logits, n_hidden;
} forward_outputs;

static vkdlm_status keep(void *user, uint32_t sequence, const float *logits, const float *hidden,
                         vkdlm_error *err)
{
    (void)err;
    forward_outputs *out = user;
    for (size_t i = 0; i < out->n_logits; i++)
        out->logits[sequence * out->n_logits + i] = (double)logits[i];
    for (size_t i = 0; out->hidden && i < out->n_hidden; i++)
        out->hidden[sequence * out->n_hidden + i] = (double)hidden[i];
    return VKDLM_OK;
}

static forward_outputs forward(engine_test *engine, vkdlm_forward_options options)
{
    vkdlm_model_info info;
    vkdlm_error err = {0};
    vkdlm_model_get_info(engine->model, &info);
    size_t n_rows = options.rows ? options.n_rows : options.length;
    forward_outputs out = {.n_logits = n_rows * info.vocab_size,
                           .n_hidden = (info.n_blocks + 1) * n_rows * info.hidden_dim};
    out.logits = calloc(options.n_sequences * out.n_logits, sizeof *out.logits);
    assert_non_null(out.logits);
    if (options.hidden) {
        out.hidden = calloc(options.n_sequences * out.n_hidden, sizeof *out.hidden);
        assert_non_null(out.hidden);
    }
    options.on_sequence = keep;
    options.user = &out;
    engine_test_ok(vkdlm_forward(engine->session, &options, &err), &err);
    return out;
}

static void forward_free(forward_outputs *out)
{
    free(out->logits);
    free(out->hidden);
}

/* The recorded last state is behind the final norm; ours is what the last block leaves. */
static void check_hidden(const ref_llm *net, const vkdlm_tensors *file, double *hidden, size_t row,
                         size_t n_rows, size_t n)
{
    size_t size = n * net->dim, n_states = net->n_layers + 1u;
    double *expected = golden_doubles(file, "hidden", n_states * n_rows * size);
    double *last = hidden + (n_states - 1) * size;
    for (size_t l = 0; l < n; l++) {
        ref_llm_rms(net, last + l * net->dim, last + l * net->dim);
        for (size_t i = 0; i < net->dim; i++)
            last[l * net->dim + i] *= net->norm[i];
    }
    for (size_t i = 0; i < n_states; i++)
        golden_check_close("hidden", hidden + i * size, expected + (i * n_rows + row) * size, size,
                           HIDDEN_TOLERANCE, false);
    free(expected);
}

static void check_sequences(engine_test *engine, const ref_llm *net, const vkdlm_tensors *file)
{
    size_t n_rows = golden_extent(file, "tokens", 0), n = golden_extent(file, "tokens", 1);
    int32_t *tokens = golden_ints(file, "tokens", n_rows * n);
    double *expected = golden_doubles(file, "logits", n_rows * n * net->vocab_size);
    forward_outputs out = forward(engine, (vkdlm_forward_options){.tokens = tokens,
                                                                  .n_sequences = (uint32_t)n_rows,
                                                                  .length = (uint32_t)n,
                                                                  .hidden = true});
    golden_check_close("logits", out.logits, expected, n_rows * n * net->vocab_size, LOGITS_TOLERANCE, true);
    for (size_t row = 0; row < n_rows; row++)
        check_hidden(net, file, out.hidden + row * out.n_hidden, row, n_rows, n);
    forward_free(&out);
    free(expected);
    free(tokens);
}

/* A padded row is its tokens without the padding. */
static void check_padded(engine_test *engine, const ref_llm *net, const vkdlm_tensors *file)
{
    size_t n_rows = golden_extent(file, "padded_tokens", 0), n = golden_extent(file, "padded_tokens", 1),
           vocab = net->vocab_size;
    int32_t *tokens = golden_ints(file, "padded_tokens", n_rows * n);
    int32_t *mask = golden_ints(file, "padded_mask", n_rows * n);
    double *expected = golden_doubles(file, "padded_logits", n_rows * n * vocab);
    for (size_t row = 0; row < n_rows; row++) {
        size_t pad = 0;
        while (pad < n && !mask[row * n + pad])
            pad++;
        assert_true(pad < n);
        forward_outputs out = forward(engine, (vkdlm_forward_options){.tokens = tokens + row * n + pad,
                                                                      .n_sequences = 1,
                                                                      .length = (uint32_t)(n - pad)});
        golden_check_close("padded logits", out.logits, expected + (row * n + pad) * vocab, (n - pad) * vocab,
                           LOGITS_TOLERANCE, true);
        forward_free(&out);
    }
    free(expected);
    free(mask);
    free(tokens);
}

static void test_evaluations(void **state)
{
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/golden.safetensors", folders[i]);
        vkdlm_tensors *file = golden_open(path);
        ref_llm *net = ref_llm_open(folders[i]);
        assert_non_null(net);
        engine_test_model(*state, folders[i]);
        check_sequences(*state, net, file);
        check_padded(*state, net, file);
        engine_test_close_model(*state);
        ref_llm_close(net);
        vkdlm_tensors_close(file);
    }
}

/* A row has the same bits whichever rows are asked for beside it, and whatever follows it. */
static void test_rows_do_not_depend_on_each_other(void **state)
{
    const uint32_t rows[] = {3, 17}, length = 40;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        vkdlm_model_info info;
        int32_t tokens[MAX_LENGTH];
        engine_test_model(*state, folders[i]);
        vkdlm_model_get_info(((engine_test *)*state)->model, &info);
        for (uint32_t l = 0; l < length; l++)
            tokens[l] = (int32_t)(l * 37 % info.vocab_size);
        vkdlm_forward_options options = {.tokens = tokens, .n_sequences = 1, .length = length};
        forward_outputs all = forward(*state, options);
        options.rows = rows;
        options.n_rows = 2;
        forward_outputs some = forward(*state, options);
        options.rows = NULL;
        options.length = rows[1] + 1;
        forward_outputs shorter = forward(*state, options);
        for (size_t r = 0; r < 2; r++) {
            const double *row = all.logits + rows[r] * (size_t)info.vocab_size;
            assert_memory_equal(some.logits + r * info.vocab_size, row, info.vocab_size * sizeof *row);
            assert_memory_equal(shorter.logits + rows[r] * (size_t)info.vocab_size, row,
                                info.vocab_size * sizeof *row);
        }
        forward_free(&shorter);
        forward_free(&some);
        forward_free(&all);
        engine_test_close_model(*state);
    }
}

/* ---- continuation ------------------------------------------------------------------------------------- */

/* What a run delivered for each of its prompts. */
typedef struct continuations {
    int32_t tokens[MAX_PROMPTS][MAX_LENGTH];
    uint32_t length[MAX_PROMPTS];
    double log_prob[MAX_PROMPTS][MAX_LENGTH]; /* of each new token */
    uint32_t n;
    bool ended[MAX_PROMPTS];
} continuations;

static bool keep_token(void *user, const vkdlm_token_step *step)
{
    continuations *out = user;
    assert_true(step->sample < MAX_PROMPTS && step->index < MAX_LENGTH && !step->refined);
    out->log_prob[step->sample][step->index] = (double)step->log_prob;
    return true;
}

static bool keep_completion(void *user, const vkdlm_completion *completion)
{
    continuations *out = user;
    assert_true(completion->complete && out->n == completion->sample && completion->length <= MAX_LENGTH);
    out->length[out->n] = completion->length;
    out->ended[out->n] = completion->ended;
    memcpy(out->tokens[out->n++], completion->tokens, completion->length * sizeof *completion->tokens);
    return true;
}

static continuations *complete(engine_test *engine, const vkdlm_canvas *prompts, uint32_t n_prompts,
                               uint32_t max_tokens, uint32_t batch, bool ignore_end)
{
    continuations *out = calloc(1, sizeof *out);
    assert_non_null(out);
    vkdlm_error err = {0};
    const vkdlm_complete_options options = {.prompts = prompts,
                                            .n_prompts = n_prompts,
                                            .batch = batch,
                                            .max_tokens = max_tokens,
                                            .ignore_end = ignore_end,
                                            .greedy = true,
                                            .on_token = keep_token,
                                            .on_sample = keep_completion,
                                            .user = out};
    engine_test_ok(vkdlm_complete(engine->session, &options, NULL, &err), &err);
    assert_int_equal(out->n, n_prompts);
    return out;
}

/* Logarithm of the softmax at one token. */
static double log_softmax(const double *logits, size_t n, int32_t token)
{
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        max = fmax(max, logits[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp(logits[i] - max);
    return logits[token] - max - log(sum);
}

/* The recorded continuation: the same tokens, from the same logits. */
static void test_continuation(void **state)
{
    engine_test *engine = *state;
    for (size_t f = 0; f < sizeof folders / sizeof *folders; f++) {
        char path[512];
        snprintf(path, sizeof path, "%s/golden.safetensors", folders[f]);
        vkdlm_tensors *file = golden_open(path);
        size_t n_prompt = golden_extent(file, "prompt", 1), n = golden_extent(file, "generated", 0),
               vocab = golden_extent(file, "generated_logits", 1);
        int32_t *prompt = golden_ints(file, "prompt", n_prompt);
        int32_t *generated = golden_ints(file, "generated", n);
        double *expected = golden_doubles(file, "generated_logits", n * vocab);
        engine_test_model(engine, folders[f]);
        continuations *out =
            complete(engine, &(vkdlm_canvas){prompt, (uint32_t)n_prompt}, 1, (uint32_t)n, 0, true);
        assert_int_equal(out->length[0], n_prompt + n);
        assert_memory_equal(out->tokens[0], prompt, n_prompt * sizeof *prompt);
        assert_memory_equal(out->tokens[0] + n_prompt, generated, n * sizeof *generated);
        double log_prob[MAX_LENGTH];
        for (size_t i = 0; i < n; i++)
            log_prob[i] = log_softmax(expected + i * vocab, vocab, generated[i]);
        golden_check_close("log-probability", out->log_prob[0], log_prob, n, LOGITS_TOLERANCE, true);

        /* One pass over prompt and continuation gives what the cache gave. */
        uint32_t rows[MAX_LENGTH];
        for (size_t i = 0; i < n; i++)
            rows[i] = (uint32_t)(n_prompt - 1 + i);
        forward_outputs whole = forward(engine, (vkdlm_forward_options){.tokens = out->tokens[0],
                                                                        .n_sequences = 1,
                                                                        .length = out->length[0],
                                                                        .rows = rows,
                                                                        .n_rows = (uint32_t)n});
        golden_check_close("generated logits", whole.logits, expected, n * vocab, LOGITS_TOLERANCE, true);
        forward_free(&whole);
        free(out);
        engine_test_close_model(engine);
        free(expected);
        free(generated);
        free(prompt);
        vkdlm_tensors_close(file);
    }
}

/* Prompts of different lengths are the same together and alone, whatever the batch. */
static void test_batches(void **state)
{
    enum { N_PROMPTS = 4, N_NEW = 6 };
    for (size_t f = 0; f < sizeof folders / sizeof *folders; f++) {
        char path[512];
        snprintf(path, sizeof path, "%s/golden.safetensors", folders[f]);
        vkdlm_tensors *file = golden_open(path);
        size_t n = golden_extent(file, "tokens", 1);
        int32_t *tokens = golden_ints(file, "tokens", 2 * n);
        const vkdlm_canvas prompts[N_PROMPTS] = {{tokens, (uint32_t)n},
                                                 {tokens + n, 1},
                                                 {tokens + n, (uint32_t)n - 4},
                                                 {tokens + 5, (uint32_t)n - 5}};
        engine_test_model(*state, folders[f]);
        continuations *together = complete(*state, prompts, N_PROMPTS, N_NEW, N_PROMPTS, true);
        continuations *pairs = complete(*state, prompts, N_PROMPTS, N_NEW, 2, true);
        assert_memory_equal(pairs, together, sizeof *pairs);
        for (uint32_t i = 0; i < N_PROMPTS; i++) {
            continuations *alone = complete(*state, &prompts[i], 1, N_NEW, 1, true);
            assert_int_equal(alone->length[0], together->length[i]);
            assert_memory_equal(alone->tokens[0], together->tokens[i],
                                alone->length[0] * sizeof alone->tokens[0][0]);
            assert_memory_equal(alone->log_prob[0], together->log_prob[i], N_NEW * sizeof(double));
            free(alone);
        }
        free(pairs);
        free(together);
        engine_test_close_model(*state);
        free(tokens);
        vkdlm_tensors_close(file);
    }
}

/* What the files say about the models. */
static void test_info(void **state)
{
    engine_test *engine = *state;
    vkdlm_model_info info;
    engine_test_model(engine, TESTS_DIR "/golden/llm/llama-untied");
    vkdlm_model_get_info(engine->model, &info);
    assert_string_equal(info.architecture, "llama");
    assert_int_equal(info.family, VKDLM_FAMILY_CAUSAL);
    assert_int_equal(info.vocab_size, 259);
    assert_int_equal(info.mask_id, -1);
    assert_int_equal(info.length, 512);
    assert_int_equal(info.hidden_dim, 80);
    assert_int_equal(info.n_blocks, 2);
    assert_int_equal(info.n_heads, 3);
    assert_int_equal(info.n_kv_heads, 1);
    assert_int_equal(info.head_dim, 32);
    assert_int_equal(info.mlp_dim, 96);
    assert_int_equal(info.begin_id, 256);
    assert_int_equal(info.n_end_ids, 2);
    assert_int_equal(info.end_ids[0], 257);
    assert_int_equal(info.end_ids[1], 258);
    assert_false(info.flow.present);
    engine_test_model(engine, TESTS_DIR "/golden/llm/qwen2");
    vkdlm_model_get_info(engine->model, &info);
    assert_string_equal(info.architecture, "qwen2");
    assert_int_equal(info.head_dim, 16);
    assert_int_equal(info.length, 1024);
    engine_test_close_model(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_evaluations),
        cmocka_unit_test(test_rows_do_not_depend_on_each_other),
        cmocka_unit_test(test_continuation),
        cmocka_unit_test(test_batches),
    };
    return cmocka_run_group_tests(tests, engine_test_setup, engine_test_teardown);
}

/* The scalar reference of causal models against transformers' f32 run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "ref/ref_llm.h"

/* What f32 and f64 differ by is 2e-5 in the logits, whose standard deviation is near 3. */
#define LOGITS_TOLERANCE 5e-5
#define HIDDEN_TOLERANCE 1e-5 /* relative to the largest value */

/* One row of tokens from an empty cache. hidden [layers + 1, n, D] or NULL. */
static void forward(const ref_llm *net, const int32_t *tokens, size_t n, double *hidden, double *logits)
{
    ref_llm_cache cache = ref_llm_cache_create(net, (uint32_t)n);
    ref_llm_forward(net, &cache, tokens, (uint32_t)n, hidden, logits);
    ref_llm_cache_destroy(&cache);
}

static void check_hidden(const ref_llm *net, const vkdlm_tensors *file, const double *hidden, size_t row,
                         size_t n_rows, size_t n)
{
    size_t size = n * net->dim, n_states = net->n_layers + 1u;
    double *expected = golden_doubles(file, "hidden", n_states * n_rows * size);
    double *normed = calloc(size, sizeof *normed);
    assert_non_null(normed);
    for (size_t i = 0; i + 1 < n_states; i++)
        golden_check_close("hidden", hidden + i * size, expected + (i * n_rows + row) * size, size,
                           HIDDEN_TOLERANCE, false);
    /* The recorded last state is behind the final norm. */
    for (size_t l = 0; l < n; l++) {
        ref_llm_rms(net, hidden + (n_states - 1) * size + l * net->dim, normed + l * net->dim);
        for (size_t i = 0; i < net->dim; i++)
            normed[l * net->dim + i] *= net->norm[i];
    }
    golden_check_close("normed hidden", normed, expected + ((n_states - 1) * n_rows + row) * size, size,
                       HIDDEN_TOLERANCE, false);
    free(normed);
    free(expected);
}

static void check_sequences(const ref_llm *net, const vkdlm_tensors *file)
{
    size_t n_rows = golden_extent(file, "tokens", 0), n = golden_extent(file, "tokens", 1),
           vocab = net->vocab_size;
    int32_t *tokens = golden_ints(file, "tokens", n_rows * n);
    double *expected = golden_doubles(file, "logits", n_rows * n * vocab);
    double *logits = calloc(n * vocab, sizeof *logits);
    double *hidden = calloc((net->n_layers + 1u) * n * net->dim, sizeof *hidden);
    assert_true(logits && hidden);
    for (size_t row = 0; row < n_rows; row++) {
        forward(net, tokens + row * n, n, hidden, logits);
        golden_check_close("logits", logits, expected + row * n * vocab, n * vocab, LOGITS_TOLERANCE, true);
        check_hidden(net, file, hidden, row, n_rows, n);
    }
    free(hidden);
    free(logits);
    free(expected);
    free(tokens);
}

/* A padded row is its tokens without the padding. */
static void check_padded(const ref_llm *net, const vkdlm_tensors *file)
{
    size_t n_rows = golden_extent(file, "padded_tokens", 0), n = golden_extent(file, "padded_tokens", 1),
           vocab = net->vocab_size;
    int32_t *tokens = golden_ints(file, "padded_tokens", n_rows * n);
    int32_t *mask = golden_ints(file, "padded_mask", n_rows * n);
    double *expected = golden_doubles(file, "padded_logits", n_rows * n * vocab);
    double *logits = calloc(n * vocab, sizeof *logits);
    assert_non_null(logits);
    for (size_t row = 0; row < n_rows; row++) {
        size_t pad = 0;
        while (pad < n && !mask[row * n + pad])
            pad++;
        assert_true(pad < n);
        assert_int_equal(pad, row == 0 ? 5 : 0);
        forward(net, tokens + row * n + pad, n - pad, NULL, logits);
        golden_check_close("padded logits", logits, expected + (row * n + pad) * vocab, (n - pad) * vocab,
                           LOGITS_TOLERANCE, true);
    }
    free(logits);
    free(expected);
    free(mask);
    free(tokens);
}

static uint32_t argmax(const double *values, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        best = values[i] > values[best] ? i : best;
    return best;
}

/* Greedy continuation through the cache, one token at a time. */
static void check_continuation(const ref_llm *net, const vkdlm_tensors *file)
{
    size_t n_prompt = golden_extent(file, "prompt", 1), n = golden_extent(file, "generated", 0),
           vocab = net->vocab_size;
    int32_t *prompt = golden_ints(file, "prompt", n_prompt);
    int32_t *generated = golden_ints(file, "generated", n);
    double *expected = golden_doubles(file, "generated_logits", n * vocab);
    double *logits = calloc(vocab, sizeof *logits);
    assert_non_null(logits);
    ref_llm_cache cache = ref_llm_cache_create(net, (uint32_t)(n_prompt + n));
    ref_llm_forward(net, &cache, prompt, (uint32_t)n_prompt - 1, NULL, NULL);
    int32_t token = prompt[n_prompt - 1];
    for (size_t i = 0; i < n; i++) {
        ref_llm_forward(net, &cache, &token, 1, NULL, logits);
        golden_check_close("generated logits", logits, expected + i * vocab, vocab, LOGITS_TOLERANCE, true);
        token = (int32_t)argmax(logits, net->vocab_size);
        assert_int_equal(token, generated[i]);
    }
    ref_llm_cache_destroy(&cache);
    free(logits);
    free(expected);
    free(generated);
    free(prompt);
}

static void check_folder(void **state)
{
    const char *folder = *state;
    char path[512];
    ref_llm *net = ref_llm_open(folder);
    assert_non_null(net);
    snprintf(path, sizeof path, "%s/golden.safetensors", folder);
    vkdlm_tensors *file = golden_open(path);
    check_sequences(net, file);
    check_padded(net, file);
    check_continuation(net, file);
    vkdlm_tensors_close(file);
    ref_llm_close(net);
}

#define FOLDER_TEST(folder)                                                                                 \
    {                                                                                                       \
        .name = folder, .test_func = check_folder, .initial_state = (void *)TESTS_DIR "/golden/llm/" folder \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST("llama-tied"), FOLDER_TEST("llama-untied"), FOLDER_TEST("llama-bf16"),
        FOLDER_TEST("qwen2"),      FOLDER_TEST("qwen2-untied"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

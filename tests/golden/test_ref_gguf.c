/* The reader of GGUF files and of their blocks, in scalar double: the recorded logits of the dequantised
 * weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "ref/ref_gguf.h"

static const char *const names[] = {"llama-linear-f16", "llama-tied-q4_k_m", "llama-untied-q8_0",
                                    "qwen2-untied-q5_k_m", "qwen2-tied-mixed"};

static void test_logits(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        snprintf(path, sizeof path, TESTS_DIR "/golden/gguf/%s.gguf", names[i]);
        ref_llm *net = ref_gguf_open(path);
        assert_non_null(net);
        snprintf(path, sizeof path, TESTS_DIR "/golden/gguf/%s.expected.safetensors", names[i]);
        vkdlm_tensors *file = golden_open(path);
        size_t n = golden_extent(file, "tokens", 0), n_logits = n * net->vocab_size;
        int32_t *tokens = golden_ints(file, "tokens", n);
        double *expected = golden_doubles(file, "logits", n_logits);
        double *found = calloc(n_logits, sizeof *found);
        assert_non_null(found);
        ref_llm_cache cache = ref_llm_cache_create(net, (uint32_t)n);
        ref_llm_forward(net, &cache, tokens, (uint32_t)n, NULL, found);
        golden_check_close(names[i], found, expected, n_logits, 5e-5, true);
        ref_llm_cache_destroy(&cache);
        free(found);
        free(expected);
        free(tokens);
        vkdlm_tensors_close(file);
        ref_llm_close(net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

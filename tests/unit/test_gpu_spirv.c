/* SPIR-V reflection: of the product's kernels, and of modules cut or changed at every word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gpu/gpu.h"
#include "gpu/spirv.h"
#include "shaders/params.h"

static void reflect(enum gpu_kernel kernel, const uint32_t *spec, uint32_t n_spec, spirv_info *info)
{
    const struct gpu_kernel_code *code = &gpu_kernel_codes[kernel];
    vkdlm_error err;
    if (spirv_reflect(code->name, code->words, code->n_words, spec, n_spec, info, &err) != VKDLM_OK)
        fail_msg("%s", err.message);
}

static void test_embed(void **state)
{
    (void)state;
    spirv_info info;
    reflect(GPU_KERNEL_EMBED_F16, NULL, 0, &info);
    assert_int_equal(info.n_bindings, 3);
    assert_true(info.bindings[0].reads && !info.bindings[0].writes);
    assert_true(info.bindings[1].reads && !info.bindings[1].writes);
    assert_true(!info.bindings[2].reads && info.bindings[2].writes);
    assert_int_equal(info.push_bytes, sizeof(struct embed_params));
    assert_int_equal(info.local_size[0], 64);
    assert_int_equal(info.local_size[1], 1);
    assert_int_equal(info.local_size[2], 1);
}

static void test_size_from_constants(void **state)
{
    (void)state;
    spirv_info info;
    reflect(GPU_KERNEL_NORM, NULL, 0, &info);
    assert_int_equal(info.local_size[0], 1);
    const uint32_t spec[] = {96, 8};
    reflect(GPU_KERNEL_NORM, spec, 2, &info);
    assert_int_equal(info.local_size[0], 96);
    assert_int_equal(info.n_bindings, 6);
    assert_int_equal(info.push_bytes, sizeof(struct norm_params));
}

/* Texel buffers, with what a texel is made of, beside storage buffers. */
static void test_texels(void **state)
{
    (void)state;
    spirv_info info;
    reflect(GPU_KERNEL_MATMUL_TEXELS_F32, NULL, 0, &info);
    assert_int_equal(info.bindings[1].kind, SPIRV_TEXELS_FLOAT);
    reflect(GPU_KERNEL_MATMUL_TEXELS_F16, NULL, 0, &info);
    assert_int_equal(info.bindings[0].kind, SPIRV_TEXELS_FLOAT);
    assert_int_equal(info.bindings[1].kind, SPIRV_TEXELS_UINT);
    assert_true(info.bindings[1].reads && !info.bindings[1].writes);
    assert_int_equal(info.bindings[2].kind, SPIRV_STORAGE);
}

/* Every kernel of the build can be read, has a size, and uses no binding past the table. */
static void test_all_kernels(void **state)
{
    (void)state;
    for (int k = 0; k < GPU_KERNEL_COUNT; k++) {
        if (!gpu_kernel_built((enum gpu_kernel)k))
            continue;
        spirv_info info;
        reflect((enum gpu_kernel)k, NULL, 0, &info);
        assert_true(info.local_size[0] > 0);
        assert_true(info.n_bindings > 0 && info.n_bindings <= SPIRV_MAX_BINDINGS);
    }
}

/* A module cut anywhere is refused or read without its end; memory past the cut is not touched (sanitizers
 * see). */
static void test_truncated(void **state)
{
    (void)state;
    const struct gpu_kernel_code *code = &gpu_kernel_codes[GPU_KERNEL_NORM];
    for (size_t n = 0; n < code->n_words; n++) {
        uint32_t *copy = malloc((n ? n : 1) * sizeof *copy);
        assert_non_null(copy);
        memcpy(copy, code->words, n * sizeof *copy);
        spirv_info info;
        vkdlm_error err;
        vkdlm_status status = spirv_reflect("cut", copy, n, NULL, 0, &info, &err);
        assert_true(status == VKDLM_OK || status == VKDLM_MALFORMED);
        if (n < 5)
            assert_int_equal(status, VKDLM_MALFORMED);
        free(copy);
    }
}

static void test_damaged(void **state)
{
    (void)state;
    static const uint32_t values[] = {0, 1, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF};
    const struct gpu_kernel_code *code = &gpu_kernel_codes[GPU_KERNEL_EMBED_F32];
    uint32_t *copy = malloc(code->n_words * sizeof *copy);
    assert_non_null(copy);
    for (size_t at = 0; at < code->n_words; at++)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            memcpy(copy, code->words, code->n_words * sizeof *copy);
            copy[at] = values[v];
            spirv_info info;
            vkdlm_error err;
            vkdlm_status status = spirv_reflect("damaged", copy, code->n_words, NULL, 0, &info, &err);
            assert_true(status == VKDLM_OK || status == VKDLM_MALFORMED);
            if (at == 0)
                assert_int_equal(status, VKDLM_MALFORMED);
        }
    free(copy);
}

/* Changes the literal of every decoration `kind` and expects a refusal that says `why`. */
static void refuse_decoration(uint32_t kind, uint32_t literal, const char *why)
{
    const struct gpu_kernel_code *code = &gpu_kernel_codes[GPU_KERNEL_EMBED_F32];
    uint32_t *copy = malloc(code->n_words * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, code->words, code->n_words * sizeof *copy);
    for (size_t at = 5; at < code->n_words; at += copy[at] >> 16)
        if (copy[at] == (4u << 16 | 71u) && copy[at + 2] == kind)
            copy[at + 3] = literal;
    spirv_info info;
    vkdlm_error err;
    assert_int_equal(spirv_reflect("changed", copy, code->n_words, NULL, 0, &info, &err), VKDLM_MALFORMED);
    assert_non_null(strstr(err.message, why));
    free(copy);
}

static void test_refusals(void **state)
{
    (void)state;
    refuse_decoration(34, 1, "set 0");
    refuse_decoration(33, 12, "binding");
    refuse_decoration(33, 0xFFFFFFFF, "binding");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embed),     cmocka_unit_test(test_size_from_constants),
        cmocka_unit_test(test_texels),    cmocka_unit_test(test_all_kernels),
        cmocka_unit_test(test_truncated), cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

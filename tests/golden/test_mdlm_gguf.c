/* Masked diffusion models from GGUF files: a random model in every type of weights on a device against the
 * scalar reference on the dequantised weights, and the bundled model's tokenizer. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <vkdlm/quantize.h>

#include "base/rng.h"
#include "engine_test.h"
#include "golden/golden.h"
#include "golden/mixed.h"
#include "ref/ref_mdlm.h"

/* Relative to the largest logit, as in test_network.c. */
#define TOLERANCE 1e-5

/* Rows of 64, 256 and 1024 elements: of every type, but that rows of 64 fall back to blocks of 32. */
enum { VOCAB = 150, LENGTH = 11, DIM = 256, COND = 64, N_BLOCKS = 2, N_HEADS = 4, FEATURES = 256 };

static char folder[64], model_path[128], gguf_path[128], other_path[128];

static int setup(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/vkdlm-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(model_path, sizeof model_path, "%s/model.safetensors", folder);
    snprintf(gguf_path, sizeof gguf_path, "%s/model.gguf", folder);
    snprintf(other_path, sizeof other_path, "%s/other.gguf", folder);
    return engine_test_setup(state);
}

static int teardown(void **state)
{
    char config[128];
    snprintf(config, sizeof config, "%s/config.json", folder);
    const char *const files[] = {config, model_path, gguf_path, other_path};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(files[i]);
    rmdir(folder);
    return engine_test_teardown(state);
}

/* ---- a random model ------------------------------------------------------------------------------- */

static void add(vkdlm_tensor_spec *specs, char (*names)[96], size_t *n, const char *name, uint64_t rows,
                uint64_t columns)
{
    snprintf(names[*n], sizeof names[*n], "backbone.%s", name);
    specs[*n] = (vkdlm_tensor_spec){
        .name = names[*n], .dtype = VKDLM_DTYPE_F32, .n_dims = columns ? 2 : 1, .shape = {rows, columns}};
    ++*n;
}

static void add_layer(vkdlm_tensor_spec *specs, char (*names)[96], size_t *n, const char *name, uint64_t out,
                      uint64_t in, bool bias)
{
    char full[80];
    snprintf(full, sizeof full, "%s.weight", name);
    add(specs, names, n, full, out, in);
    snprintf(full, sizeof full, "%s.bias", name);
    if (bias)
        add(specs, names, n, full, out, 0);
}

static void write_config(bool time_conditioning)
{
    char path[128];
    snprintf(path, sizeof path, "%s/config.json", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file,
            "{\"model_type\": \"mdlm\", \"vocab_size\": %d, \"model_length\": %d, \"hidden_dim\": %d, "
            "\"cond_dim\": %d, \"n_blocks\": %d, \"n_heads\": %d, \"time_conditioning\": %s}",
            VOCAB, LENGTH, DIM, COND, N_BLOCKS, N_HEADS, time_conditioning ? "true" : "false");
    assert_int_equal(fclose(file), 0);
}

static void write_model(bool time_conditioning)
{
    enum { MAX_TENSORS = 64 };
    static vkdlm_tensor_spec specs[MAX_TENSORS];
    static char names[MAX_TENSORS][96];
    size_t n = 0;
    add(specs, names, &n, "vocab_embed.embedding", VOCAB, DIM);
    add_layer(specs, names, &n, "sigma_map.mlp.0", COND, FEATURES, true);
    add_layer(specs, names, &n, "sigma_map.mlp.2", COND, COND, true);
    for (int i = 0; i < N_BLOCKS; i++) {
        const struct {
            const char *name;
            uint64_t out, in;
            bool bias;
        } layers[] = {{"norm1", DIM, 0, false},
                      {"attn_qkv", 3 * DIM, DIM, false},
                      {"attn_out", DIM, DIM, false},
                      {"norm2", DIM, 0, false},
                      {"mlp.0", 4 * DIM, DIM, true},
                      {"mlp.2", DIM, 4 * DIM, true},
                      {"adaLN_modulation", 6 * DIM, COND, true}};
        for (size_t j = 0; j < sizeof layers / sizeof *layers; j++) {
            char name[64];
            snprintf(name, sizeof name, "blocks.%d.%s", i, layers[j].name);
            add_layer(specs, names, &n, name, layers[j].out, layers[j].in, layers[j].bias);
        }
    }
    add_layer(specs, names, &n, "output_layer.norm_final", DIM, 0, false);
    add_layer(specs, names, &n, "output_layer.adaLN_modulation", 2 * DIM, COND, true);
    add_layer(specs, names, &n, "output_layer.linear", VOCAB, DIM, true);

    vkdlm_error err = {0};
    vkdlm_tensors_writer *w;
    engine_test_ok(vkdlm_tensors_writer_create(model_path, specs, n, NULL, 0, &w, &err), &err);
    for (size_t i = 0; i < n; i++) {
        bool is_matrix = specs[i].n_dims == 2, is_norm = strstr(names[i], "norm") != NULL;
        uint32_t size = (uint32_t)(specs[i].shape[0] * (is_matrix ? specs[i].shape[1] : 1));
        double scale = is_matrix ? 1 / sqrt((double)specs[i].shape[1]) : 0.2;
        double *normals = calloc(size, sizeof *normals);
        float *values = calloc(size, sizeof *values);
        assert_true(normals && values);
        rng_normals(17, 0, 0, (uint32_t)i, normals, size);
        for (uint32_t k = 0; k < size; k++)
            values[k] = (float)((is_norm ? 1 : 0) + scale * normals[k] * (k % 97 == 5 ? 4 : 1));
        engine_test_ok(vkdlm_tensors_writer_write(w, i, 0, values, size * sizeof *values, &err), &err);
        free(values);
        free(normals);
    }
    engine_test_ok(vkdlm_tensors_writer_finish(w, &err), &err);
    write_config(time_conditioning);
}

static void convert(const char *from, const char *to, const char *type)
{
    vkdlm_error err = {0};
    const vkdlm_quantize_options options = {.type = type};
    engine_test_ok(vkdlm_quantize(from, to, &options, NULL, &err), &err);
}

/* ---- logits --------------------------------------------------------------------------------------- */

static vkdlm_status keep(void *user, uint32_t sequence, const float *logits, const float *hidden,
                         vkdlm_error *err)
{
    (void)sequence, (void)hidden, (void)err;
    for (size_t i = 0; i < (size_t)LENGTH * VOCAB; i++)
        ((double *)user)[i] = (double)logits[i];
    return VKDLM_OK;
}

static void check_logits(engine_test *engine, const char *path, const char *what)
{
    static double found[LENGTH * VOCAB], expected[LENGTH * VOCAB];
    int32_t tokens[LENGTH];
    const float sigma = 0.75f;
    vkdlm_error err = {0};
    vkdlm_model_info info;
    for (int32_t i = 0; i < LENGTH; i++)
        tokens[i] = i % 3 == 0 ? VOCAB - 1 : i * 37 % VOCAB;
    engine_test_model(engine, path);
    vkdlm_model_get_info(engine->model, &info);
    assert_int_equal(info.family, VKDLM_FAMILY_MASKED);
    assert_int_equal(info.vocab_size, VOCAB);
    assert_int_equal(info.mask_id, VOCAB - 1);
    assert_int_equal(info.length, LENGTH);
    assert_int_equal(info.cond_dim, COND);
    vkdlm_forward_options options = {.tokens = tokens,
                                     .n_sequences = 1,
                                     .length = LENGTH,
                                     .sigma = info.time_conditioning ? &sigma : NULL,
                                     .on_sequence = keep,
                                     .user = found};
    engine_test_ok(vkdlm_forward(engine->session, &options, &err), &err);
    ref_mdlm *net = ref_mdlm_open(path);
    assert_non_null(net);
    assert_int_equal(net->time_conditioning, info.time_conditioning);
    ref_mdlm_forward(net, tokens, LENGTH, info.time_conditioning ? (double)sigma : 0, NULL, expected);
    ref_mdlm_close(net);
    golden_check_close(what, found, expected, (size_t)LENGTH * VOCAB, TOLERANCE, false);
    engine_test_close_model(engine);
}

/* The modulation is computed on the host, from blocks too. */
static void test_every_type(void **state)
{
    const char *type;
    write_model(false);
    for (size_t i = 0; (type = vkdlm_quantize_type(i)); i++) {
        convert(folder, gguf_path, type);
        check_logits(*state, gguf_path, type);
    }
}

/* The modulation is computed on the device. */
static void test_time_conditioned(void **state)
{
    write_model(true);
    convert(folder, gguf_path, "q8_0");
    check_logits(*state, gguf_path, "q8_0");
    convert(folder, gguf_path, "f32");
    mixed_write(gguf_path, other_path);
    check_logits(*state, other_path, "mixed types");
}

/* ---- tokenizer ------------------------------------------------------------------------------------ */

static void check_text(const vkdlm_tokenizer *a, const vkdlm_tokenizer *b, const char *text, size_t size)
{
    static const uint32_t flags[] = {VKDLM_TOKENIZE_DEFAULT, VKDLM_TOKENIZE_NO_SPECIAL, VKDLM_TOKENIZE_PLAIN};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        vkdlm_error err = {0};
        vkdlm_ids x, y;
        vkdlm_text decoded;
        engine_test_ok(vkdlm_tokenize(a, text, size, flags[i], &x, &err), &err);
        engine_test_ok(vkdlm_tokenize(b, text, size, flags[i], &y, &err), &err);
        assert_int_equal(x.count, y.count);
        assert_memory_equal(x.ids, y.ids, x.count * sizeof *x.ids);
        engine_test_ok(vkdlm_detokenize(b, y.ids, y.count, false, &decoded, &err), &err);
        assert_int_equal(decoded.size, size);
        assert_memory_equal(decoded.bytes, text, size);
        vkdlm_text_free(&decoded);
        vkdlm_ids_free(&x);
        vkdlm_ids_free(&y);
    }
}

static void test_tokenizer(void **state)
{
    (void)state;
    vkdlm_error err = {0};
    vkdlm_tokenizer *a, *b;
    convert(MODELS_DIR "/kjv-mdlm", gguf_path, "q8_0");
    engine_test_ok(vkdlm_tokenizer_open(MODELS_DIR "/kjv-mdlm", &a, &err), &err);
    engine_test_ok(vkdlm_tokenizer_open(gguf_path, &b, &err), &err);
    assert_int_equal(vkdlm_tokenizer_vocab_size(a), vkdlm_tokenizer_vocab_size(b));
    char text[4096];
    FILE *file = fopen(TESTS_DIR "/golden/kjv/heldout.txt", "rb");
    assert_non_null(file);
    size_t size = fread(text, 1, sizeof text, file);
    fclose(file);
    check_text(a, b, text, size);
    static const char special[] = "Noah's 123 caf\xC3\xA9s\t\r\n\n  <|endoftext|> [PAD4096] \xE4\xB8\x80";
    check_text(a, b, special, sizeof special - 1);
    vkdlm_tokenizer_close(a);
    vkdlm_tokenizer_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_time_conditioned),
        cmocka_unit_test(test_tokenizer),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

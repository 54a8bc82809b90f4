/* Conversion of models to GGUF: types, tokenizers, what is refused, and an interrupted run. */
#include "test_tensors_util.h"

#include <jansson.h>
#include <math.h>
#include <vkdlm/quantize.h>
#include <vkdlm/tokenizer.h>

#include "format/gguf.h"
#include "format/quant.h"

#define LLAMA MODELS_DIR "/kjv-llama"
#define MDLM  MODELS_DIR "/kjv-mdlm"
#define SMALL TESTS_DIR "/golden/gguf/llama-tied-q4_k_m.gguf" /* rows of 256 and 512 */

static vkdlm_error err;

static vkdlm_tensors *convert(const char *model, const char *path, const char *type,
                              vkdlm_quantize_info *info)
{
    vkdlm_tensors *out = NULL;
    const vkdlm_quantize_options options = {.type = type};
    if (vkdlm_quantize(model, path, &options, info, &err) || vkdlm_tensors_open(path, &out, &err))
        fail_msg("%s", err.message);
    assert_int_equal(info->n_tensors, vkdlm_tensors_count(out));
    return out;
}

static vkdlm_dtype type_of(const vkdlm_tensors *file, const char *name)
{
    const vkdlm_tensor *tensor = vkdlm_tensors_find(file, name);
    if (!tensor)
        fail_msg("no tensor '%s'", name);
    return tensor->dtype;
}

/* Every type converts, and its matrices are near those of the model. */
static void test_types(void **state)
{
    static const double bounds[] = {1e-7, 1e-3, 1e-2, 0.01, 0.12, 0.12, 0.06, 0.06,
                                    0.35, 0.2,  0.1,  0.06, 0.03, 0.12, 0.1,  0.06};
    vkdlm_tensors *model;
    const char *type;
    assert_int_equal(vkdlm_tensors_open(SMALL, &model, &err), VKDLM_OK);
    const vkdlm_tensor *source = vkdlm_tensors_find(model, "blk.1.ffn_down.weight");
    assert_non_null(source);
    size_t n = (size_t)source->n_elements, i = 0;
    float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
    assert_true(a && b);
    quant_dequantize_row(source->dtype, source->data, n, a);
    for (; (type = vkdlm_quantize_type(i)); i++) {
        vkdlm_quantize_info info;
        vkdlm_tensors *file = convert(SMALL, temp_path(*state, "model.gguf"), type, &info);
        const vkdlm_tensor *tensor = vkdlm_tensors_find(file, "blk.1.ffn_down.weight");
        assert_non_null(tensor);
        assert_int_equal(tensor->n_elements, n);
        quant_dequantize_row(tensor->dtype, tensor->data, n, b);
        double error = 0, power = 0;
        for (size_t e = 0; e < n; e++) {
            error += ((double)a[e] - (double)b[e]) * ((double)a[e] - (double)b[e]);
            power += (double)a[e] * (double)a[e];
        }
        if (!(i < sizeof bounds / sizeof *bounds && sqrt(error / power) <= bounds[i]))
            fail_msg("%s: a relative error of %g", type, sqrt(error / power));
        assert_int_equal(type_of(file, "blk.1.attn_norm.weight"), VKDLM_DTYPE_F32);
        assert_string_equal(info.architecture, "llama");
        assert_true(info.tokenizer);
        assert_int_equal(info.n_fell_back, 0);
        vkdlm_tensors_close(file);
    }
    assert_int_equal(i, sizeof bounds / sizeof *bounds);
    free(a);
    free(b);
    vkdlm_tensors_close(model);
}

/* Six blocks: 0 / 8 .. are none, 5 is of the last eighth, 2 and 5 are third ones. */
static void test_mixture(void **state)
{
    vkdlm_quantize_info info;
    vkdlm_tensors *file = convert(LLAMA, temp_path(*state, "model.gguf"), "q4_k_m", &info);
    for (uint32_t block = 0; block < 6; block++) {
        char name[64];
        vkdlm_dtype expected = block == 2 || block == 5 ? VKDLM_DTYPE_Q6_K : VKDLM_DTYPE_Q4_K;
        snprintf(name, sizeof name, "blk.%u.attn_v.weight", block);
        assert_int_equal(type_of(file, name), expected);
        snprintf(name, sizeof name, "blk.%u.ffn_down.weight", block);
        assert_int_equal(type_of(file, name), expected);
        snprintf(name, sizeof name, "blk.%u.attn_q.weight", block);
        assert_int_equal(type_of(file, name), VKDLM_DTYPE_Q4_K);
    }
    assert_int_equal(type_of(file, "token_embd.weight"), VKDLM_DTYPE_Q6_K); /* it is the output too */
    vkdlm_tensors_close(file);
    file = convert(MDLM, temp_path(*state, "model.gguf"), "q5_k_m", &info);
    assert_int_equal(type_of(file, "token_embd.weight"), VKDLM_DTYPE_Q5_K);
    assert_int_equal(type_of(file, "output.weight"), VKDLM_DTYPE_Q6_K);
    assert_int_equal(type_of(file, "blk.0.mod.weight"), VKDLM_DTYPE_Q8_0);
    assert_int_equal(type_of(file, "blk.0.mod.bias"), VKDLM_DTYPE_F32);
    vkdlm_tensors_close(file);
    file = convert(TESTS_DIR "/golden/llm/llama-tied", temp_path(*state, "model.gguf"), "q4_k", &info);
    assert_int_equal(type_of(file, "blk.0.attn_q.weight"), VKDLM_DTYPE_Q5_0);  /* rows of 64 */
    assert_int_equal(type_of(file, "blk.0.ffn_down.weight"), VKDLM_DTYPE_F16); /* rows of 112 */
    assert_int_equal(type_of(file, "rope_freqs.weight"), VKDLM_DTYPE_F32);
    assert_int_equal(info.n_fell_back, 22);
    assert_false(info.tokenizer);
    assert_non_null(strstr(info.no_tokenizer, "expected a tokenizer.json, found none"));
    vkdlm_tensors_close(file);
}

/* A GGUF file keeps names, metadata and vectors; blocks of the same type are copied. */
static void test_gguf(void **state)
{
    const char *first = temp_path(*state, "first.gguf"), *second = temp_path(*state, "second.gguf");
    vkdlm_quantize_info info;
    vkdlm_tensors *a = convert(LLAMA, first, "q8_0", &info), *b = convert(first, second, "q8_0", &info);
    assert_true(info.tokenizer);
    assert_string_equal(info.architecture, "llama");
    assert_int_equal(gguf_of_tensors(a)->n_values, gguf_of_tensors(b)->n_values);
    for (size_t i = 0; i < vkdlm_tensors_count(a); i++) {
        const vkdlm_tensor *x = vkdlm_tensors_at(a, i), *y = vkdlm_tensors_find(b, x->name);
        assert_non_null(y);
        assert_int_equal(x->dtype, y->dtype);
        assert_memory_equal(x->data, y->data, x->n_bytes);
    }
    vkdlm_tensors_close(b);
    b = convert(first, second, "q4_0", &info);
    assert_int_equal(type_of(b, "blk.0.attn_q.weight"), VKDLM_DTYPE_Q4_0);
    vkdlm_tensors_close(a);
    vkdlm_tensors_close(b);
}

/* ---- tokenizers --------------------------------------------------------------------------------------- */

/* A copy of the llama model whose tokenizer.json has other members. */
static void make_model(const char *folder, const char *changes)
{
    static const char *const files[] = {"config.json", "model.safetensors", "generation_config.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char from[4096];
        snprintf(from, sizeof from, LLAMA "/%s", files[i]);
        unlink(temp_path(folder, files[i]));
        assert_int_equal(symlink(from, temp_path(folder, files[i])), 0);
    }
    json_error_t why;
    json_t *root = json_load_file(LLAMA "/tokenizer.json", 0, &why), *change = json_loads(changes, 0, &why),
           *value;
    if (!root || !change)
        fail_msg("%s", why.text);
    const char *key;
    json_object_foreach(change, key, value)
    {
        json_t *object =
            json_object_get(json_object_get(root, "model"), key) ? json_object_get(root, "model") : root;
        json_object_set(object, key, value);
    }
    assert_int_equal(json_dump_file(root, temp_path(folder, "tokenizer.json"), 0), 0);
    json_decref(root);
    json_decref(change);
}

static void check_same_ids(const char *a_path, const char *b_path)
{
    const char text[] = "In the beginning 12345 God's\n\n  caf\xC3\xA9 cafe\xCC\x81 <|endoftext|>x  \t1a's";
    vkdlm_tokenizer *a = NULL, *b = NULL;
    vkdlm_ids x, y;
    if (vkdlm_tokenizer_open(a_path, &a, &err) || vkdlm_tokenizer_open(b_path, &b, &err))
        fail_msg("%s", err.message);
    assert_int_equal(vkdlm_tokenize(a, text, sizeof text - 1, 0, &x, &err), VKDLM_OK);
    assert_int_equal(vkdlm_tokenize(b, text, sizeof text - 1, 0, &y, &err), VKDLM_OK);
    assert_int_equal(x.count, y.count);
    assert_memory_equal(x.ids, y.ids, x.count * sizeof *x.ids);
    vkdlm_ids_free(&x);
    vkdlm_ids_free(&y);
    vkdlm_tokenizer_close(a);
    vkdlm_tokenizer_close(b);
}

#define WORDS(numbers)                                                              \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" numbers \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define STAGES(words)                                                                               \
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{" \
    "\"Regex\":\"" words "\"},\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\"," \
    "\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false}]}"
#define BEGIN                                                                                     \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"  \
    "\"<|endoftext|>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[]," \
    "\"special_tokens\":{\"<|endoftext|>\":{\"id\":\"<|endoftext|>\",\"ids\":[0],\"tokens\":["    \
    "\"<|endoftext|>\"]}}}"

static void test_tokenizers(void **state)
{
    static const struct {
        const char *changes, *pre, *why;
        bool begins;
    } cases[] = {
        {"{}", "gpt-2", NULL, false},
        {"{" BEGIN "}", "gpt-2", NULL, true},
        {"{" STAGES(WORDS("\\\\p{N}")) ",\"normalizer\":{\"type\":\"NFC\"}}", "qwen2", NULL, false},
        {"{" STAGES(WORDS("\\\\p{N}{1,3}")) ",\"ignore_merges\":true," BEGIN "}", "llama-bpe", NULL, true},
        {"{" STAGES(WORDS("\\\\p{N}{1,3}")) "}", NULL, "cut text into words", false},
        {"{" STAGES("a+") "}", NULL, "cut text into words", false},
        {"{\"normalizer\":{\"type\":\"NFC\"}}", NULL, "cut text into words", false},
        {"{\"added_tokens\":[{\"id\":0,\"content\":\"<|endoftext|>\",\"lstrip\":true,\"special\":true}]}",
         NULL, "takes spaces", false},
        {"{\"added_tokens\":[{\"id\":4096,\"content\":\"<|new|>\",\"special\":true}]}", NULL,
         "id the network does not have", false},
    };
    char path[4096];
    snprintf(path, sizeof path, "%s", temp_path(*state, "model.gguf"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkdlm_quantize_info info;
        gguf_string pre;
        bool begins;
        make_model(*state, cases[i].changes);
        vkdlm_tensors *file = convert(*state, path, "f16", &info);
        const gguf *metadata = gguf_of_tensors(file);
        if (cases[i].why) {
            assert_false(info.tokenizer);
            if (!strstr(info.no_tokenizer, cases[i].why))
                fail_msg("case %zu: %s", i, info.no_tokenizer);
            assert_null(gguf_find(metadata, "tokenizer.ggml.tokens"));
        } else {
            if (!info.tokenizer)
                fail_msg("case %zu: %s", i, info.no_tokenizer);
            assert_int_equal(gguf_get_string(metadata, "tokenizer.ggml.pre", &pre, &err), VKDLM_OK);
            assert_true(gguf_string_is(pre, cases[i].pre));
            assert_int_equal(gguf_get_bool(metadata, "tokenizer.ggml.add_bos_token", &begins, &err),
                             VKDLM_OK);
            assert_int_equal(begins, cases[i].begins);
            check_same_ids(path, *state);
        }
        vkdlm_tensors_close(file);
    }
}

static void test_chat_template(void **state)
{
    static const char config[] = "{\"chat_template\":\"{{ bos_token }}\xC3\xA9\"}";
    vkdlm_quantize_info info;
    gguf_string text;
    make_model(*state, "{}");
    temp_write(temp_path(*state, "tokenizer_config.json"), config, sizeof config - 1);
    vkdlm_tensors *file = convert(*state, temp_path(*state, "model.gguf"), "f16", &info);
    assert_int_equal(gguf_get_string(gguf_of_tensors(file), "tokenizer.chat_template", &text, &err),
                     VKDLM_OK);
    assert_true(gguf_string_is(text, "{{ bos_token }}\xC3\xA9"));
    vkdlm_tensors_close(file);
}

/* ---- failures ----------------------------------------------------------------------------------------- */

static bool stop_halfway(void *user, uint64_t done, uint64_t total)
{
    ++*(int *)user;
    return done < total / 2;
}

static void test_stopped(void **state)
{
    const char *path = temp_path(*state, "old.gguf");
    int n_calls = 0, n_files = 0;
    const vkdlm_quantize_options options = {.type = "q8_0", .progress = stop_halfway, .user = &n_calls};
    temp_write(path, "old", 3);
    assert_int_equal(vkdlm_quantize(LLAMA, path, &options, NULL, &err), VKDLM_CANCELLED);
    assert_true(n_calls > 2);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 3);
    DIR *dir = opendir(*state);
    for (struct dirent *entry; (entry = readdir(dir));)
        n_files += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    assert_int_equal(n_files, 1);
}

static void test_refused(void **state)
{
    const char *path = temp_path(*state, "none.gguf");
    const vkdlm_quantize_options options = {.type = "q9_9"};
    assert_int_equal(vkdlm_quantize(LLAMA, path, &options, NULL, &err), VKDLM_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "found 'q9_9'"));
    assert_int_equal(vkdlm_quantize(temp_path(*state, "model"), path, NULL, NULL, &err), VKDLM_NOT_FOUND);
    assert_int_equal(vkdlm_quantize(LLAMA, NULL, NULL, NULL, &err), VKDLM_INVALID_ARGUMENT);
    assert_int_equal(vkdlm_quantize(LLAMA, temp_path(*state, "none/x.gguf"), NULL, NULL, &err),
                     VKDLM_NOT_FOUND);
    assert_null(vkdlm_quantize_type(1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_types, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_mixture, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_gguf, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_tokenizers, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_chat_template, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_stopped, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_refused, temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

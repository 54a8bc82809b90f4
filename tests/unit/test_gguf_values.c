/* Reading GGUF files: values by key and type, tensors, and what a configuration refuses. */
#include "test_gguf_util.h"

#include <math.h>

#include "format/checkpoint.h"
#include "model/llm_config.h"

static vkdlm_status parse(const gguf_bytes *b, gguf *out, vkdlm_error *err)
{
    return gguf_parse(b->data, b->size, "f.gguf", out, err);
}

static void write_values(gguf_bytes *b)
{
    static const struct {
        const char *key;
        gguf_type type;
        uint64_t bits;
        unsigned n_bytes;
    } values[] = {
        {"u8", GGUF_U8, 200, 1},
        {"i8", GGUF_I8, (uint64_t)-3, 1},
        {"u16", GGUF_U16, 60000, 2},
        {"i16", GGUF_I16, (uint64_t)-300, 2},
        {"u32", GGUF_U32, 4000000000, 4},
        {"i32", GGUF_I32, (uint64_t)-70000, 4},
        {"f32", GGUF_F32, 0x3fc00000, 4},
        {"nan", GGUF_F32, 0x7fc00000, 4},
        {"yes", GGUF_BOOL, 1, 1},
        {"no", GGUF_BOOL, 0, 1},
        {"u64", GGUF_U64, UINT64_MAX, 8},
        {"i64", GGUF_I64, (uint64_t)INT64_MIN, 8},
        {"f64", GGUF_F64, 0xc004000000000000, 8},
    };
    gguf_begin(b);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        gguf_put_key(b, values[i].key, values[i].type);
        gguf_put(b, values[i].bits, values[i].n_bytes);
    }
    gguf_put_string(b, "text", "h\xC3\xA9");
    gguf_put_string(b, "bytes", "\xff");
    gguf_put_array(b, "list", GGUF_STRING, 3);
    gguf_put_text(b, "a");
    gguf_put_text(b, "");
    gguf_put_text(b, "bc");
    gguf_put_array(b, "types", GGUF_I32, 2);
    gguf_put(b, 7, 4);
    gguf_put(b, (uint64_t)-7, 4);
}

static void values_are_taken_by_type(void **state)
{
    (void)state;
    static const struct {
        const char *key, *shown;
        double number;
    } numbers[] = {{"u8", "200", 200},
                   {"i8", "-3", -3},
                   {"u16", "60000", 60000},
                   {"i16", "-300", -300},
                   {"u32", "4000000000", 4e9},
                   {"i32", "-70000", -70000},
                   {"f32", "1.5", 1.5},
                   {"u64", "18446744073709551615", 0x1p64},
                   {"i64", "-9223372036854775808", -0x1p63},
                   {"f64", "-2.5", -2.5}};
    gguf_bytes b;
    gguf file;
    vkdlm_error err = {0};
    double number;
    int64_t integer;
    char shown[64];
    write_values(&b);
    if (parse(&b, &file, &err))
        fail_msg("%s", err.message);
    assert_int_equal(file.version, 3);
    assert_int_equal(file.alignment, 32);
    assert_int_equal(file.n_tensors, 0);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const char *key = numbers[i].key;
        double least = numbers[i].number, most = least;
        assert_int_equal(gguf_get_number(&file, key, least, most, &number, NULL), VKDLM_OK);
        assert_true(number == numbers[i].number);
        gguf_describe(gguf_find(&file, key), shown, sizeof shown);
        assert_string_equal(shown, numbers[i].shown);
        bool whole = strchr("ui", key[0]) && strcmp(key, "u64") != 0;
        assert_int_equal(gguf_get_integer(&file, key, INT64_MIN, INT64_MAX, &integer, &err),
                         whole ? VKDLM_OK : VKDLM_MALFORMED);
        if (whole)
            assert_true((double)integer == numbers[i].number);
        assert_int_equal(gguf_get_number(&file, key, 2 * fabs(least) + 1, 1e30, &number, &err),
                         VKDLM_MALFORMED);
    }
    bool flag = false;
    assert_int_equal(gguf_get_bool(&file, "yes", &flag, NULL), VKDLM_OK);
    assert_true(flag);
    assert_int_equal(gguf_get_bool_or(&file, "no", true, &flag, NULL), VKDLM_OK);
    assert_false(flag);
    assert_int_equal(gguf_get_bool_or(&file, "none", true, &flag, NULL), VKDLM_OK);
    assert_true(flag);
    assert_int_equal(gguf_get_integer_or(&file, "none", 0, 1, -5, &integer, NULL), VKDLM_OK);
    assert_int_equal(integer, -5);
    assert_int_equal(gguf_get_number_or(&file, "none", 0, 1, 7.5, &number, NULL), VKDLM_OK);
    assert_true(number == 7.5);

    gguf_string string;
    assert_int_equal(gguf_get_string(&file, "text", &string, NULL), VKDLM_OK);
    assert_true(gguf_string_is(string, "h\xC3\xA9"));
    assert_false(gguf_string_is(string, "h"));
    const gguf_value *list;
    assert_int_equal(gguf_get_array(&file, "list", GGUF_STRING, &list, NULL), VKDLM_OK);
    const unsigned char *cursor = list->data;
    assert_int_equal(list->count, 3);
    assert_true(gguf_string_is(gguf_next_string(&cursor), "a"));
    assert_true(gguf_string_is(gguf_next_string(&cursor), ""));
    assert_true(gguf_string_is(gguf_next_string(&cursor), "bc"));
    assert_int_equal(gguf_get_array(&file, "types", GGUF_I32, &list, NULL), VKDLM_OK);
    assert_int_equal(gguf_i32_at(list, 0), 7);
    assert_int_equal(gguf_i32_at(list, 1), -7);
    gguf_deinit(&file);
}

static void wrong_values_are_refused(void **state)
{
    (void)state;
    gguf_bytes b;
    gguf file;
    vkdlm_error err = {0};
    gguf_string string;
    const gguf_value *list;
    bool flag;
    int64_t integer;
    double number;
    write_values(&b);
    assert_int_equal(parse(&b, &file, NULL), VKDLM_OK);
    assert_refused(gguf_get_string(&file, "u8", &string, &err), VKDLM_MALFORMED, &err,
                   "'f.gguf': u8: expected a string of UTF-8 without NUL, found 200");
    assert_refused(gguf_get_string(&file, "bytes", &string, &err), VKDLM_MALFORMED, &err, "found \"?\"");
    assert_refused(gguf_get_string(&file, "none", &string, &err), VKDLM_MALFORMED, &err, "found nothing");
    assert_refused(gguf_get_bool(&file, "u8", &flag, &err), VKDLM_MALFORMED, &err, "expected a bool");
    assert_refused(gguf_get_integer(&file, "i8", 0, 5, &integer, &err), VKDLM_MALFORMED, &err,
                   "i8: expected an integer from 0 to 5, found -3");
    assert_refused(gguf_get_integer(&file, "yes", 0, 5, &integer, &err), VKDLM_MALFORMED, &err, "found true");
    assert_refused(gguf_get_integer(&file, "f32", 0, 5, &integer, &err), VKDLM_MALFORMED, &err, "found 1.5");
    assert_refused(gguf_get_number(&file, "nan", -1e30, 1e30, &number, &err), VKDLM_MALFORMED, &err, "nan");
    assert_refused(gguf_get_number(&file, "text", 0, 1, &number, &err), VKDLM_MALFORMED, &err,
                   "found \"h\xC3\xA9\"");
    assert_refused(gguf_get_array(&file, "list", GGUF_I32, &list, &err), VKDLM_MALFORMED, &err,
                   "list: expected an array of i32, found an array of 3 x string");
    assert_refused(gguf_get_array(&file, "u8", GGUF_STRING, &list, &err), VKDLM_MALFORMED, &err, "found 200");
    gguf_deinit(&file);
}

/* Dimensions are turned around, data lies where the offsets say, in whatever order the tensors are listed. */
static void tensors_are_placed(void **state)
{
    gguf_bytes b;
    vkdlm_error err = {0};
    vkdlm_tensors *tensors;
    gguf_begin(&b);
    gguf_put_u32(&b, "general.alignment", 8);
    gguf_put_tensor(&b, "blocks", 2, 64, 8, 24); /* Q8_0: 4 blocks of 34 bytes */
    gguf_put_tensor(&b, "floats", 5, 1, 0, 0);
    gguf_put_data(&b, 8, 24 + 4 * 34);
    const char *path = temp_path(*state, "any name");
    temp_write(path, b.data, b.size);
    if (vkdlm_tensors_open(path, &tensors, &err))
        fail_msg("%s", err.message);
    const vkdlm_tensor *floats = vkdlm_tensors_at(tensors, 0), *blocks = vkdlm_tensors_at(tensors, 1);
    assert_string_equal(floats->name, "floats");
    assert_string_equal(floats->file, path);
    assert_int_equal(floats->dtype, VKDLM_DTYPE_F32);
    assert_int_equal(floats->n_dims, 2);
    assert_int_equal(floats->shape[0], 5);
    assert_int_equal(floats->shape[1], 1);
    assert_int_equal(floats->n_bytes, 20);
    assert_int_equal(((const unsigned char *)floats->data)[0], 1);
    assert_int_equal(blocks->dtype, VKDLM_DTYPE_Q8_0);
    assert_int_equal(blocks->shape[0], 2);
    assert_int_equal(blocks->shape[1], 64);
    assert_int_equal(blocks->n_elements, 128);
    assert_int_equal(blocks->n_bytes, 136);
    assert_int_equal(((const unsigned char *)blocks->data)[0], 25);
    assert_ptr_equal(vkdlm_tensors_find(tensors, "blocks"), blocks);
    assert_null(vkdlm_tensors_metadata(tensors, "general.alignment"));
    assert_non_null(gguf_of_tensors(tensors));
    vkdlm_tensors_close(tensors);
}

static void unread_types_are_named(void **state)
{
    (void)state;
    gguf_bytes b;
    gguf file;
    vkdlm_error err = {0};
    gguf_begin(&b);
    gguf_put_tensor(&b, "t", 1, 256, 16, 0);
    gguf_put_data(&b, 32, 66);
    assert_refused(
        parse(&b, &file, &err), VKDLM_UNSUPPORTED, &err,
        "'f.gguf': tensor 't': expected a type that this version reads (F32, F16, BF16, Q8_0, Q4_0, "
        "Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL), found IQ2_XXS");
}

/* ---- configurations ----------------------------------------------------------------------------------- */

/* One pair that differs from those of a good file, or is absent (type -1). */
typedef struct change {
    const char *key;
    int type;
    uint64_t value;
    const char *text;
} change;

static void put_integer(gguf_bytes *b, const char *key, uint32_t value, const change *c)
{
    if (!c->key || strcmp(c->key, key) != 0)
        gguf_put_u32(b, key, value);
}

static void write_model(const char *path, const char *architecture, const change *c)
{
    gguf_bytes b;
    gguf_begin(&b);
    gguf_put_string(&b, "general.architecture", architecture);
    put_integer(&b, "llama.context_length", 64, c);
    put_integer(&b, "llama.embedding_length", 32, c);
    put_integer(&b, "llama.feed_forward_length", 48, c);
    put_integer(&b, "llama.block_count", 3, c);
    put_integer(&b, "llama.attention.head_count", 4, c);
    put_integer(&b, "tokenizer.ggml.bos_token_id", 1, c);
    put_integer(&b, "tokenizer.ggml.eos_token_id", 2, c);
    if (!c->key || strcmp(c->key, "llama.attention.layer_norm_rms_epsilon") != 0)
        gguf_put_f32(&b, "llama.attention.layer_norm_rms_epsilon", 0x1p-10f);
    if (c->key && c->type == GGUF_STRING) {
        gguf_put_string(&b, c->key, c->text);
    } else if (c->key && c->type >= 0) {
        gguf_put_key(&b, c->key, (gguf_type)c->type);
        gguf_put(&b, c->value, c->type == GGUF_BOOL ? 1 : 4);
    }
    gguf_put_tensor(&b, "token_embd.weight", 10, 32, 1, 0);
    gguf_put_data(&b, 32, 640);
    temp_write(path, b.data, b.size);
}

static vkdlm_status read_config(const char *path, llm_config *out, vkdlm_error *err)
{
    checkpoint *ck;
    vkdlm_status status = checkpoint_open(path, &ck, err);
    if (!status)
        status = llm_config_read(ck, out, err);
    checkpoint_close(ck);
    return status;
}

static void configurations_have_defaults(void **state)
{
    const char *path = temp_path(*state, "m.gguf");
    llm_config c;
    vkdlm_error err = {0};
    write_model(path, "llama", &(change){0});
    if (read_config(path, &c, &err))
        fail_msg("%s", err.message);
    assert_string_equal(c.architecture, "llama");
    assert_int_equal(c.vocab_size, 10);
    assert_int_equal(c.context, 64);
    assert_int_equal(c.hidden_dim, 32);
    assert_int_equal(c.mlp_dim, 48);
    assert_int_equal(c.n_blocks, 3);
    assert_int_equal(c.n_heads, 4);
    assert_int_equal(c.n_kv_heads, 4);
    assert_int_equal(c.head_dim, 8);
    assert_true(c.norm_eps == 0x1p-10);
    assert_true(c.rope_base == 10000);
    assert_false(c.has_scaling);
    assert_true(c.interleaved);
    assert_true(c.tied);
    assert_false(c.qkv_bias);
    assert_int_equal(c.begin_id, 1);
    assert_int_equal(c.n_end_ids, 1);
    assert_int_equal(c.end_ids[0], 2);

    write_model(path, "llama", &(change){"tokenizer.ggml.eot_token_id", GGUF_U32, 5, NULL});
    assert_int_equal(read_config(path, &c, NULL), VKDLM_OK);
    assert_int_equal(c.n_end_ids, 2);
    assert_int_equal(c.end_ids[1], 5);
    write_model(path, "llama", &(change){"llama.rope.scaling.type", GGUF_STRING, 0, "none"});
    assert_int_equal(read_config(path, &c, NULL), VKDLM_OK);
    assert_false(c.has_scaling);
}

static void bad_configurations_are_refused(void **state)
{
    static const struct {
        change change;
        vkdlm_status status;
        const char *text;
    } cases[] = {
        {{"llama.block_count", -1, 0, NULL}, VKDLM_MALFORMED, "llama.block_count: expected an integer"},
        {{"llama.block_count", GGUF_U32, 0, NULL}, VKDLM_MALFORMED, "from 1 to 4096, found 0"},
        {{"llama.block_count", GGUF_STRING, 0, "3"}, VKDLM_MALFORMED, "found \"3\""},
        {{"llama.context_length", GGUF_U32, 1u << 30, NULL}, VKDLM_MALFORMED, "llama.context_length"},
        {{"llama.attention.head_count", GGUF_U32, 3, NULL}, VKDLM_MALFORMED, "a divisor of"},
        {{"llama.attention.head_count_kv", GGUF_U32, 3, NULL}, VKDLM_MALFORMED, "head_count_kv"},
        {{"llama.attention.head_count_kv", GGUF_U32, 0, NULL}, VKDLM_MALFORMED, "head_count_kv"},
        {{"llama.attention.key_length", GGUF_U32, 7, NULL}, VKDLM_MALFORMED, "even"},
        {{"llama.attention.key_length", GGUF_U32, 10, NULL}, VKDLM_OK, NULL},
        {{"llama.attention.value_length", GGUF_U32, 16, NULL}, VKDLM_UNSUPPORTED, "same size"},
        {{"llama.attention.key_length", GGUF_U32, 1 << 12, NULL}, VKDLM_UNSUPPORTED, "at most"},
        {{"llama.attention.layer_norm_rms_epsilon", -1, 0, NULL}, VKDLM_MALFORMED, "epsilon"},
        {{"llama.attention.causal", GGUF_BOOL, 0, NULL}, VKDLM_UNSUPPORTED, "attention.causal"},
        {{"llama.attention.sliding_window", GGUF_U32, 16, NULL}, VKDLM_UNSUPPORTED, "sliding_window"},
        {{"llama.expert_count", GGUF_U32, 8, NULL}, VKDLM_UNSUPPORTED, "expert_count"},
        {{"llama.rope.dimension_count", GGUF_U32, 4, NULL}, VKDLM_UNSUPPORTED, "dimension_count"},
        {{"llama.rope.scaling.type", GGUF_STRING, 0, "yarn"}, VKDLM_UNSUPPORTED, "found \"yarn\""},
        {{"llama.rope.scaling.type", GGUF_STRING, 0, "linear"}, VKDLM_MALFORMED, "scaling.factor"},
        {{"llama.rope.freq_base", GGUF_F32, 0, NULL}, VKDLM_MALFORMED, "freq_base"},
        {{"tokenizer.ggml.bos_token_id", GGUF_U32, 10, NULL}, VKDLM_MALFORMED, "bos_token_id"},
    };
    const char *path = temp_path(*state, "m.gguf");
    llm_config c;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkdlm_error err = {0};
        write_model(path, "llama", &cases[i].change);
        vkdlm_status status = read_config(path, &c, &err);
        if (cases[i].status == VKDLM_OK) {
            assert_int_equal(status, VKDLM_OK);
            continue;
        }
        assert_refused(status, cases[i].status, &err, cases[i].text);
        assert_non_null(strstr(err.message, path));
    }
    vkdlm_error err = {0};
    write_model(path, "gemma", &(change){0});
    assert_refused(read_config(path, &c, &err), VKDLM_UNSUPPORTED, &err, "found 'gemma'");
}

#define WITH_TEMP(f) cmocka_unit_test_setup_teardown(f, temp_setup, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_taken_by_type),
        cmocka_unit_test(wrong_values_are_refused),
        WITH_TEMP(tensors_are_placed),
        cmocka_unit_test(unread_types_are_named),
        WITH_TEMP(configurations_have_defaults),
        WITH_TEMP(bad_configurations_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

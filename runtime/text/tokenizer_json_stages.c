#include <string.h>

#include "base/error.h"
#include "text/tokenizer_json.h"

/* Longest template, in ids. */
#define TEMPLATE_MAX 1024

/* One component type and how to read it. */
typedef struct component_type {
    const char *name;
    vkdlm_status (*read)(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err);
} component_type;

/* Reads a component by the row of `types` (n of them) that its "type" names. */
static vkdlm_status read_component(const json_t *json, const char *component, const component_type *types,
                                   size_t n, vkdlm_tokenizer *t, vkdlm_error *err)
{
    const json_t *type = tokenizer_json_get(json, "type");
    if (!json_is_string(type))
        return tokenizer_json_expected(component, "type", "a string", err);
    for (size_t i = 0; i < n; i++)
        if (strcmp(json_string_value(type), types[i].name) == 0)
            return types[i].read(json, t, err);
    return error_set(err, VKDLM_UNSUPPORTED, "%s: type '%.64s' is not supported", component,
                     json_string_value(type));
}

/* Reads the members of a Sequence one after the other. */
static vkdlm_status read_sequence(const json_t *json, const char *component, const char *key,
                                  vkdlm_status (*read)(const json_t *json, vkdlm_tokenizer *t,
                                                       vkdlm_error *err),
                                  vkdlm_tokenizer *t, vkdlm_error *err)
{
    const json_t *members = tokenizer_json_get(json, key);
    vkdlm_status status = VKDLM_OK;
    if (!json_is_array(members))
        return tokenizer_json_expected(component, key, "an array", err);
    for (size_t i = 0; i < json_array_size(members) && !status; i++) {
        const json_t *member = json_array_get(members, i);
        if (!json_is_object(member))
            return tokenizer_json_expected(component, key, "an array of objects", err);
        status = read(member, t, err);
    }
    return status;
}

static vkdlm_status normalizer_sequence(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    return read_sequence(json, "normalizer", "normalizers", tokenizer_json_normalizer, t, err);
}

static vkdlm_status normalizer_nfc(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    (void)json;
    return normalizer_add(&t->normalizer, NORMAL_FORM_C, err);
}

static vkdlm_status normalizer_nfd(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    (void)json;
    return normalizer_add(&t->normalizer, NORMAL_FORM_D, err);
}

static vkdlm_status normalizer_nfkc(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    (void)json;
    return normalizer_add(&t->normalizer, NORMAL_FORM_KC, err);
}

static vkdlm_status normalizer_nfkd(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    (void)json;
    return normalizer_add(&t->normalizer, NORMAL_FORM_KD, err);
}

vkdlm_status tokenizer_json_normalizer(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    static const component_type types[] = {{"Sequence", normalizer_sequence},
                                           {"NFC", normalizer_nfc},
                                           {"NFD", normalizer_nfd},
                                           {"NFKC", normalizer_nfkc},
                                           {"NFKD", normalizer_nfkd}};
    if (!json)
        return VKDLM_OK;
    return read_component(json, "normalizer", types, sizeof types / sizeof *types, t, err);
}

static vkdlm_status pretokenizer_sequence(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    return read_sequence(json, "pre_tokenizer", "pretokenizers", tokenizer_json_pretokenizer, t, err);
}

static vkdlm_status pretokenizer_byte_level(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    bool add_prefix_space, use_regex;
    vkdlm_status status =
        tokenizer_json_flag(json, "pre_tokenizer", "add_prefix_space", -1, &add_prefix_space, err);
    if (!status)
        status = tokenizer_json_flag(json, "pre_tokenizer", "use_regex", true, &use_regex, err);
    return status ? status : pretokenizer_add_byte_level(&t->pretokenizer, add_prefix_space, use_regex, err);
}

static vkdlm_status pretokenizer_digits(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    bool individual;
    vkdlm_status status =
        tokenizer_json_flag(json, "pre_tokenizer", "individual_digits", -1, &individual, err);
    if (status)
        return status;
    return pretokenizer_add_split(&t->pretokenizer, "\\p{N}", 5, false,
                                  individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS, false, err);
}

static vkdlm_status pretokenizer_split_by_pattern(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    static const char *const behaviors[] = {
        [SPLIT_REMOVED] = "Removed",
        [SPLIT_ISOLATED] = "Isolated",
        [SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
        [SPLIT_CONTIGUOUS] = "Contiguous",
    };
    const json_t *pattern = tokenizer_json_get(json, "pattern");
    const json_t *behavior = tokenizer_json_get(json, "behavior");
    const json_t *literal = tokenizer_json_get(pattern, "String");
    const json_t *text = literal ? literal : tokenizer_json_get(pattern, "Regex");
    bool invert;
    vkdlm_status status = tokenizer_json_flag(json, "pre_tokenizer", "invert", false, &invert, err);
    if (status)
        return status;
    if (!json_is_string(text))
        return tokenizer_json_expected("pre_tokenizer", "pattern", "a Regex or a String", err);
    if (!json_is_string(behavior))
        return tokenizer_json_expected("pre_tokenizer", "behavior", "a string", err);
    for (size_t i = 0; i < sizeof behaviors / sizeof *behaviors; i++)
        if (strcmp(json_string_value(behavior), behaviors[i]) == 0)
            return pretokenizer_add_split(&t->pretokenizer, json_string_value(text), json_string_length(text),
                                          literal != NULL, (split_behavior)i, invert, err);
    return tokenizer_json_expected("pre_tokenizer", "behavior",
                                   "one of Removed, Isolated, MergedWithPrevious, "
                                   "MergedWithNext and Contiguous",
                                   err);
}

vkdlm_status tokenizer_json_pretokenizer(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    static const component_type types[] = {{"Sequence", pretokenizer_sequence},
                                           {"ByteLevel", pretokenizer_byte_level},
                                           {"Digits", pretokenizer_digits},
                                           {"Split", pretokenizer_split_by_pattern}};
    if (!json)
        return VKDLM_OK;
    return read_component(json, "pre_tokenizer", types, sizeof types / sizeof *types, t, err);
}

/* Appends an id that must be a token's. */
static vkdlm_status template_push(vkdlm_tokenizer *t, const json_t *id, vkdlm_error *err)
{
    if (!json_is_integer(id))
        return tokenizer_json_expected("post_processor", "ids", "an array of integers", err);
    json_int_t value = json_integer_value(id);
    if (value < 0 || value >= VOCAB_MAX_IDS || !vocab_get(&t->vocab, (int32_t)value))
        return error_set(err, VKDLM_MALFORMED, "post_processor: no token has id %lld", (long long)value);
    if (t->template_ids.count == TEMPLATE_MAX)
        return error_set(err, VKDLM_UNSUPPORTED,
                         "post_processor: a template of more than %d ids is not supported", TEMPLATE_MAX);
    if (!text_ids_push(&t->template_ids, (int32_t)value))
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for the template");
    return VKDLM_OK;
}

static vkdlm_status template_push_text(vkdlm_tokenizer *t, vkdlm_error *err)
{
    if (t->template_ids.count == TEMPLATE_MAX)
        return error_set(err, VKDLM_UNSUPPORTED,
                         "post_processor: a template of more than %d ids is not supported", TEMPLATE_MAX);
    if (!text_ids_push(&t->template_ids, TEMPLATE_TEXT))
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for the template");
    return VKDLM_OK;
}

/* Empties the template for the first post-processor that has one. */
static vkdlm_status template_start(vkdlm_tokenizer *t, vkdlm_error *err)
{
    if (t->template_ids.count != 1 || t->template_ids.data[0] != TEMPLATE_TEXT)
        return error_set(err, VKDLM_UNSUPPORTED, "post_processor: more than one template is not supported");
    t->template_ids.count = 0;
    return VKDLM_OK;
}

/* One piece of a template: {"Sequence": {"id": "A"}} or {"SpecialToken": {"id": NAME}}. */
static vkdlm_status read_piece(const json_t *piece, const json_t *special_tokens, vkdlm_tokenizer *t,
                               vkdlm_error *err)
{
    const json_t *sequence = tokenizer_json_get(piece, "Sequence");
    const json_t *id =
        tokenizer_json_get(sequence ? sequence : tokenizer_json_get(piece, "SpecialToken"), "id");
    vkdlm_status status = VKDLM_OK;
    if (!json_is_string(id))
        return tokenizer_json_expected("post_processor", "single", "an array of Sequence and SpecialToken",
                                       err);
    if (sequence) {
        if (strcmp(json_string_value(id), "A") != 0)
            return error_set(err, VKDLM_MALFORMED,
                             "post_processor: the template of one text uses sequence '%.64s'",
                             json_string_value(id));
        return template_push_text(t, err);
    }
    const json_t *ids = tokenizer_json_get(tokenizer_json_get(special_tokens, json_string_value(id)), "ids");
    if (!json_is_array(ids))
        return error_set(err, VKDLM_MALFORMED, "post_processor: special_tokens has no ids of '%.64s'",
                         json_string_value(id));
    for (size_t i = 0; i < json_array_size(ids) && !status; i++)
        status = template_push(t, json_array_get(ids, i), err);
    return status;
}

static vkdlm_status post_processor_template(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    const json_t *single = tokenizer_json_get(json, "single");
    const json_t *special_tokens = tokenizer_json_get(json, "special_tokens");
    vkdlm_status status = template_start(t, err);
    if (status)
        return status;
    if (!json_is_array(single))
        return tokenizer_json_expected("post_processor", "single", "an array", err);
    for (size_t i = 0; i < json_array_size(single) && !status; i++)
        status = read_piece(json_array_get(single, i), special_tokens, t, err);
    return status;
}

/* {"cls": [TOKEN, ID], "sep": [TOKEN, ID]}: the text between the two. */
static vkdlm_status post_processor_roberta(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    vkdlm_status status = template_start(t, err);
    if (!status)
        status = template_push(t, json_array_get(tokenizer_json_get(json, "cls"), 1), err);
    if (!status)
        status = template_push_text(t, err);
    if (!status)
        status = template_push(t, json_array_get(tokenizer_json_get(json, "sep"), 1), err);
    return status;
}

/* It only moves the offsets of tokens, which this library does not give. */
static vkdlm_status post_processor_byte_level(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    (void)json;
    (void)t;
    (void)err;
    return VKDLM_OK;
}

static vkdlm_status post_processor_sequence(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    return read_sequence(json, "post_processor", "processors", tokenizer_json_post_processor, t, err);
}

vkdlm_status tokenizer_json_post_processor(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    static const component_type types[] = {{"Sequence", post_processor_sequence},
                                           {"ByteLevel", post_processor_byte_level},
                                           {"TemplateProcessing", post_processor_template},
                                           {"RobertaProcessing", post_processor_roberta}};
    if (!json)
        return VKDLM_OK;
    return read_component(json, "post_processor", types, sizeof types / sizeof *types, t, err);
}

static vkdlm_status decoder_byte_level(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    (void)json;
    if (t->decode_byte_level)
        return error_set(err, VKDLM_UNSUPPORTED, "decoder: ByteLevel more than once is not supported");
    t->decode_byte_level = true;
    return VKDLM_OK;
}

/* Joins the pieces to one text, as ByteLevel has done before. */
static vkdlm_status decoder_fuse(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    (void)json;
    if (!t->decode_byte_level)
        return error_set(err, VKDLM_UNSUPPORTED, "decoder: Fuse before ByteLevel is not supported");
    return VKDLM_OK;
}

static vkdlm_status decoder_sequence(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    vkdlm_status status = read_sequence(json, "decoder", "decoders", tokenizer_json_decoder, t, err);
    if (!status && !t->decode_byte_level)
        return error_set(err, VKDLM_UNSUPPORTED, "decoder: a Sequence without ByteLevel is not supported");
    return status;
}

vkdlm_status tokenizer_json_decoder(const json_t *json, vkdlm_tokenizer *t, vkdlm_error *err)
{
    static const component_type types[] = {
        {"Sequence", decoder_sequence}, {"ByteLevel", decoder_byte_level}, {"Fuse", decoder_fuse}};
    if (!json)
        return VKDLM_OK;
    return read_component(json, "decoder", types, sizeof types / sizeof *types, t, err);
}

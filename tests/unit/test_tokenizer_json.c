/* tokenizer.json files that are wrong or beyond what is supported: each must give its status and a sentence
 * that names the component, and never a tokenizer. */
#include "test_tokenizer_util.h"

#define MODEL_WITH(vocab, merges, more) "{'type':'BPE','vocab':" vocab ",'merges':" merges more "}"
#define WITH_MODEL(model)               TOKENIZER_FILE(model, "[]", "null", BYTE_LEVEL, "null", BYTE_LEVEL)
#define WITH_VOCAB(vocab)               WITH_MODEL(MODEL_WITH(vocab, "[]", ""))
#define WITH_MERGES(merges)             WITH_MODEL(MODEL_WITH(VOCAB, merges, ""))
#define WITH_OPTION(option)             WITH_MODEL(MODEL_WITH(VOCAB, MERGES, "," option))
#define WITH_ADDED(added)               TOKENIZER_FILE(MODEL, added, "null", BYTE_LEVEL, "null", BYTE_LEVEL)
#define WITH_NORMALIZER(n)              TOKENIZER_FILE(MODEL, "[]", n, BYTE_LEVEL, "null", BYTE_LEVEL)
#define WITH_PRE(p)                     TOKENIZER_FILE(MODEL, "[]", "null", p, "null", BYTE_LEVEL)
#define WITH_POST(p)                    TOKENIZER_FILE(MODEL, "[]", "null", BYTE_LEVEL, p, BYTE_LEVEL)
#define WITH_DECODER(d)                 TOKENIZER_FILE(MODEL, "[]", "null", BYTE_LEVEL, "null", d)
#define SPLIT(pattern, more)            "{'type':'Split','pattern':" pattern ",'behavior':'Isolated'" more "}"
#define SEQUENCE(key, members)          "{'type':'Sequence','" key "':[" members "]}"
#define TEMPLATE(single, special) \
    "{'type':'TemplateProcessing','single':" single ",'pair':[],'special_tokens':" special "}"
#define TEXT_PIECE "{'Sequence':{'id':'A','type_id':0}}"

typedef struct bad_file {
    const char *what, *text;
    vkdlm_status status;
    const char *part; /* of the message */
} bad_file;

static const bad_file malformed[] = {
    {"empty", "", VKDLM_MALFORMED, "not JSON"},
    {"no JSON", "tokenizer", VKDLM_MALFORMED, "not JSON"},
    {"cut", "{'model':{'type':'BPE',", VKDLM_MALFORMED, "not JSON"},
    {"more behind", WITH_MODEL(MODEL) "x", VKDLM_MALFORMED, "not JSON"},
    {"not UTF-8", "{'model':'\xFF'}", VKDLM_MALFORMED, "not JSON"},
    {"an array", "[]", VKDLM_MALFORMED, "not an object"},
    {"a number", "1", VKDLM_MALFORMED, "not"},
    {"no model", "{}", VKDLM_MALFORMED, "'model'"},
    {"model of another kind", WITH_MODEL("[]"), VKDLM_MALFORMED, "'model'"},
    {"duplicate key", "{'model':{},'model':{}}", VKDLM_MALFORMED, "duplicate"},
    {"duplicate token", WITH_VOCAB("{'a':0,'a':1}"), VKDLM_MALFORMED, "duplicate"},
    {"no vocabulary", WITH_MODEL("{'type':'BPE','merges':[]}"), VKDLM_MALFORMED, "vocabulary"},
    {"vocabulary as an array", WITH_VOCAB("[]"), VKDLM_MALFORMED, "vocabulary"},
    {"id as a string", WITH_VOCAB("{'a':'0'}"), VKDLM_MALFORMED, "'a'"},
    {"id as a fraction", WITH_VOCAB("{'a':0.5}"), VKDLM_MALFORMED, "'a'"},
    {"negative id", WITH_VOCAB("{'a':-1}"), VKDLM_MALFORMED, "-1"},
    {"large id", WITH_VOCAB("{'a':4294967296}"), VKDLM_MALFORMED, "4294967296"},
    {"huge id", WITH_VOCAB("{'a':99999999999999999999999}"), VKDLM_MALFORMED, "not JSON"},
    {"id above the bound", WITH_VOCAB("{'a':2147483647}"), VKDLM_MALFORMED, "2147483647"},
    {"two tokens of one id", WITH_VOCAB("{'a':0,'b':0}"), VKDLM_MALFORMED, "same id 0"},
    {"merges as an object", WITH_MERGES("{}"), VKDLM_MALFORMED, "merges"},
    {"merge as a number", WITH_MERGES("[1]"), VKDLM_MALFORMED, "merge 0"},
    {"merge of one", WITH_MERGES("['a']"), VKDLM_MALFORMED, "merge 0"},
    {"merge of three", WITH_MERGES("['a b','a b c']"), VKDLM_MALFORMED, "merge 1"},
    {"merge of three in an array", WITH_MERGES("[['a','b','c']]"), VKDLM_MALFORMED, "merge 0"},
    {"merge of numbers", WITH_MERGES("[[1,2]]"), VKDLM_MALFORMED, "merge 0"},
    {"merge of an unknown token", WITH_MERGES("['a z']"), VKDLM_MALFORMED, "'z'"},
    {"merge to an unknown token", WITH_MERGES("['a c']"), VKDLM_MALFORMED, "'ac'"},
    {"ignore_merges as a number", WITH_OPTION("'ignore_merges':1"), VKDLM_MALFORMED, "ignore_merges"},
    {"dropout as a string", WITH_OPTION("'dropout':'x'"), VKDLM_MALFORMED, "dropout"},
    {"unknown unk_token", WITH_OPTION("'unk_token':'?'"), VKDLM_MALFORMED, "unk_token"},
    {"unk_token as a number", WITH_OPTION("'unk_token':1"), VKDLM_MALFORMED, "unk_token"},
    {"type as a number", WITH_MODEL("{'type':1}"), VKDLM_MALFORMED, "type"},
    {"added tokens as an object", WITH_ADDED("{}"), VKDLM_MALFORMED, "added_tokens"},
    {"added token as a string", WITH_ADDED("['x']"), VKDLM_MALFORMED, "added_tokens"},
    {"added token without id", WITH_ADDED("[{'content':'x'}]"), VKDLM_MALFORMED, "id"},
    {"added token without content", WITH_ADDED("[{'id':12}]"), VKDLM_MALFORMED, "content"},
    {"empty added token", WITH_ADDED("[" ADDED("12", "", "") "]"), VKDLM_MALFORMED, "empty"},
    {"flag as a number", WITH_ADDED("[" ADDED("12", "x", ",'special':1") "]"), VKDLM_MALFORMED, "special"},
    {"added token twice", WITH_ADDED("[" ADDED("12", "x", "") "," ADDED("13", "x", "") "]"), VKDLM_MALFORMED,
     "twice"},
    {"added tokens of one id", WITH_ADDED("[" ADDED("12", "x", "") "," ADDED("12", "y", "") "]"),
     VKDLM_MALFORMED, "has id 12"},
    {"added token with a token's id", WITH_ADDED("[" ADDED("0", "x", "") "]"), VKDLM_MALFORMED, "has id 0"},
    {"added token with another id", WITH_ADDED("[" ADDED("12", "abc", "") "]"), VKDLM_MALFORMED,
     "7 in the vocab"},
    {"added token behind a gap", WITH_ADDED("[" ADDED("4000000000", "x", "") "]"), VKDLM_MALFORMED,
     "4000000000"},
    {"normalizer as a string", WITH_NORMALIZER("'NFC'"), VKDLM_MALFORMED, "normalizer"},
    {"normalizer without type", WITH_NORMALIZER("{}"), VKDLM_MALFORMED, "normalizer"},
    {"sequence of numbers", WITH_NORMALIZER(SEQUENCE("normalizers", "1")), VKDLM_MALFORMED, "normalizer"},
    {"sequence without members", WITH_PRE("{'type':'Sequence'}"), VKDLM_MALFORMED, "pretokenizers"},
    {"ByteLevel without flags", WITH_PRE("{'type':'ByteLevel'}"), VKDLM_MALFORMED, "add_prefix_space"},
    {"split without pattern", WITH_PRE(SPLIT("null", "")), VKDLM_MALFORMED, "pattern"},
    {"split with a number", WITH_PRE(SPLIT("{'Regex':1}", "")), VKDLM_MALFORMED, "pattern"},
    {"split with an open class", WITH_PRE(SPLIT("{'Regex':'[a'}", "")), VKDLM_MALFORMED,
     "regular expression"},
    {"split of no behavior", WITH_PRE("{'type':'Split','pattern':{'Regex':'a'}}"), VKDLM_MALFORMED,
     "behavior"},
    {"split of unknown behavior", WITH_PRE("{'type':'Split','pattern':{'Regex':'a'},'behavior':'x'}"),
     VKDLM_MALFORMED, "behavior"},
    {"template without single", WITH_POST("{'type':'TemplateProcessing'}"), VKDLM_MALFORMED, "single"},
    {"template of numbers", WITH_POST(TEMPLATE("[1]", "{}")), VKDLM_MALFORMED, "single"},
    {"template of the second text", WITH_POST(TEMPLATE("[{'Sequence':{'id':'B','type_id':0}}]", "{}")),
     VKDLM_MALFORMED, "'B'"},
    {"template of an unknown token", WITH_POST(TEMPLATE("[{'SpecialToken':{'id':'x','type_id':0}}]", "{}")),
     VKDLM_MALFORMED, "'x'"},
    {"template of an unknown id", WITH_POST(TEMPLATE("[{'SpecialToken':{'id':'x'}}]", "{'x':{'ids':[99]}}")),
     VKDLM_MALFORMED, "99"},
    {"template of a negative id", WITH_POST(TEMPLATE("[{'SpecialToken':{'id':'x'}}]", "{'x':{'ids':[-1]}}")),
     VKDLM_MALFORMED, "-1"},
    {"template of strings", WITH_POST(TEMPLATE("[{'SpecialToken':{'id':'x'}}]", "{'x':{'ids':['a']}}")),
     VKDLM_MALFORMED, "ids"},
    {"decoder as an array", WITH_DECODER("[]"), VKDLM_MALFORMED, "decoder"},
};

static const bad_file unsupported[] = {
    {"Unigram", WITH_MODEL("{'type':'Unigram','vocab':[['a',0.0]]}"), VKDLM_UNSUPPORTED, "Unigram"},
    {"WordPiece", WITH_MODEL("{'type':'WordPiece','vocab':{}}"), VKDLM_UNSUPPORTED, "WordPiece"},
    {"WordPiece without type", WITH_MODEL("{'vocab':{}}"), VKDLM_UNSUPPORTED, "model"},
    {"dropout", WITH_OPTION("'dropout':0.1"), VKDLM_UNSUPPORTED, "dropout"},
    {"prefix", WITH_OPTION("'continuing_subword_prefix':'##'"), VKDLM_UNSUPPORTED, "##"},
    {"suffix", WITH_OPTION("'end_of_word_suffix':'</w>'"), VKDLM_UNSUPPORTED, "</w>"},
    {"byte_fallback", WITH_OPTION("'byte_fallback':true"), VKDLM_UNSUPPORTED, "byte_fallback"},
    {"Lowercase", WITH_NORMALIZER("{'type':'Lowercase'}"), VKDLM_UNSUPPORTED, "Lowercase"},
    {"Lowercase in a sequence",
     WITH_NORMALIZER(SEQUENCE("normalizers", "{'type':'NFC'},{'type':'Lowercase'}")), VKDLM_UNSUPPORTED,
     "Lowercase"},
    {"no pre-tokenizer", WITH_PRE("null"), VKDLM_UNSUPPORTED, "ByteLevel"},
    {"Metaspace", WITH_PRE("{'type':'Metaspace'}"), VKDLM_UNSUPPORTED, "Metaspace"},
    {"split alone", WITH_PRE(SPLIT("{'Regex':'a'}", ",'invert':false")), VKDLM_UNSUPPORTED, "ByteLevel"},
    {"ByteLevel not last", WITH_PRE(SEQUENCE("pretokenizers", BYTE_LEVEL "," SPLIT("{'String':'a'}", ""))),
     VKDLM_UNSUPPORTED, "behind ByteLevel"},
    {"backreference", WITH_PRE(SPLIT("{'Regex':'(a)\\\\1'}", "")), VKDLM_UNSUPPORTED, "regular expression"},
    {"BertProcessing", WITH_POST("{'type':'BertProcessing'}"), VKDLM_UNSUPPORTED, "BertProcessing"},
    {"two templates",
     WITH_POST(
         SEQUENCE("processors", TEMPLATE("[" TEXT_PIECE "," TEXT_PIECE "]", "{}") "," TEMPLATE("[]", "{}"))),
     VKDLM_UNSUPPORTED, "more than one template"},
    {"WordPiece decoder", WITH_DECODER("{'type':'WordPiece'}"), VKDLM_UNSUPPORTED, "decoder"},
    {"Fuse alone", WITH_DECODER("{'type':'Fuse'}"), VKDLM_UNSUPPORTED, "decoder"},
    {"empty decoder", WITH_DECODER(SEQUENCE("decoders", "")), VKDLM_UNSUPPORTED, "decoder"},
};

static void expect_refusal(const char *what, vkdlm_status expected, const char *part, vkdlm_status found,
                           const vkdlm_tokenizer *t, const vkdlm_error *err)
{
    if (found != expected)
        fail_msg("%s: status %d (%s), expected %d", what, (int)found, err->message, (int)expected);
    assert_null(t);
    assert_int_equal(err->status, expected);
    if (!strstr(err->message, part))
        fail_msg("%s: '%s' does not mention '%s'", what, err->message, part);
}

static void check_table(const bad_file *files, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        vkdlm_tokenizer *t;
        vkdlm_error err = {0};
        vkdlm_status status = parse_quoted(files[i].text, &t, &err);
        expect_refusal(files[i].what, files[i].status, files[i].part, status, t, &err);
        assert_int_equal(parse_quoted(files[i].text, &t, NULL), files[i].status);
    }
}

static void test_malformed(void **state)
{
    (void)state;
    check_table(malformed, sizeof malformed / sizeof *malformed);
}

static void test_unsupported(void **state)
{
    (void)state;
    check_table(unsupported, sizeof unsupported / sizeof *unsupported);
}

static void test_deep_nesting(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    char *text = malloc(2 * DEPTH + 1);
    vkdlm_tokenizer *t;
    vkdlm_error err = {0};
    assert_non_null(text);
    memset(text, '[', DEPTH);
    memset(text + DEPTH, ']', DEPTH);
    text[2 * DEPTH] = 0;
    vkdlm_status status = parse_quoted(text, &t, &err);
    expect_refusal("deep nesting", VKDLM_MALFORMED, "not JSON", status, t, &err);
    free(text);
}

/* Appends text n times. */
static void repeat(text_bytes *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_true(text_bytes_append(out, text, strlen(text)));
}

static void test_too_many_stages(void **state)
{
    (void)state;
    text_bytes text = {0};
    vkdlm_tokenizer *t;
    vkdlm_error err = {0};
    repeat(&text, "{'model':" MODEL ",'pre_tokenizer':{'type':'Sequence','pretokenizers':[", 1);
    repeat(&text, SPLIT("{'String':'a'}", "") ",", 40);
    repeat(&text, BYTE_LEVEL "]}}", 1);
    assert_true(text_bytes_append(&text, "", 1));
    vkdlm_status status = parse_quoted(text.data, &t, &err);
    expect_refusal("stages", VKDLM_UNSUPPORTED, "pre-tokenizers", status, t, &err);
    text_bytes_deinit(&text);
}

/* Every prefix of a good file is refused, and every file with one byte changed is read or refused. */
static void test_damaged(void **state)
{
    (void)state;
    static const char good[] = TOKENIZER_FILE(
        MODEL, "[" ADDED("12", "<s>", ",'special':true,'lstrip':true,'normalized':true") "]",
        SEQUENCE("normalizers", "{'type':'NFC'}"),
        SEQUENCE("pretokenizers", SPLIT("{'Regex':' ?\\\\p{L}+|[^a\\\\s]'}", "") "," PLAIN_LEVEL),
        TEMPLATE("[{'SpecialToken':{'id':'<s>','type_id':0}}," TEXT_PIECE "]",
                 "{'<s>':{'id':'<s>','ids':[12]}}"),
        SEQUENCE("decoders", BYTE_LEVEL ",{'type':'Fuse'}"));
    char text[sizeof good];
    vkdlm_tokenizer *t;
    for (size_t n = 0; n + 1 < sizeof good; n++) {
        memcpy(text, good, n);
        text[n] = 0;
        assert_int_equal(parse_quoted(text, &t, NULL), VKDLM_MALFORMED);
    }
    for (size_t i = 0; i + 1 < sizeof good; i++) {
        memcpy(text, good, sizeof good);
        for (int change = 1; change < 256; change += 37) {
            text[i] = (char)(good[i] ^ change);
            if (text[i] && !parse_quoted(text, &t, NULL))
                vkdlm_tokenizer_close(t);
        }
    }
    t = must_parse(good);
    expect_ids(t, "a b <s>", 0, "12 0 3 1 12");
    vkdlm_tokenizer_close(t);
}

/* Files as early versions wrote them. */
static void test_early_files(void **state)
{
    (void)state;
    vkdlm_tokenizer *t = must_parse("{'model':{'vocab':" VOCAB ",'merges':['#version: 0.2','a b','ab c'],"
                                    "'continuing_subword_prefix':'','unk_token':null},"
                                    "'pre_tokenizer':{'type':'ByteLevel','add_prefix_space':true}}");
    expect_ids(t, "abc", 0, "3 7");
    expect_ids(t, " abc", 0, "3 7");
    vkdlm_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed),    cmocka_unit_test(test_unsupported),
        cmocka_unit_test(test_deep_nesting), cmocka_unit_test(test_too_many_stages),
        cmocka_unit_test(test_damaged),      cmocka_unit_test(test_early_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

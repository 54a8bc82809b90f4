/* Chat templates: which are recognised, and what they write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "text/chat_template.h"

/* Sources with the marks that the recognition looks for, written for these tests. */
#define LLAMA_3                                                                                          \
    "{% for m in messages %}{{ (bos_token if loop.first else '') + '<|start_header_id|>' + m['role'] + " \
    "'<|end_header_id|>\\n\\n' + (m['content'] | trim) + '<|eot_id|>' }}{% endfor %}"
#define LLAMA_31                                                                                   \
    "{{- bos_token }}{%- if not date_string is defined %}{%- set date_string = \"26 Jul 2024\" %}" \
    "{%- endif %}{{- \"<|start_header_id|>system<|end_header_id|>\\n\\n\" }}"                      \
    "{{- \"Cutting Knowledge Date: December 2023\\n\" }}{{- \"Today Date: \" + date_string }}"     \
    "{{- \"<|eot_id|>\" }}"
#define LLAMA_32                                                                                           \
    "{{- bos_token }}{%- if strftime_now is defined %}{%- set date_string = strftime_now(\"%d\") %}"       \
    "{%- else %}{%- set date_string = \"26 Jul 2024\" %}{%- endif %}<|start_header_id|>x<|end_header_id|>" \
    "Cutting Knowledge Date: December 2023\n<|eot_id|>"
#define QWEN_25                                                                             \
    "{%- if tools %}{{- '<|im_start|>system\\n' }}{%- if first %}{{- content }}{%- else %}" \
    "{{- 'You are Qwen.' }}{%- endif %}{{- \"\\n# Tools<|im_end|>\\n\" }}{%- else %}"       \
    "{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}"             \
    "{{- '<|im_start|>system\\nYou are Qwen, at your service.<|im_end|>\\n' }}{%- endif %}" \
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
#define CHATML "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}"

#define USER(text)   \
    {                \
        "user", text \
    }
#define HEADER(role) "<|start_header_id|>" role "<|end_header_id|>\n\n"
#define SYSTEM_31(date, text) \
    HEADER("system") "Cutting Knowledge Date: December 2023\nToday Date: " date "\n\n" text "<|eot_id|>"

static const vkdlm_chat_message one[] = {USER(" \n Hello\xc2\xa0 ")};
static const vkdlm_chat_message two[] = {{"system", "  Be brief. "}, USER("Hi")};
static const vkdlm_chat_message turns[] = {USER("a"), {"assistant", "b"}, USER("c")};

static void expect_text(const char *source, const char *begin, const vkdlm_chat_message *messages, size_t n,
                        bool prompt, const char *date, const char *expected)
{
    vkdlm_chat_template *chat = NULL;
    vkdlm_text text = {0};
    vkdlm_error err = {0};
    if (chat_template_recognise(source, begin, &chat, &err) ||
        vkdlm_chat_format(chat, messages, n, prompt, date, &text, &err))
        fail_msg("%s", err.message);
    assert_string_equal(text.bytes, expected);
    assert_int_equal(text.size, strlen(expected));
    vkdlm_text_free(&text);
    vkdlm_chat_template_close(chat);
}

static void test_llama(void **state)
{
    (void)state;
    expect_text(LLAMA_3, NULL, one, 1, true, NULL,
                "<|begin_of_text|>" HEADER("user") "Hello<|eot_id|>" HEADER("assistant"));
    expect_text(LLAMA_3, "<s>", two, 2, false, NULL,
                "<s>" HEADER("system") "Be brief.<|eot_id|>" HEADER("user") "Hi<|eot_id|>");
    expect_text(LLAMA_31, NULL, one, 1, true, NULL,
                "<|begin_of_text|>" SYSTEM_31("26 Jul 2024", "")
                    HEADER("user") "Hello<|eot_id|>" HEADER("assistant"));
    expect_text(LLAMA_31, NULL, two, 2, true, "01 Jan 2030",
                "<|begin_of_text|>" SYSTEM_31("01 Jan 2030", "Be brief.")
                    HEADER("user") "Hi<|eot_id|>" HEADER("assistant"));
    expect_text(LLAMA_32, NULL, turns, 3, false, "02 Feb 2031",
                "<|begin_of_text|>" SYSTEM_31("02 Feb 2031", "") HEADER("user") "a<|eot_id|>" HEADER(
                    "assistant") "b<|eot_id|>" HEADER("user") "c<|eot_id|>");
}

/* Llama 3.2 writes the date of the day. */
static void test_local_date(void **state)
{
    vkdlm_chat_template *chat = NULL;
    vkdlm_text text = {0};
    vkdlm_error err = {0};
    char before[32], after[32];
    time_t now = time(NULL);
    (void)state;
    assert_true(strftime(before, sizeof before, "%d %b %Y", localtime(&now)) > 0);
    assert_int_equal(chat_template_recognise(LLAMA_32, NULL, &chat, &err), VKDLM_OK);
    assert_int_equal(vkdlm_chat_template_family(chat), VKDLM_CHAT_LLAMA3);
    assert_int_equal(vkdlm_chat_format(chat, one, 1, true, NULL, &text, &err), VKDLM_OK);
    now = time(NULL);
    assert_true(strftime(after, sizeof after, "%d %b %Y", localtime(&now)) > 0);
    assert_true(strstr(text.bytes, before) || strstr(text.bytes, after));
    vkdlm_text_free(&text);
    vkdlm_chat_template_close(chat);
}

static void test_chatml(void **state)
{
    (void)state;
    expect_text(QWEN_25, NULL, one, 1, true, NULL,
                "<|im_start|>system\nYou are Qwen, at your service.<|im_end|>\n"
                "<|im_start|>user\n \n Hello\xc2\xa0 <|im_end|>\n<|im_start|>assistant\n");
    expect_text(QWEN_25, "<|endoftext|>", two, 2, false, NULL,
                "<|im_start|>system\n  Be brief. <|im_end|>\n<|im_start|>user\nHi<|im_end|>\n");
    expect_text(CHATML, NULL, turns, 3, true, NULL,
                "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc"
                "<|im_end|>\n<|im_start|>assistant\n");
}

static void test_unknown(void **state)
{
    static const char *const sources[] = {"",
                                          "{{ '[INST] ' + m.content + ' [/INST]' }}",
                                          "<|im_start|>",
                                          "<|start_header_id|><|eot_id|>",
                                          CHATML "<think>",
                                          CHATML "{% if enable_thinking %}"};
    (void)state;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        vkdlm_chat_template *chat = (vkdlm_chat_template *)state;
        vkdlm_error err = {0};
        if (chat_template_recognise(sources[i], NULL, &chat, &err) != VKDLM_UNSUPPORTED || chat)
            fail_msg("'%s' is recognised", sources[i]);
        assert_non_null(strstr(err.message, "neither of Llama 3"));
    }
}

static void test_bad_messages(void **state)
{
    static const struct {
        vkdlm_chat_message messages[2];
        size_t n;
        const char *part;
    } rows[] = {
        {{{NULL, NULL}}, 0, "at least one"},
        {{{"tool", "x"}}, 1, "the role 'tool'"},
        {{{"user", "x"}, {"system", "y"}}, 2, "message 1 of the chat has the role 'system'"},
        {{{NULL, "x"}}, 1, "no role"},
        {{{"user", NULL}}, 1, "no content"},
    };
    vkdlm_chat_template *chat = NULL;
    vkdlm_error err = {0};
    (void)state;
    assert_int_equal(chat_template_recognise(LLAMA_31, NULL, &chat, &err), VKDLM_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vkdlm_text text;
        if (vkdlm_chat_format(chat, rows[i].messages, rows[i].n, true, NULL, &text, &err) !=
                VKDLM_INVALID_ARGUMENT ||
            text.bytes || !strstr(err.message, rows[i].part))
            fail_msg("row %zu: '%s', expected '%s'", i, err.message, rows[i].part);
    }
    vkdlm_chat_template_close(chat);
}

/* ---- files -------------------------------------------------------------------------------------------- */

typedef struct folder {
    char path[64], file[128];
} folder;

static int setup(void **state)
{
    folder *f = calloc(1, sizeof *f);
    if (!f)
        return -1;
    strcpy(f->path, "/tmp/vkdlm-chat-XXXXXX");
    *state = f;
    return mkdtemp(f->path) ? 0 : -1;
}

static const char *const names[] = {"tokenizer_config.json", "chat_template.jinja", "tokenizer.json"};

static int teardown(void **state)
{
    folder *f = *state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(f->file, sizeof f->file, "%s/%s", f->path, names[i]);
        unlink(f->file);
    }
    int failed = rmdir(f->path);
    free(f);
    return failed;
}

static void write_file(folder *f, const char *name, const char *text)
{
    snprintf(f->file, sizeof f->file, "%s/%s", f->path, name);
    FILE *out = fopen(f->file, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

/* What the template at `path` makes of the user message "x". */
static void expect_open(const char *path, const char *expected)
{
    static const vkdlm_chat_message message[] = {USER("x")};
    vkdlm_chat_template *chat = NULL;
    vkdlm_text text = {0};
    vkdlm_error err = {0};
    if (vkdlm_chat_template_open(path, &chat, &err) ||
        vkdlm_chat_format(chat, message, 1, false, NULL, &text, &err))
        fail_msg("%s", err.message);
    assert_string_equal(text.bytes, expected);
    vkdlm_text_free(&text);
    vkdlm_chat_template_close(chat);
}

static void expect_refused(const char *path, vkdlm_status status, const char *part)
{
    vkdlm_chat_template *chat = NULL;
    vkdlm_error err = {0};
    vkdlm_status found = vkdlm_chat_template_open(path, &chat, &err);
    if (found != status || chat || !strstr(err.message, part))
        fail_msg("status %d, '%s'; expected %d, '%s'", (int)found, err.message, (int)status, part);
}

#define PLAIN "'<|im_start|>' + m.role + m.content + '<|im_end|>'"
#define EOT   "<|start_header_id|><|end_header_id|><|eot_id|>"

static void test_files(void **state)
{
    static const char chatml[] = "<|im_start|>user\nx<|im_end|>\n";
    folder *f = *state;
    expect_refused(f->path, VKDLM_NOT_FOUND, "has no chat template");
    write_file(f, "tokenizer_config.json", "{\"chat_template\":\"" PLAIN "\"}");
    expect_open(f->path, chatml);
    expect_open(f->file, chatml);
    write_file(f, "tokenizer.json", "{}");
    expect_open(f->file, chatml);
    write_file(f, "tokenizer_config.json",
               "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"?\"},{\"name\":\"default\","
               "\"template\":\"" PLAIN "\"}]}");
    expect_open(f->path, chatml);
    /* A file of its own comes first; its tokens stand in the configuration. */
    write_file(f, "tokenizer_config.json", "{\"bos_token\":{\"content\":\"<b>\"},\"chat_template\":3}");
    write_file(f, "chat_template.jinja", "{{ bos_token }}" EOT);
    expect_open(f->path, "<b>" HEADER("user") "x<|eot_id|>");
    expect_open(f->file, "<b>" HEADER("user") "x<|eot_id|>");
    write_file(f, "tokenizer_config.json", "{\"bos_token\":\"<c>\"}");
    expect_open(f->path, "<c>" HEADER("user") "x<|eot_id|>");
    write_file(f, "chat_template.jinja", "{{ mystery }}");
    expect_refused(f->path, VKDLM_UNSUPPORTED, "chat_template.jinja': the chat template is neither");
}

static void test_bad_files(void **state)
{
    static const struct {
        const char *text;
        vkdlm_status status;
        const char *part;
    } rows[] = {
        {"{", VKDLM_MALFORMED, "is not JSON"},
        {"[]", VKDLM_MALFORMED, "expected an object"},
        {"{}", VKDLM_NOT_FOUND, "has no chat_template"},
        {"{\"chat_template\":null}", VKDLM_NOT_FOUND, "has no chat_template"},
        {"{\"chat_template\":7}", VKDLM_MALFORMED, "expected chat_template"},
        {"{\"chat_template\":[]}", VKDLM_MALFORMED, "expected chat_template"},
        {"{\"chat_template\":[{\"name\":\"default\"}]}", VKDLM_MALFORMED, "expected chat_template"},
        {"{\"chat_template\":\"{{ x }}\"}", VKDLM_UNSUPPORTED, "neither of Llama 3"},
        {"", VKDLM_MALFORMED, "is not JSON"},
    };
    folder *f = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_file(f, "tokenizer_config.json", rows[i].text);
        expect_refused(f->path, rows[i].status, rows[i].part);
    }
    expect_refused("/nonexistent/chat_template.jinja", VKDLM_NOT_FOUND, "/nonexistent/chat_template.jinja");
    expect_refused("/nonexistent", VKDLM_NOT_FOUND, "has no chat template");
}

/* The marks are tokens of their own, and the beginning of the text stands there once. */
static void test_tokens(void **state)
{
    static const vkdlm_chat_message message[] = {USER("Hello")};
    vkdlm_tokenizer *tokenizer = NULL;
    vkdlm_chat_template *chat = NULL;
    vkdlm_text text = {0};
    vkdlm_ids ids = {0};
    vkdlm_error err = {0};
    (void)state;
    if (vkdlm_tokenizer_open(TOKENIZERS_DIR "/llama3", &tokenizer, &err) ||
        chat_template_recognise(LLAMA_3, NULL, &chat, &err) ||
        vkdlm_chat_format(chat, message, 1, true, NULL, &text, &err) ||
        vkdlm_tokenize(tokenizer, text.bytes, text.size, VKDLM_TOKENIZE_NO_SPECIAL, &ids, &err))
        fail_msg("%s", err.message);
    static const char *const expected[] = {
        "<|begin_of_text|>", "<|start_header_id|>", "user",      "<|end_header_id|>", "\n\n", "Hello",
        "<|eot_id|>",        "<|start_header_id|>", "assistant", "<|end_header_id|>", "\n\n"};
    assert_int_equal(ids.count, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < ids.count; i++) {
        vkdlm_text piece = {0};
        assert_int_equal(vkdlm_detokenize(tokenizer, ids.ids + i, 1, false, &piece, &err), VKDLM_OK);
        assert_string_equal(piece.bytes, expected[i]);
        vkdlm_text_free(&piece);
    }
    vkdlm_ids_free(&ids);
    vkdlm_text_free(&text);
    vkdlm_chat_template_close(chat);
    vkdlm_tokenizer_close(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_local_date),
        cmocka_unit_test(test_chatml),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_bad_messages),
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_files, setup, teardown),
        cmocka_unit_test(test_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

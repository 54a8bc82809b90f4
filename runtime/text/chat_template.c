#include "text/chat_template.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/utf8.h"
#include "text/buffer.h"

#define LLAMA3_BEGIN "<|begin_of_text|>"
#define CUTOFF_MARK  "Cutting Knowledge Date: "
#define CHATML_START "<|im_start|>"
#define CHATML_END   "<|im_end|>"

struct vkdlm_chat_template {
    vkdlm_chat_family family;
    char *begin;         /* what the text begins with, "" for nothing */
    char *cutoff;        /* Llama 3.1 and later: the knowledge cutoff; NULL: no system block of its own */
    char *date;          /* the fixed date of the system block */
    bool local_date;     /* today's date instead */
    char *system_prompt; /* ChatML: the system text when none is given, NULL: no system block then */
};

/* What every template of a family writes, and what those of other families write that share its marks. */
static const struct {
    vkdlm_chat_family family;
    const char *marks[4];   /* all of them, ends with NULL */
    const char *foreign[4]; /* none of them, ends with NULL */
} families[] = {
    {VKDLM_CHAT_LLAMA3, {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}, {NULL}},
    {VKDLM_CHAT_CHATML, {CHATML_START, CHATML_END}, {"<think>", "enable_thinking", "[INST]"}},
};

static vkdlm_status out_of_memory(vkdlm_error *err)
{
    return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for a chat template");
}

void vkdlm_chat_template_close(vkdlm_chat_template *chat)
{
    if (!chat)
        return;
    free(chat->begin);
    free(chat->cutoff);
    free(chat->date);
    free(chat->system_prompt);
    free(chat);
}

vkdlm_chat_family vkdlm_chat_template_family(const vkdlm_chat_template *chat)
{
    return chat->family;
}

/* ---- recognising ------------------------------------------------------------------------------------ */

/* Number of bytes of the line break at s, written as one or as the escape "\n" of a Jinja string; 0: none. */
static size_t line_break(const char *s)
{
    return *s == '\n' ? 1 : s[0] == '\\' && s[1] == 'n' ? 2 : 0;
}

/* Copies what stands behind `mark` up to the next line break or quote; NULL when there is no such text. */
static bool copy_behind(const char *source, const char *mark, char **out)
{
    const char *s = strstr(source, mark);
    size_t n = 0;
    *out = NULL;
    if (!s)
        return true;
    s += strlen(mark);
    while (s[n] && !strchr("'\"", s[n]) && !line_break(s + n))
        n++;
    *out = strndup(s, n);
    return *out != NULL;
}

/* The system text that a ChatML template writes in full: between its marks stands no expression. */
static bool copy_system(const char *source, char **out)
{
    static const char mark[] = CHATML_START "system";
    *out = NULL;
    for (const char *s = source; (s = strstr(s, mark)) != NULL;) {
        s += sizeof mark - 1;
        size_t skipped = line_break(s);
        const char *end = strstr(s, CHATML_END);
        if (!skipped || !end)
            continue;
        size_t n = (size_t)(end - s) - skipped;
        if (strcspn(s + skipped, "'\"{}\\") < n)
            continue;
        *out = strndup(s + skipped, n);
        return *out != NULL;
    }
    return true;
}

static bool fits(const char *source, size_t family)
{
    for (size_t i = 0; families[family].marks[i]; i++)
        if (!strstr(source, families[family].marks[i]))
            return false;
    for (size_t i = 0; families[family].foreign[i]; i++)
        if (strstr(source, families[family].foreign[i]))
            return false;
    return true;
}

static bool read_llama3(vkdlm_chat_template *chat, const char *source, const char *begin)
{
    bool writes_begin = strstr(source, "bos_token") || strstr(source, LLAMA3_BEGIN);
    chat->begin = strdup(!writes_begin ? "" : begin ? begin : LLAMA3_BEGIN);
    chat->local_date = strstr(source, "strftime_now") != NULL;
    return chat->begin && copy_behind(source, CUTOFF_MARK, &chat->cutoff) &&
           copy_behind(source, "set date_string = \"", &chat->date);
}

static bool read_chatml(vkdlm_chat_template *chat, const char *source, const char *begin)
{
    chat->begin = strdup(begin && strstr(source, "bos_token") ? begin : "");
    return chat->begin && copy_system(source, &chat->system_prompt);
}

vkdlm_status chat_template_recognise(const char *source, const char *begin, vkdlm_chat_template **out,
                                     vkdlm_error *err)
{
    size_t i = 0, n_families = sizeof families / sizeof *families;
    *out = NULL;
    while (i < n_families && !fits(source, i))
        i++;
    if (i == n_families)
        return error_set(err, VKDLM_UNSUPPORTED,
                         "the chat template is neither of Llama 3's family (<|start_header_id|>) nor ChatML "
                         "as Qwen2.5 writes it (<|im_start|>)");
    vkdlm_chat_template *chat = calloc(1, sizeof *chat);
    if (!chat)
        return out_of_memory(err);
    chat->family = families[i].family;
    bool read = chat->family == VKDLM_CHAT_LLAMA3 ? read_llama3(chat, source, begin)
                                                  : read_chatml(chat, source, begin);
    if (!read) {
        vkdlm_chat_template_close(chat);
        return out_of_memory(err);
    }
    *out = chat;
    return VKDLM_OK;
}

/* ---- formatting ------------------------------------------------------------------------------------- */

typedef struct writer {
    text_bytes bytes;
    bool failed;
} writer;

static void put_bytes(writer *w, const char *text, size_t n)
{
    w->failed = w->failed || !text_bytes_append(&w->bytes, text, n);
}

static void put(writer *w, const char *text)
{
    put_bytes(w, text, strlen(text));
}

/* White space as Jinja's filter `trim` takes it: Unicode's, and the separators 1C to 1F. */
static bool is_space(uint32_t cp)
{
    return (cp >= 0x09 && cp <= 0x0d) || (cp >= 0x1c && cp <= 0x20) || cp == 0x85 || cp == 0xa0 ||
           cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 || cp == 0x202f ||
           cp == 0x205f || cp == 0x3000;
}

static void put_trimmed(writer *w, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t size = strlen(text), first = size, last = 0;
    for (size_t i = 0; i < size;) {
        uint32_t cp;
        size_t n = utf8_decode(s + i, size - i, &cp);
        if (!is_space(cp)) {
            first = first < i ? first : i;
            last = i + n;
        }
        i += n;
    }
    if (first < last)
        put_bytes(w, text + first, last - first);
}

/* Today's date; month names in English whatever the locale. */
static bool today(char *text, size_t size)
{
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm local;
    time_t now = time(NULL);
    if (!localtime_r(&now, &local) || local.tm_mon < 0 || local.tm_mon > 11)
        return false;
    char format[] = "%d Mmm %Y";
    memcpy(format + 3, months[local.tm_mon], 3);
    return strftime(text, size, format, &local) > 0;
}

static void begin_llama3(writer *w, const char *role)
{
    put(w, "<|start_header_id|>");
    put(w, role);
    put(w, "<|end_header_id|>\n\n");
}

static void format_llama3(const vkdlm_chat_template *chat, const vkdlm_chat_message *messages, size_t n,
                          bool add_generation_prompt, const char *date, writer *w)
{
    char now[32] = "";
    bool has_system = !strcmp(messages[0].role, "system");
    if (!date && chat->local_date && today(now, sizeof now))
        date = now;
    put(w, chat->begin);
    if (chat->cutoff) {
        begin_llama3(w, "system");
        put(w, CUTOFF_MARK);
        put(w, chat->cutoff);
        put(w, "\nToday Date: ");
        put(w, date ? date : chat->date ? chat->date : "26 Jul 2024");
        put(w, "\n\n");
        if (has_system)
            put_trimmed(w, messages[0].content);
        put(w, "<|eot_id|>");
    }
    for (size_t i = chat->cutoff && has_system ? 1 : 0; i < n; i++) {
        begin_llama3(w, messages[i].role);
        put_trimmed(w, messages[i].content);
        put(w, "<|eot_id|>");
    }
    if (add_generation_prompt)
        begin_llama3(w, "assistant");
}

static void put_chatml(writer *w, const char *role, const char *content)
{
    put(w, CHATML_START);
    put(w, role);
    put(w, "\n");
    put(w, content);
    put(w, CHATML_END "\n");
}

static void format_chatml(const vkdlm_chat_template *chat, const vkdlm_chat_message *messages, size_t n,
                          bool add_generation_prompt, const char *date, writer *w)
{
    (void)date; /* these templates write none */
    put(w, chat->begin);
    if (chat->system_prompt && strcmp(messages[0].role, "system") != 0)
        put_chatml(w, "system", chat->system_prompt);
    for (size_t i = 0; i < n; i++)
        put_chatml(w, messages[i].role, messages[i].content);
    if (add_generation_prompt)
        put(w, CHATML_START "assistant\n");
}

static vkdlm_status check_messages(const vkdlm_chat_message *messages, size_t n, vkdlm_error *err)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    if (!n)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "a chat needs at least one message");
    for (size_t i = 0; i < n; i++) {
        const char *role = messages[i].role;
        size_t known = 0;
        if (!role || !messages[i].content)
            return error_set(err, VKDLM_INVALID_ARGUMENT, "message %zu of the chat has no %s", i,
                             role ? "content" : "role");
        while (known < 3 && strcmp(roles[known], role) != 0)
            known++;
        if (known == 3 || (known == 0 && i > 0))
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "message %zu of the chat has the role '%.40s', expected %s", i, role,
                             i ? "user or assistant" : "system, user or assistant");
    }
    return VKDLM_OK;
}

vkdlm_status vkdlm_chat_format(const vkdlm_chat_template *chat, const vkdlm_chat_message *messages,
                               size_t n_messages, bool add_generation_prompt, const char *date,
                               vkdlm_text *out, vkdlm_error *err)
{
    writer w = {0};
    *out = (vkdlm_text){0};
    vkdlm_status status = check_messages(messages, n_messages, err);
    if (status)
        return status;
    if (chat->family == VKDLM_CHAT_LLAMA3)
        format_llama3(chat, messages, n_messages, add_generation_prompt, date, &w);
    else
        format_chatml(chat, messages, n_messages, add_generation_prompt, date, &w);
    put_bytes(&w, "", 1);
    if (w.failed) {
        text_bytes_deinit(&w.bytes);
        return out_of_memory(err);
    }
    *out = (vkdlm_text){w.bytes.data, w.bytes.size - 1};
    return VKDLM_OK;
}

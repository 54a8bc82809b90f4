#include "canvas.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jsonl.h"
#include "message.h"

canvas_rules canvas_rules_of(const vkdlm_model_info *info, const vkdlm_tokenizer *tokenizer)
{
    bool causal = info->family == VKDLM_FAMILY_CAUSAL;
    /* The end-of-text token stands in for a missing beginning: texts were joined by it in training. */
    int32_t empty_id = info->begin_id >= 0 ? info->begin_id : info->n_end_ids ? info->end_ids[0] : -1;
    return (canvas_rules){.tokenizer = tokenizer,
                          .vocab_size = info->vocab_size,
                          .mask_id = causal ? -1 : info->mask_id,
                          .model_length = info->length,
                          .length = info->length - causal,
                          .causal = causal,
                          .empty_id = causal ? empty_id : -1};
}

void canvas_set_deinit(canvas_set *set)
{
    free(set->tokens);
    free(set->lengths);
    free(set->canvases);
    *set = (canvas_set){0};
}

static vkdlm_status out_of_memory(vkdlm_error *err)
{
    return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for what is given");
}

/* Room for n more tokens and one more canvas. */
static vkdlm_status reserve(canvas_set *set, size_t n, vkdlm_error *err)
{
    if (set->n_tokens + n > set->capacity_tokens) {
        size_t capacity = 2 * (set->n_tokens + n);
        int32_t *tokens = realloc(set->tokens, capacity * sizeof *tokens);
        if (!tokens)
            return out_of_memory(err);
        set->tokens = tokens;
        set->capacity_tokens = capacity;
    }
    if (set->n == set->capacity) {
        uint32_t capacity = set->capacity ? 2 * set->capacity : 4;
        uint32_t *lengths =
            set->n < UINT32_MAX / 2 ? realloc(set->lengths, capacity * sizeof *lengths) : NULL;
        if (!lengths)
            return out_of_memory(err);
        set->lengths = lengths;
        set->capacity = capacity;
    }
    return VKDLM_OK;
}

static void add_masks(canvas_set *set, const canvas_rules *rules, size_t n)
{
    for (size_t i = 0; i < n; i++)
        set->tokens[set->n_tokens++] = rules->mask_id;
}

static vkdlm_status check_ids(const canvas_rules *rules, const char *where, const int32_t *ids, size_t n,
                              vkdlm_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= rules->vocab_size)
            return message_set(err, VKDLM_MALFORMED,
                               "%s: token %zu is %" PRId32 ", but the model's ids are 0 to %" PRIu32, where,
                               i, ids[i], rules->vocab_size - 1);
    return VKDLM_OK;
}

static vkdlm_status add_prompt(canvas_set *set, const canvas_rules *rules, const char *where,
                               const int32_t *ids, size_t n, vkdlm_error *err)
{
    if (!n && rules->empty_id < 0)
        return message_set(err, VKDLM_MALFORMED,
                           "%s is empty, and the model names no token that begins a text", where);
    if (!n) {
        ids = &rules->empty_id;
        n = 1;
    }
    if (n > rules->length)
        return message_set(err, VKDLM_MALFORMED,
                           "%s has %zu tokens, but the model's context of %" PRIu32 " has room for %" PRIu32
                           " before a new one",
                           where, n, rules->model_length, rules->length);
    vkdlm_status status = check_ids(rules, where, ids, n, err);
    if (!status)
        status = reserve(set, n, err);
    if (status)
        return status;
    memcpy(set->tokens + set->n_tokens, ids, n * sizeof *ids);
    set->n_tokens += n;
    set->lengths[set->n++] = (uint32_t)n;
    return VKDLM_OK;
}

vkdlm_status canvas_add_ids(canvas_set *set, const canvas_rules *rules, const char *where, const int32_t *ids,
                            size_t n, vkdlm_error *err)
{
    size_t n_masks = 0;
    if (rules->causal)
        return add_prompt(set, rules, where, ids, n, err);
    if (n > rules->length)
        return message_set(err, VKDLM_MALFORMED,
                           "%s has %zu tokens, more than the canvas of %" PRIu32
                           " (the model's length is %" PRIu32 ")",
                           where, n, rules->length, rules->model_length);
    vkdlm_status checked = check_ids(rules, where, ids, n, err);
    if (checked)
        return checked;
    for (size_t i = 0; i < n; i++)
        n_masks += ids[i] == rules->mask_id;
    if (!rules->may_be_full && n == rules->length && !n_masks)
        return message_set(err, VKDLM_MALFORMED,
                           "%s fills the canvas of %" PRIu32 " tokens (the model's length is %" PRIu32
                           ") and leaves nothing to generate",
                           where, rules->length, rules->model_length);
    vkdlm_status status = reserve(set, rules->length, err);
    if (status)
        return status;
    if (n)
        memcpy(set->tokens + set->n_tokens, ids, n * sizeof *ids);
    set->n_tokens += n;
    add_masks(set, rules, rules->length - n);
    set->lengths[set->n++] = rules->length;
    return VKDLM_OK;
}

static vkdlm_status need_tokenizer(const canvas_rules *rules, vkdlm_error *err)
{
    if (rules->tokenizer)
        return VKDLM_OK;
    return message_set(err, VKDLM_UNSUPPORTED,
                       "the model has no tokenizer, so text needs '--tokenizer PATH' (or give ids)");
}

/* The text as a user's message. */
static vkdlm_status write_message(const canvas_rules *rules, const char *where, const char *text, size_t size,
                                  vkdlm_text *out, vkdlm_error *err)
{
    vkdlm_chat_message messages[2] = {{"system", rules->system}, {"user", text}};
    if (memchr(text, 0, size))
        return message_set(err, VKDLM_MALFORMED, "%s holds a NUL, which no chat message may", where);
    /* What a file's text ends with is not part of it: text[size] may be a line feed. */
    char *content = strndup(text, size);
    if (!content)
        return out_of_memory(err);
    messages[1].content = content;
    vkdlm_status status = vkdlm_chat_format(rules->chat, rules->system ? messages : messages + 1,
                                            rules->system ? 2 : 1, true, NULL, out, err);
    free(content);
    return status;
}

vkdlm_status canvas_add_text(canvas_set *set, const canvas_rules *rules, const char *where, const char *text,
                             size_t size, vkdlm_error *err)
{
    vkdlm_ids ids = {0};
    vkdlm_text message = {0};
    uint32_t flags = VKDLM_TOKENIZE_DEFAULT;
    vkdlm_status status = need_tokenizer(rules, err);
    if (!status && rules->chat) {
        status = write_message(rules, where, text, size, &message, err);
        text = message.bytes;
        size = message.size;
        flags = VKDLM_TOKENIZE_NO_SPECIAL; /* the template has written what begins a text */
    }
    if (!status)
        status = vkdlm_tokenize(rules->tokenizer, text, size, flags, &ids, err);
    if (!status)
        status = canvas_add_ids(set, rules, where, ids.ids, ids.count, err);
    vkdlm_ids_free(&ids);
    vkdlm_text_free(&message);
    return status;
}

vkdlm_status canvas_add_empty(canvas_set *set, const canvas_rules *rules, vkdlm_error *err)
{
    if (rules->causal && rules->tokenizer)
        return canvas_add_text(set, rules, "the prompt", "", 0, err);
    return canvas_add_ids(set, rules, rules->causal ? "the prompt" : "the canvas", NULL, 0, err);
}

/* One piece of a template: text, then masks. */
typedef struct template_piece {
    size_t text_size;
    uint64_t n_masks; /* 0: the template ends behind the text */
    size_t size;      /* with the mark of the masks */
} template_piece;

/* The mark at s, "[MASK]" or "[MASK:N]": its size, 0 when there is none. */
static vkdlm_status read_mark(const canvas_rules *rules, const char *s, size_t size, uint64_t *n_masks,
                              size_t *used, vkdlm_error *err)
{
    static const char mark[] = "[MASK";
    size_t n = sizeof mark - 1;
    *used = 0;
    *n_masks = 1;
    if (size <= n || memcmp(s, mark, n) != 0 || (s[n] != ']' && s[n] != ':'))
        return VKDLM_OK;
    if (s[n] == ':') {
        size_t digits = 0;
        *n_masks = 0;
        for (n++; n < size && s[n] >= '0' && s[n] <= '9' && *n_masks <= rules->model_length; n++, digits++)
            *n_masks = 10 * *n_masks + (uint64_t)(s[n] - '0');
        if (!digits || n == size || s[n] != ']' || !*n_masks || *n_masks > rules->model_length) {
            size_t shown = n < size ? n + 1 : n;
            return message_set(
                err, VKDLM_MALFORMED,
                "the template has '%.*s', but a mark is [MASK] or [MASK:N] with N from 1 to the model's "
                "length, %" PRIu32,
                (int)(shown < 40 ? shown : 40), s, rules->model_length);
        }
    }
    *used = n + 1;
    return VKDLM_OK;
}

static vkdlm_status next_piece(const canvas_rules *rules, const char *text, size_t size,
                               template_piece *piece, vkdlm_error *err)
{
    *piece = (template_piece){.text_size = size, .size = size};
    for (size_t i = 0; i < size; i++) {
        uint64_t n_masks = 0;
        size_t used = 0;
        vkdlm_status status = read_mark(rules, text + i, size - i, &n_masks, &used, err);
        if (status)
            return status;
        if (used) {
            *piece = (template_piece){i, n_masks, i + used};
            return VKDLM_OK;
        }
    }
    return VKDLM_OK;
}

vkdlm_status canvas_add_template(canvas_set *set, const canvas_rules *rules, const char *text, size_t size,
                                 vkdlm_error *err)
{
    size_t start = set->n_tokens;
    uint64_t n_masks = 0;
    vkdlm_status status = need_tokenizer(rules, err);
    if (!status)
        status = reserve(set, rules->model_length, err);
    while (size && !status) {
        template_piece piece;
        vkdlm_ids ids = {0};
        status = next_piece(rules, text, size, &piece, err);
        if (!status)
            status =
                vkdlm_tokenize(rules->tokenizer, text, piece.text_size, VKDLM_TOKENIZE_NO_SPECIAL, &ids, err);
        if (!status && set->n_tokens - start + ids.count + piece.n_masks > rules->model_length)
            status = message_set(err, VKDLM_MALFORMED,
                                 "the template has more tokens than the model's length, %" PRIu32,
                                 rules->model_length);
        if (!status) {
            if (ids.count)
                memcpy(set->tokens + set->n_tokens, ids.ids, ids.count * sizeof *ids.ids);
            set->n_tokens += ids.count;
            add_masks(set, rules, (size_t)piece.n_masks);
            n_masks += piece.n_masks;
            text += piece.size;
            size -= piece.size;
        }
        vkdlm_ids_free(&ids);
    }
    if (!status && !n_masks)
        status = message_set(err, VKDLM_MALFORMED,
                             "the template marks nothing to fill: it needs [MASK] or [MASK:N] somewhere");
    if (!status)
        set->lengths[set->n++] = (uint32_t)(set->n_tokens - start);
    else
        set->n_tokens = start;
    return status;
}

vkdlm_status canvas_add_jsonl(canvas_set *set, const canvas_rules *rules, const char *path, const char *bytes,
                              size_t size, vkdlm_error *err)
{
    jsonl_reader reader = {.path = path, .rest = bytes, .size = size};
    uint32_t before = set->n;
    vkdlm_status status = VKDLM_OK;
    jsonl_line line = {0};
    while (!status && jsonl_next(&reader, &line, &status, err)) {
        char where[300];
        snprintf(where, sizeof where, "line %zu of '%.200s'", reader.number, path);
        if (rules->chat && !line.text)
            status = message_set(err, VKDLM_MALFORMED, "%s has \"ids\", but '--chat' takes \"text\"", where);
        else if (line.text)
            status = canvas_add_text(set, rules, where, line.text, line.text_size, err);
        else
            status = canvas_add_ids(set, rules, where, line.ids, line.n_ids, err);
        jsonl_line_deinit(&line);
    }
    if (!status && set->n == before)
        status = message_set(err, VKDLM_MALFORMED,
                             "'%.400s' holds no prompt: it needs lines like {\"text\":\"...\"}", path);
    return status;
}

vkdlm_status canvas_set_finish(canvas_set *set, vkdlm_error *err)
{
    const int32_t *tokens = set->tokens;
    set->canvases = calloc(set->n ? set->n : 1, sizeof *set->canvases);
    if (!set->canvases)
        return out_of_memory(err);
    for (uint32_t i = 0; i < set->n; i++) {
        set->canvases[i] = (vkdlm_canvas){tokens, set->lengths[i]};
        tokens += set->lengths[i];
    }
    return VKDLM_OK;
}

vkdlm_status canvas_read_ids(const char *where, const char *text, size_t size, int32_t **ids, size_t *n,
                             vkdlm_error *err)
{
    size_t capacity = 0;
    *ids = NULL;
    *n = 0;
    for (size_t i = 0; i < size;) {
        if (strchr(" \t\r\n,", text[i]) && text[i]) {
            i++;
            continue;
        }
        size_t begin = i;
        int64_t value = 0;
        while (i < size && text[i] >= '0' && text[i] <= '9' && value <= INT32_MAX)
            value = 10 * value + (text[i++] - '0');
        bool ends = i == size || (text[i] && strchr(" \t\r\n,", text[i]));
        if (i == begin || value > INT32_MAX || !ends) {
            free(*ids);
            *ids = NULL;
            return message_set(err, VKDLM_INVALID_ARGUMENT, "%s: entry %zu is '%.*s', not a token id", where,
                               *n, (int)(size - begin < 20 ? size - begin : 20), text + begin);
        }
        if (*n == capacity) {
            capacity = capacity ? 2 * capacity : 64;
            int32_t *larger = realloc(*ids, capacity * sizeof *larger);
            if (!larger) {
                free(*ids);
                *ids = NULL;
                return out_of_memory(err);
            }
            *ids = larger;
        }
        (*ids)[(*n)++] = (int32_t)value;
    }
    return VKDLM_OK;
}

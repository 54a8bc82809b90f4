#include "text/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* What an error message shows of a string from a file. */
#define SHOWN(size) ((int)((size) < 64 ? (size) : 64))

static vkdlm_status out_of_memory(vkdlm_error *err)
{
    return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for the vocabulary");
}

/* Slot that holds the string, or the free slot where it belongs. The table must have a free slot. */
static uint32_t *slot_of(const vocab *v, const char *string, size_t size)
{
    uint32_t mask = v->n_slots - 1;
    uint32_t i = (uint32_t)text_hash(string, size, v->seed) & mask;
    while (v->slots[i]) {
        const vocab_token *token = &v->tokens[v->slots[i] - 1];
        if (token->size == size && memcmp(vocab_string(v, token), string, size) == 0)
            break;
        i = (i + 1) & mask;
    }
    return &v->slots[i];
}

/* Keeps the hash table at most half full. */
static bool grow_slots(vocab *v)
{
    if (v->n_tokens < v->n_slots / 2)
        return true;
    uint32_t n = v->n_slots ? v->n_slots * 2 : 1024;
    uint32_t *slots = calloc(n, sizeof *slots);
    if (!slots)
        return false;
    free(v->slots);
    v->slots = slots;
    v->n_slots = n;
    /* The table's address differs from run to run: no file can be made to collide. */
    v->seed = (uint64_t)(uintptr_t)slots * 0xD6E8FEB86659FD93u;
    for (uint32_t i = 0; i < v->n_tokens; i++)
        *slot_of(v, vocab_string(v, &v->tokens[i]), v->tokens[i].size) = i + 1;
    return true;
}

static bool grow_tokens(vocab *v)
{
    if (v->n_tokens < v->token_capacity)
        return true;
    uint32_t capacity = v->token_capacity + v->token_capacity / 2 + 1024;
    vocab_token *tokens = realloc(v->tokens, capacity * sizeof *tokens);
    if (!tokens)
        return false;
    v->tokens = tokens;
    v->token_capacity = capacity;
    return true;
}

static bool grow_ids(vocab *v, uint32_t id)
{
    if (id >= v->id_capacity) {
        uint32_t capacity = v->id_capacity + v->id_capacity / 2 + 1024;
        if (capacity <= id)
            capacity = id + 1;
        uint32_t *by_id = realloc(v->by_id, capacity * sizeof *by_id);
        if (!by_id)
            return false;
        memset(by_id + v->id_capacity, 0, (capacity - v->id_capacity) * sizeof *by_id);
        v->by_id = by_id;
        v->id_capacity = capacity;
    }
    if (id >= v->n_ids)
        v->n_ids = id + 1;
    return true;
}

vkdlm_status vocab_add(vocab *v, const char *string, size_t size, int64_t id, uint32_t flags,
                       vkdlm_error *err)
{
    if (id < 0 || id >= VOCAB_MAX_IDS)
        return error_set(err, VKDLM_MALFORMED, "token '%.*s' has id %lld, expected 0 to %u", SHOWN(size),
                         string, (long long)id, VOCAB_MAX_IDS - 1);
    /* One byte more, so that the array exists even when every string is empty. */
    if (size >= UINT32_MAX - v->strings.size || !text_bytes_reserve(&v->strings, size + 1) ||
        !grow_ids(v, (uint32_t)id) || !grow_tokens(v) || !grow_slots(v))
        return out_of_memory(err);
    const vocab_token *taken = vocab_get(v, (int32_t)id);
    if (taken && (taken->flags & VOCAB_ADDED || !(flags & VOCAB_ADDED)))
        return error_set(err, VKDLM_MALFORMED, "tokens '%.*s' and '%.*s' have the same id %lld",
                         SHOWN(taken->size), vocab_string(v, taken), SHOWN(size), string, (long long)id);
    uint32_t *slot = slot_of(v, string, size);
    if (*slot)
        return error_set(err, VKDLM_MALFORMED, "token '%.*s' has two ids, %d and %lld", SHOWN(size), string,
                         v->tokens[*slot - 1].id, (long long)id);
    v->tokens[v->n_tokens++] = (vocab_token){(uint32_t)v->strings.size, (uint32_t)size, (int32_t)id, flags};
    text_bytes_append(&v->strings, string, size);
    *slot = v->by_id[id] = v->n_tokens;
    return VKDLM_OK;
}

vocab_token *vocab_find(const vocab *v, const char *string, size_t size)
{
    if (!v->n_slots)
        return NULL;
    uint32_t index = *slot_of(v, string, size);
    return index ? &v->tokens[index - 1] : NULL;
}

const vocab_token *vocab_get(const vocab *v, int32_t id)
{
    if (id < 0 || (uint32_t)id >= v->n_ids || !v->by_id[id])
        return NULL;
    return &v->tokens[v->by_id[id] - 1];
}

void vocab_deinit(vocab *v)
{
    text_bytes_deinit(&v->strings);
    free(v->tokens);
    free(v->by_id);
    free(v->slots);
    *v = (vocab){0};
}

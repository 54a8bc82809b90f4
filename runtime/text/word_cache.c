#include "text/word_cache.h"

#include <stdlib.h>
#include <string.h>

/* Longer words are rare and would fill the table with what does not come again. */
#define MAX_WORD 64

/* Slots looked at before a word counts as unknown: a bound on the time whatever the words are. */
#define MAX_PROBES 8

struct word_cache_entry {
    uint32_t word, ids; /* offsets */
    uint8_t size;       /* 0 in a free slot */
    uint8_t n_ids;
    uint16_t tag; /* bits of the hash, so that most other words need no comparison */
};

void word_cache_init(word_cache *cache, size_t text_size)
{
    size_t n = 64;
    while (n < 65536 && n < text_size / 8)
        n *= 2;
    *cache = (word_cache){.entries = calloc(n, sizeof *cache->entries), .n_entries = n};
    cache->seed = (uint64_t)(uintptr_t)cache->entries;
}

void word_cache_deinit(word_cache *cache)
{
    free(cache->entries);
    text_bytes_deinit(&cache->words);
    text_ids_deinit(&cache->ids);
    *cache = (word_cache){0};
}

bool word_cache_find(const word_cache *cache, const char *word, size_t size, text_ids *ids, bool *found)
{
    *found = false;
    if (!cache->entries || size > MAX_WORD)
        return true;
    uint64_t hash = text_hash(word, size, cache->seed);
    uint16_t tag = (uint16_t)(hash >> 48);
    for (size_t i = 0; i < MAX_PROBES; i++) {
        const word_cache_entry *entry = &cache->entries[(hash + i) & (cache->n_entries - 1)];
        if (!entry->size)
            return true;
        if (entry->tag == tag && entry->size == size &&
            memcmp(cache->words.data + entry->word, word, size) == 0) {
            *found = true;
            return text_ids_append(ids, cache->ids.data + entry->ids, entry->n_ids);
        }
    }
    return true;
}

void word_cache_store(word_cache *cache, const char *word, size_t size, const int32_t *ids, size_t count)
{
    if (!cache->entries || size > MAX_WORD || count > UINT8_MAX)
        return;
    uint64_t hash = text_hash(word, size, cache->seed);
    for (size_t i = 0; i < MAX_PROBES; i++) {
        word_cache_entry *entry = &cache->entries[(hash + i) & (cache->n_entries - 1)];
        if (entry->size)
            continue;
        word_cache_entry filled = {.word = (uint32_t)cache->words.size,
                                   .ids = (uint32_t)cache->ids.count,
                                   .size = (uint8_t)size,
                                   .n_ids = (uint8_t)count,
                                   .tag = (uint16_t)(hash >> 48)};
        if (text_bytes_append(&cache->words, word, size) && text_ids_append(&cache->ids, ids, count))
            *entry = filled;
        return;
    }
}

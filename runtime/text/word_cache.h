/* A table of words already encoded, used within one call: running text repeats most of its words. */
#ifndef TEXT_WORD_CACHE_H
#define TEXT_WORD_CACHE_H

#include "text/buffer.h"

typedef struct word_cache_entry word_cache_entry;

typedef struct word_cache {
    word_cache_entry *entries; /* NULL: nothing is remembered */
    size_t n_entries;
    uint64_t seed;
    text_bytes words;
    text_ids ids;
} word_cache;

/* Prepares for a text of text_size bytes; without memory the cache stays empty and forgets all. */
void word_cache_init(word_cache *cache, size_t text_size);
void word_cache_deinit(word_cache *cache);

/* Appends the remembered tokens of a word to ids and sets *found, which is false for an unknown word;
 * false when out of memory. */
bool word_cache_find(const word_cache *cache, const char *word, size_t size, text_ids *ids, bool *found);

/* Remembers the tokens of a word that word_cache_find did not know, when there is room. */
void word_cache_store(word_cache *cache, const char *word, size_t size, const int32_t *ids, size_t count);

#endif

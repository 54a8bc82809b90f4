/* Growing arrays of bytes and of token ids. A zeroed struct is an empty array. */
#ifndef TEXT_BUFFER_H
#define TEXT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct text_bytes {
    char *data;
    size_t size, capacity;
} text_bytes;

typedef struct text_ids {
    int32_t *data;
    size_t count, capacity;
} text_ids;

/* Makes room for n more elements behind the last; false when out of memory (nothing changed). */
bool text_bytes_reserve(text_bytes *bytes, size_t n);
bool text_ids_reserve(text_ids *ids, size_t n);

/* Append copies n elements, which may not lie in the array itself; false when out of memory. */
bool text_bytes_append(text_bytes *bytes, const void *data, size_t n);
bool text_ids_append(text_ids *ids, const int32_t *data, size_t n);
bool text_ids_push(text_ids *ids, int32_t id);

void text_bytes_deinit(text_bytes *bytes);
void text_ids_deinit(text_ids *ids);

/* 64-bit hash of n bytes for the tables of this folder; another seed gives another order. */
uint64_t text_hash(const void *data, size_t n, uint64_t seed);

#endif

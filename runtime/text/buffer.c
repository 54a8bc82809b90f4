#include "text/buffer.h"

#include <stdlib.h>
#include <string.h>

/* Capacity for at least `count + n` elements of `width` bytes, grown by half; 0 when that overflows. */
static size_t grown(size_t count, size_t n, size_t capacity, size_t width)
{
    size_t need, bytes;
    if (__builtin_add_overflow(count, n, &need))
        return 0;
    size_t next = capacity + capacity / 2 + 64;
    if (next < need)
        next = need;
    return __builtin_mul_overflow(next, width, &bytes) ? 0 : next;
}

bool text_bytes_reserve(text_bytes *bytes, size_t n)
{
    if (bytes->capacity - bytes->size >= n)
        return true;
    size_t capacity = grown(bytes->size, n, bytes->capacity, 1);
    char *data = capacity ? realloc(bytes->data, capacity) : NULL;
    if (!data)
        return false;
    bytes->data = data;
    bytes->capacity = capacity;
    return true;
}

bool text_ids_reserve(text_ids *ids, size_t n)
{
    if (ids->capacity - ids->count >= n)
        return true;
    size_t capacity = grown(ids->count, n, ids->capacity, sizeof *ids->data);
    int32_t *data = capacity ? realloc(ids->data, capacity * sizeof *data) : NULL;
    if (!data)
        return false;
    ids->data = data;
    ids->capacity = capacity;
    return true;
}

bool text_bytes_append(text_bytes *bytes, const void *data, size_t n)
{
    if (n == 0)
        return true;
    if (!text_bytes_reserve(bytes, n))
        return false;
    memcpy(bytes->data + bytes->size, data, n);
    bytes->size += n;
    return true;
}

bool text_ids_append(text_ids *ids, const int32_t *data, size_t n)
{
    if (n == 0)
        return true;
    if (!text_ids_reserve(ids, n))
        return false;
    memcpy(ids->data + ids->count, data, n * sizeof *data);
    ids->count += n;
    return true;
}

bool text_ids_push(text_ids *ids, int32_t id)
{
    if (!text_ids_reserve(ids, 1))
        return false;
    ids->data[ids->count++] = id;
    return true;
}

void text_bytes_deinit(text_bytes *bytes)
{
    free(bytes->data);
    *bytes = (text_bytes){0};
}

void text_ids_deinit(text_ids *ids)
{
    free(ids->data);
    *ids = (text_ids){0};
}

static uint64_t mix(uint64_t h)
{
    h *= 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

uint64_t text_hash(const void *data, size_t n, uint64_t seed)
{
    const unsigned char *s = data;
    uint64_t h = mix(seed ^ n);
    uint64_t word;
    for (; n >= 8; s += 8, n -= 8) {
        memcpy(&word, s, 8);
        h = mix(h ^ word);
    }
    word = 0;
    if (n)
        memcpy(&word, s, n);
    return mix(mix(h ^ word));
}

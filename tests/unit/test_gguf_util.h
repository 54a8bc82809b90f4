/* Writing small GGUF files in memory. */
#ifndef TEST_GGUF_UTIL_H
#define TEST_GGUF_UTIL_H

#include "test_tensors_util.h"

#include "format/gguf.h"

typedef struct gguf_bytes {
    unsigned char data[16384];
    size_t size;
    size_t n_values_at, n_tensors_at; /* where the counts are */
} gguf_bytes;

static inline void gguf_put(gguf_bytes *b, uint64_t value, unsigned n_bytes)
{
    assert_true(b->size + n_bytes <= sizeof b->data);
    for (unsigned i = 0; i < n_bytes; i++)
        b->data[b->size++] = (unsigned char)(value >> 8 * i);
}

static inline void gguf_put_text(gguf_bytes *b, const char *text)
{
    gguf_put(b, strlen(text), 8);
    for (size_t i = 0; text[i]; i++)
        gguf_put(b, (unsigned char)text[i], 1);
}

static inline void gguf_begin(gguf_bytes *b)
{
    b->size = 0;
    gguf_put(b, 0x46554747, 4);
    gguf_put(b, 3, 4);
    b->n_tensors_at = b->size;
    gguf_put(b, 0, 8);
    b->n_values_at = b->size;
    gguf_put(b, 0, 8);
}

/* Begins a pair; the value's bytes follow. */
static inline void gguf_put_key(gguf_bytes *b, const char *key, gguf_type type)
{
    b->data[b->n_values_at]++;
    gguf_put_text(b, key);
    gguf_put(b, type, 4);
}

static inline void gguf_put_string(gguf_bytes *b, const char *key, const char *value)
{
    gguf_put_key(b, key, GGUF_STRING);
    gguf_put_text(b, value);
}

static inline void gguf_put_u32(gguf_bytes *b, const char *key, uint32_t value)
{
    gguf_put_key(b, key, GGUF_U32);
    gguf_put(b, value, 4);
}

static inline void gguf_put_f32(gguf_bytes *b, const char *key, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    gguf_put_key(b, key, GGUF_F32);
    gguf_put(b, bits, 4);
}

static inline void gguf_put_array(gguf_bytes *b, const char *key, gguf_type element, uint64_t count)
{
    gguf_put_key(b, key, GGUF_ARRAY);
    gguf_put(b, element, 4);
    gguf_put(b, count, 8);
}

/* Describes a tensor of two dimensions, rows of n_columns. */
static inline void gguf_put_tensor(gguf_bytes *b, const char *name, uint64_t n_rows, uint64_t n_columns,
                                   uint32_t type, uint64_t offset)
{
    b->data[b->n_tensors_at]++;
    gguf_put_text(b, name);
    gguf_put(b, 2, 4);
    gguf_put(b, n_columns, 8);
    gguf_put(b, n_rows, 8);
    gguf_put(b, type, 4);
    gguf_put(b, offset, 8);
}

/* Pads to the data section and adds n_bytes of it, counting up from 1. */
static inline void gguf_put_data(gguf_bytes *b, size_t alignment, size_t n_bytes)
{
    while (b->size % alignment)
        gguf_put(b, 0, 1);
    for (size_t i = 0; i < n_bytes; i++)
        gguf_put(b, i + 1, 1);
}

#endif

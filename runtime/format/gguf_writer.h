/* A GGUF file under construction, version 3, little endian.
 *
 * Metadata and tensors are declared first, then begin writes the header, then the data follows in the order
 * of the declarations and in any pieces; memory holds the declarations only. The file appears under its final
 * name when finish succeeds; a file that already has that name stays until then. Used by one thread at a
 * time. */
#ifndef FORMAT_GGUF_WRITER_H
#define FORMAT_GGUF_WRITER_H

#include "format/gguf.h"

#define GGUF_WRITER_ALIGNMENT_BYTES 32

typedef struct gguf_writer gguf_writer;

/* `path` is copied. Errors: OUT_OF_HOST_MEMORY. */
vkdlm_status gguf_writer_create(const char *path, gguf_writer **out, vkdlm_error *err);

/* One key-value pair each. A failure (an empty key or one of more than 65535 bytes, bytes that are not UTF-8,
 * no memory) is kept, and what follows does nothing: begin reports it. put_array: n elements of a type other
 * than STRING and ARRAY, little endian. */
void gguf_writer_put_u32(gguf_writer *w, const char *key, uint32_t value);
void gguf_writer_put_f32(gguf_writer *w, const char *key, float value);
void gguf_writer_put_f64(gguf_writer *w, const char *key, double value);
void gguf_writer_put_bool(gguf_writer *w, const char *key, bool value);
void gguf_writer_put_string(gguf_writer *w, const char *key, const char *text);
void gguf_writer_put_array(gguf_writer *w, const char *key, gguf_type element, const void *data, uint64_t n);
void gguf_writer_put_strings(gguf_writer *w, const char *key, const gguf_string *strings, uint64_t n);
/* Any pair as a file has it. */
void gguf_writer_put_value(gguf_writer *w, const gguf_value *value);

/* Declares a tensor; shape is row-major, slowest dimension first, and its last extent is whole blocks. */
void gguf_writer_declare(gguf_writer *w, const char *name, vkdlm_dtype dtype, uint32_t n_dims,
                         const uint64_t *shape);

/* Writes everything but the data. Errors: INVALID_ARGUMENT (what a declaration lacks: a name of 1 to 63 bytes
 * of UTF-8, 1 to 4 dimensions, a type that GGUF has, a size that fits 63 bits; a key or a name that occurs
 * twice), NOT_FOUND (no such directory), IO, OUT_OF_HOST_MEMORY. */
vkdlm_status gguf_writer_begin(gguf_writer *w, vkdlm_error *err);

/* The next n_bytes of data, without padding. Errors: IO, INVALID_ARGUMENT (more than was declared). */
vkdlm_status gguf_writer_write(gguf_writer *w, const void *data, uint64_t n_bytes, vkdlm_error *err);

/* Bytes of the whole file, once it has begun. */
uint64_t gguf_writer_file_bytes(const gguf_writer *w);

/* Completes and renames; destroys the writer whatever the outcome (on failure nothing is left).
 * Errors: IO, INVALID_ARGUMENT (data is missing). */
vkdlm_status gguf_writer_finish(gguf_writer *w, vkdlm_error *err);

/* Gives up: removes the temporary file, destroys the writer. NULL is allowed. */
void gguf_writer_abort(gguf_writer *w);

#endif

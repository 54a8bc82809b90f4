/* The safetensors container in memory.
 *
 * u64 little-endian header length, then that many bytes of JSON
 *   { "NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [BEGIN, END]}, ...,
 *     "__metadata__": {"KEY": "TEXT", ...} }
 * perhaps followed by spaces, then the data, to which the offsets refer. The first byte of the header
 * is `{`. Tensors own every byte of the data exactly once, in the order of their offsets.
 *
 * Where readers differ: a name is a non-empty string without NUL, a dimension is written without
 * fraction, at most VKDLM_MAX_DIMS of them, and fields of an entry beside the three are ignored. */
#ifndef FORMAT_SAFETENSORS_H
#define FORMAT_SAFETENSORS_H

#include <jansson.h>

#include <vkdlm/tensors.h>

#define SAFETENSORS_MAX_HEADER_BYTES 100000000u
#define SAFETENSORS_METADATA         "__metadata__"

/* Tensors in the order of their data, and text strings. tensors[i].data points into the parsed bytes,
 * .name into names, .file is the path given to safetensors_parse. */
typedef struct safetensors {
    vkdlm_tensor *tensors;
    size_t n_tensors;
    char *names;
    json_t *metadata; /* object of strings; NULL when the file has none */
} safetensors;

/* Reads and checks a whole file of `size` bytes. `path` (for messages) and bytes must outlive *out.
 * Errors: MALFORMED, UNSUPPORTED (too many dimensions), OUT_OF_HOST_MEMORY; then *out is zero. */
vkdlm_status safetensors_parse(const unsigned char *bytes, size_t size, const char *path, safetensors *out,
                               vkdlm_error *err);
/* Frees and clears; a zeroed struct is allowed. */
void safetensors_deinit(safetensors *contents);

#endif

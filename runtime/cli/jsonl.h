/* Lines of {"text":"..."} or {"ids":[...]}, the input of `generate --prompts` and `tokenize --jsonl`. */
#ifndef CLI_JSONL_H
#define CLI_JSONL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <vkdlm/status.h>

typedef struct jsonl_reader {
    const char *path; /* names the input in errors */
    const char *rest; /* what is not read yet */
    size_t size;
    size_t number; /* of the line read last, from 1 */
} jsonl_reader;

/* One line: text (of text_size bytes, UTF-8, NUL may occur inside) or, when text is NULL, ids. */
typedef struct jsonl_line {
    const char *text;
    size_t text_size;
    int32_t *ids;
    size_t n_ids;
    json_t *object; /* owns text */
} jsonl_line;

/* Reads the next line that is not empty; false at the end, and with *status set after a failure (MALFORMED:
 * file, line, what is wrong). The caller calls jsonl_line_deinit after each true. */
bool jsonl_next(jsonl_reader *reader, jsonl_line *line, vkdlm_status *status, vkdlm_error *err);

void jsonl_line_deinit(jsonl_line *line);

#endif

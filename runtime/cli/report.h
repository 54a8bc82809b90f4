/* Data on standard output, every write checked: a closed pipe or a full disk is an error like others. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>
#include <vkdlm/status.h>

/* One JSON object as one line, handed to the system at once. Takes the reference; NULL stands for "out of
 * memory". */
vkdlm_status report_object(json_t *object, vkdlm_error *err);

/* Bytes as they are; on a terminal, control characters other than line feed and tab are shown as '?'. */
vkdlm_status report_text(const char *bytes, size_t size, vkdlm_error *err);

/* The same on standard output or standard error; of the latter, failures are passed over. */
vkdlm_status report_text_to(FILE *out, const char *bytes, size_t size, vkdlm_error *err);
vkdlm_status report_flush_to(FILE *out, vkdlm_error *err);

__attribute__((format(printf, 2, 3))) vkdlm_status report_line(vkdlm_error *err, const char *format, ...);

/* Hands everything to the system. */
vkdlm_status report_flush(vkdlm_error *err);

/* A number, null when it is NaN or infinite; a text, null when NULL; whole numbers (up to 2^63 - 1); ids. */
json_t *report_real(double value);
json_t *report_string(const char *text);
json_t *report_count(uint64_t value);
json_t *report_ids(const int32_t *ids, size_t n);

#endif

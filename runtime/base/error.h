/* How internal code reports a failure: fill the caller's error struct, return the status. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <vkdlm/status.h>

/* Formats one sentence into err (which may be NULL) and returns status, so that a failing
 * branch reads `return error_set(err, VKDLM_IO, "cannot read '%s': %s", path, why);`.
 * The text is cut at a character boundary when it does not fit; control characters and bytes that
 * are not UTF-8 (a hostile name from a file) are shown as '?'. */
__attribute__((format(printf, 3, 4))) vkdlm_status error_set(vkdlm_error *err, vkdlm_status status,
                                                             const char *format, ...);

/* Puts "prefix: " before the message already in err (NULL is allowed); returns err's status, or
 * status when err is NULL. */
vkdlm_status error_prefix(vkdlm_error *err, vkdlm_status status, const char *prefix);

#endif

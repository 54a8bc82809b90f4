/* Sentences for people, on standard error, and the exit statuses that go with them. */
#ifndef CLI_MESSAGE_H
#define CLI_MESSAGE_H

#include <vkdlm/status.h>

enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_INTERRUPTED = 130 };

/* Formats one sentence into err and returns status. INVALID_ARGUMENT means that the command line is wrong. */
__attribute__((format(printf, 3, 4))) vkdlm_status message_set(vkdlm_error *err, vkdlm_status status,
                                                               const char *format, ...);

/* For INVALID_ARGUMENT from a call whose arguments are files, not options: makes it a failure. Returns the
 * status. */
vkdlm_status message_blame_file(vkdlm_status status, vkdlm_error *err);

/* Prints "vkdlm: sentence" as one line and returns the exit status that belongs to err. */
int message_error(const vkdlm_error *err);

/* Prints one line of information. */
__attribute__((format(printf, 1, 2))) void message_note(const char *format, ...);

/* The same bytes with control characters (line feeds included) replaced by '?', so that text from a file or
 * an argument can neither break a line nor steer a terminal. In place. */
void message_sanitize(char *text);

#endif

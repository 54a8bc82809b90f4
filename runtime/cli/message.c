#include "message.h"

#include <stdarg.h>
#include <stdio.h>

void message_sanitize(char *text)
{
    for (unsigned char *s = (unsigned char *)text; *s; s++) {
        if (*s < 0x20 || *s == 0x7f)
            *s = '?';
        else if (*s == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0) /* U+0080 .. U+009F */
            s[0] = s[1] = '?';
    }
}

vkdlm_status message_set(vkdlm_error *err, vkdlm_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    err->status = status;
    if (vsnprintf(err->message, sizeof err->message, format, args) < 0)
        err->message[0] = 0;
    va_end(args);
    message_sanitize(err->message);
    return status;
}

vkdlm_status message_blame_file(vkdlm_status status, vkdlm_error *err)
{
    if (status != VKDLM_INVALID_ARGUMENT)
        return status;
    err->status = VKDLM_MALFORMED;
    return VKDLM_MALFORMED;
}

int message_error(const vkdlm_error *err)
{
    vkdlm_error copy = *err;
    message_sanitize(copy.message);
    fprintf(stderr, "vkdlm: %s\n", copy.message[0] ? copy.message : vkdlm_status_text(copy.status));
    return copy.status == VKDLM_INVALID_ARGUMENT ? CLI_USAGE : CLI_FAILED;
}

void message_note(const char *format, ...)
{
    char line[2048];
    va_list args;
    va_start(args, format);
    if (vsnprintf(line, sizeof line, format, args) < 0)
        line[0] = 0;
    va_end(args);
    message_sanitize(line);
    fprintf(stderr, "%s\n", line);
}

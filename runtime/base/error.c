#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* Replaces what could corrupt a terminal or a log by '?' and drops a character cut at the end. */
static void sanitize(char *text)
{
    unsigned char *s = (unsigned char *)text;
    size_t n = strlen(text);
    size_t out = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp = 0;
        size_t used = utf8_decode(s + i, n - i, &cp);
        if (cp == UTF8_INVALID) {
            bool cut = i + used == n && n + 1 == sizeof(((vkdlm_error *)0)->message);
            if (!cut)
                s[out++] = '?';
        } else if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0)) {
            s[out++] = '?';
        } else {
            memmove(s + out, s + i, used);
            out += used;
        }
        i += used;
    }
    s[out] = 0;
}

vkdlm_status error_set(vkdlm_error *err, vkdlm_status status, const char *format, ...)
{
    if (!err)
        return status;
    va_list args;
    va_start(args, format);
    err->status = status;
    if (vsnprintf(err->message, sizeof err->message, format, args) < 0)
        err->message[0] = 0;
    va_end(args);
    sanitize(err->message);
    return status;
}

vkdlm_status error_prefix(vkdlm_error *err, vkdlm_status status, const char *prefix)
{
    if (!err)
        return status;
    char old[sizeof err->message];
    memcpy(old, err->message, sizeof old);
    return error_set(err, err->status, "%s: %s", prefix, old);
}

const char *vkdlm_status_text(vkdlm_status status)
{
    static const char *const texts[] = {
#define STATUS_TEXT(name, text) text,
        VKDLM_STATUS_LIST(STATUS_TEXT)
#undef STATUS_TEXT
    };
    if ((size_t)status >= sizeof texts / sizeof *texts)
        return "unknown status";
    return texts[status];
}

const char *vkdlm_version(void)
{
    return VKDLM_VERSION;
}

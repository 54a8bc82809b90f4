#include "report.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "message.h"

static vkdlm_status write_failed(vkdlm_error *err)
{
    return message_set(err, VKDLM_IO, "cannot write to standard output: %s", strerror(errno));
}

/* What is said on standard error is no result: nobody needs to hear that it failed. */
static vkdlm_status failed_on(FILE *out, vkdlm_error *err)
{
    return out == stdout ? write_failed(err) : VKDLM_OK;
}

vkdlm_status report_flush_to(FILE *out, vkdlm_error *err)
{
    return fflush(out) || ferror(out) ? failed_on(out, err) : VKDLM_OK;
}

vkdlm_status report_flush(vkdlm_error *err)
{
    return report_flush_to(stdout, err);
}

vkdlm_status report_object(json_t *object, vkdlm_error *err)
{
    char *line = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(object);
    if (!line)
        return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for a line of JSON");
    bool written = fputs(line, stdout) >= 0 && putchar('\n') != EOF;
    free(line);
    return written ? report_flush(err) : write_failed(err);
}

vkdlm_status report_text(const char *bytes, size_t size, vkdlm_error *err)
{
    return report_text_to(stdout, bytes, size, err);
}

vkdlm_status report_text_to(FILE *out, const char *bytes, size_t size, vkdlm_error *err)
{
    bool terminal = isatty(fileno(out));
    for (size_t i = 0; i < size;) {
        /* Up to the next character that could steer a terminal. */
        size_t n = 0;
        while (i + n < size) {
            unsigned char c = (unsigned char)bytes[i + n];
            bool c1 = c == 0xc2 && i + n + 1 < size && (unsigned char)bytes[i + n + 1] < 0xa0;
            if (terminal && (c < 0x20 || c == 0x7f || c1) && c != '\n' && c != '\t')
                break;
            n++;
        }
        if (fwrite(bytes + i, 1, n, out) != n)
            return failed_on(out, err);
        i += n;
        if (i < size) {
            if (putc('?', out) == EOF)
                return failed_on(out, err);
            i += (unsigned char)bytes[i] == 0xc2 ? 2 : 1;
        }
    }
    return VKDLM_OK;
}

vkdlm_status report_line(vkdlm_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vprintf(format, args);
    va_end(args);
    return n < 0 || putchar('\n') == EOF ? write_failed(err) : VKDLM_OK;
}

json_t *report_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *report_string(const char *text)
{
    return text ? json_string(text) : json_null();
}

json_t *report_count(uint64_t value)
{
    return json_integer((json_int_t)value);
}

json_t *report_ids(const int32_t *ids, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < n; i++) {
        if (json_array_append_new(array, json_integer(ids[i]))) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

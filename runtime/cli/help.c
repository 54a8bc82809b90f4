/* The help text of a command, made from its option tables. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

enum { HELP_WIDTH = 88, HELP_COLUMN = 28 };

/* A text that grows. */
typedef struct buffer {
    char *text;
    size_t size, capacity;
    bool failed;
} buffer;

__attribute__((format(printf, 2, 3))) static void append(buffer *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0 || out->failed) {
        out->failed = true;
        return;
    }
    size_t need = out->size + (size_t)n + 1;
    if (need > out->capacity) {
        char *text = realloc(out->text, 2 * need);
        if (!text) {
            out->failed = true;
            return;
        }
        out->text = text;
        out->capacity = 2 * need;
    }
    va_start(args, format);
    vsnprintf(out->text + out->size, (size_t)n + 1, format, args);
    va_end(args);
    out->size += (size_t)n;
}

/* Words of text from `column` on, in lines that are indented by `indent`. */
static void wrap(buffer *out, const char *text, size_t indent, size_t column)
{
    while (*text) {
        size_t word = strcspn(text, " \n");
        if (column + word > HELP_WIDTH && column > indent) {
            append(out, "\n%*s", (int)indent, "");
            column = indent;
        }
        append(out, "%.*s", (int)word, text);
        column += word;
        text += word;
        if (*text == '\n') {
            append(out, "\n%*s", (int)indent, "");
            column = indent;
            text++;
        } else if (*text == ' ') {
            text++;
            if (column + 1 + strcspn(text, " \n") <= HELP_WIDTH) {
                append(out, " ");
                column++;
            } else {
                append(out, "\n%*s", (int)indent, "");
                column = indent;
            }
        }
    }
    append(out, "\n");
}

/* "one of a, b; in tokens, 1 to 256; default 64" */
static void describe_value(buffer *out, const option_spec *spec)
{
    const option_interval *range = &spec->interval;
    if (spec->kind == OPTION_FLAG)
        return;
    append(out, " (");
    for (size_t i = 0; spec->choices && spec->choices[i]; i++)
        append(out, "%s%s", i ? ", " : "", spec->choices[i]);
    if (spec->choices)
        append(out, "; ");
    if (spec->unit)
        append(out, "%s, ", spec->unit);
    if (spec->kind == OPTION_COUNT && spec->most == UINT32_MAX)
        append(out, "%" PRIu64 " or more; ", spec->least);
    else if (spec->kind == OPTION_COUNT)
        append(out, "%" PRIu64 " to %" PRIu64 "; ", spec->least, spec->most);
    if (spec->kind == OPTION_NUMBER && isfinite(range->low))
        append(out, "%s %g%s", range->low_open ? ">" : ">=", range->low,
               isfinite(range->high) ? " and " : "; ");
    if (spec->kind == OPTION_NUMBER && isfinite(range->high))
        append(out, "%s %g; ", range->high_open ? "<" : "<=", range->high);
    append(out, "default: %s)", spec->initially ? spec->initially : spec->initial ? spec->initial : "none");
}

/* fits: what the heading has not told of the models that take it, 0: nothing. */
static void describe_option(buffer *out, const option_spec *spec, unsigned fits)
{
    buffer head = {0}, body = {0};
    if (spec->key)
        append(&head, "  -%c, --%s", spec->key, spec->name);
    else
        append(&head, "      --%s", spec->name);
    if (spec->argument)
        append(&head, " %s", spec->argument);
    append(&body, "%s", spec->help);
    describe_value(&body, spec);
    if (fits)
        append(&body, " [%s]", options_kinds(fits));
    if (spec->absent)
        append(&body, " [not part of this version]");
    if (head.failed || body.failed) {
        out->failed = true;
    } else if (head.size + 2 > HELP_COLUMN) {
        append(out, "%s\n%*s", head.text, HELP_COLUMN, "");
        wrap(out, body.text, HELP_COLUMN, HELP_COLUMN);
    } else {
        append(out, "%-*s", HELP_COLUMN, head.text);
        wrap(out, body.text, HELP_COLUMN, HELP_COLUMN);
    }
    free(head.text);
    free(body.text);
}

/* One line for each kind of models that this version does not run, with the values that only it takes. */
static void describe_foreign(buffer *out, const command *cmd)
{
    const char *families[8];
    size_t n_families = 0;
    for (const option_group *const *group = cmd->groups; *group; group++) {
        for (size_t i = 0; i < (*group)->n_specs; i++) {
            const char *family = (*group)->specs[i].family;
            size_t known = 0;
            while (known < n_families && family && strcmp(families[known], family) != 0)
                known++;
            if (family && known == n_families && n_families < 8)
                families[n_families++] = family;
        }
    }
    if (n_families)
        append(out, "\nFor other kinds of models (an error with a model that they do not fit)\n");
    for (size_t k = 0; k < n_families; k++) {
        buffer list = {0};
        for (const option_group *const *group = cmd->groups; *group; group++) {
            for (size_t i = 0; i < (*group)->n_specs; i++) {
                const option_spec *spec = &(*group)->specs[i];
                if (!spec->family || strcmp(spec->family, families[k]) != 0)
                    continue;
                append(&list, "%s--%s", list.size ? ", " : "", spec->name);
                for (size_t c = 0; spec->foreign_choices[c]; c++)
                    append(&list, "%s%s", c ? "|" : " ", spec->foreign_choices[c]);
            }
        }
        if (list.failed) {
            out->failed = true;
        } else {
            append(out, "      %-*s", HELP_COLUMN - 6, families[k]);
            wrap(out, list.text, HELP_COLUMN, HELP_COLUMN);
        }
        free(list.text);
    }
}

/* The models that every option of the group belongs to, 0 when they differ or take all. */
static unsigned common_fits(const option_group *group)
{
    unsigned fits = group->n_specs ? group->specs[0].fits : 0;
    for (size_t i = 1; i < group->n_specs; i++)
        if (group->specs[i].fits != fits)
            return 0;
    return fits;
}

char *options_help(const command *cmd)
{
    buffer out = {0};
    append(&out, "Usage: vkdlm %s [options]%s%s\n\n", cmd->name, *cmd->arguments ? " " : "", cmd->arguments);
    wrap(&out, cmd->summary, 0, 0);
    for (const option_group *const *group = cmd->groups; *group; group++) {
        unsigned common = common_fits(*group);
        append(&out, "\n%s", (*group)->title);
        if (common)
            append(&out, " (%s models)", options_kinds(common));
        append(&out, "\n");
        for (size_t i = 0; i < (*group)->n_specs; i++)
            describe_option(&out, &(*group)->specs[i], common ? 0 : (*group)->specs[i].fits);
    }
    describe_foreign(&out, cmd);
    if (cmd->notes) {
        append(&out, "\n");
        wrap(&out, cmd->notes, 0, 0);
    }
    if (out.failed) {
        free(out.text);
        return NULL;
    }
    return out.text;
}

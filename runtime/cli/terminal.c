#include "terminal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <utf8proc.h>

#include "progress.h"

/* How a token stands on the canvas. */
typedef enum cell_style { CELL_COMMITTED, CELL_FRESH, CELL_MASKED, N_CELL_STYLES } cell_style;

#define STYLE_END "\033[0m"

/* Colours where they are wanted, else weight alone. */
static const char *const colour_styles[N_CELL_STYLES] = {"", "\033[1;32m", "\033[2;36m"};
static const char *const plain_styles[N_CELL_STYLES] = {"", "\033[1;4m", "\033[2m"};

#define MASK_DRAWN "\xe2\x96\x91" /* U+2591, light shade */

struct terminal {
    pieces *text;
    int32_t mask_id;
    bool in_place;
    const char *const *styles;
    bool *fresh; /* [n_fresh]: the step unmasked this position */
    uint32_t n_fresh;
    char *frame;
    size_t size, capacity;
    bool failed;      /* out of memory: the frame is not shown */
    unsigned rows;    /* on the screen from the frame before */
    unsigned columns; /* of the screen when it was drawn */
    /* While a frame is laid out. */
    unsigned max_columns, max_rows, column, row;
    cell_style style;
};

terminal *terminal_create(pieces *text, int32_t mask_id)
{
    terminal *t = text ? calloc(1, sizeof *t) : NULL;
    if (!t) {
        pieces_destroy(text);
        return NULL;
    }
    const char *no_colour = getenv("NO_COLOR");
    t->text = text;
    t->mask_id = mask_id;
    t->in_place = progress_on_terminal();
    t->styles = no_colour && *no_colour ? plain_styles : colour_styles;
    return t;
}

void terminal_destroy(terminal *t)
{
    if (!t)
        return;
    pieces_destroy(t->text);
    free(t->fresh);
    free(t->frame);
    free(t);
}

static void append(terminal *t, const char *bytes, size_t size)
{
    if (t->failed || t->size + size > t->capacity) {
        size_t capacity = 2 * (t->size + size) + 4096;
        char *frame = t->failed ? NULL : realloc(t->frame, capacity);
        t->failed = !frame;
        if (!frame)
            return;
        t->frame = frame;
        t->capacity = capacity;
    }
    memcpy(t->frame + t->size, bytes, size);
    t->size += size;
}

__attribute__((format(printf, 2, 3))) static void append_format(terminal *t, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n > 0)
        append(t, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static void set_style(terminal *t, cell_style style)
{
    if (t->style == style)
        return;
    if (*t->styles[t->style])
        append(t, STYLE_END, strlen(STYLE_END));
    append(t, t->styles[style], strlen(t->styles[style]));
    t->style = style;
}

static void end_row(terminal *t)
{
    append(t, "\033[K\n", 4);
    t->column = 0;
    t->row++;
}

/* Puts one character (size bytes of UTF-8) of a given width on the canvas. */
static void put_character(terminal *t, const char *bytes, size_t size, unsigned width, cell_style style)
{
    if (t->column + width > t->max_columns)
        end_row(t);
    if (t->row >= t->max_rows)
        return;
    set_style(t, style);
    append(t, bytes, size);
    t->column += width;
}

/* Valid UTF-8 onto the canvas; control characters as '?', a tab as a space. */
static void put_text(terminal *t, const char *text, size_t size, cell_style style)
{
    for (size_t i = 0; i < size && t->row < t->max_rows;) {
        utf8proc_int32_t cp = -1;
        utf8proc_ssize_t n =
            utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(size - i), &cp);
        if (n < 1)
            n = 1;
        bool control = cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
        if (cp == '\n')
            end_row(t);
        else if (cp == '\t')
            put_character(t, " ", 1, 1, style);
        else if (control)
            put_character(t, "?", 1, 1, style);
        else
            put_character(t, text + i, (size_t)n, (unsigned)utf8proc_charwidth(cp), style);
        i += (size_t)n;
    }
}

/* The canvas through `put`, token by token; a character that several tokens share takes the style of its
 * last. */
static void walk(terminal *t, const vkdlm_step *step,
                 void (*put)(terminal *t, const char *text, size_t size, cell_style style))
{
    cell_style style = CELL_COMMITTED;
    for (uint32_t i = 0; i <= step->length; i++) {
        const char *piece = "";
        size_t size = 0;
        bool masked = i < step->length && step->tokens[i] == t->mask_id;
        if (masked || i == step->length) {
            pieces_flush(t->text, &piece, &size);
            put(t, piece, size, style);
        }
        if (i == step->length)
            break;
        style = masked ? CELL_MASKED : t->fresh[i] ? CELL_FRESH : CELL_COMMITTED;
        if (masked) {
            put(t, MASK_DRAWN, strlen(MASK_DRAWN), style);
        } else if (pieces_known(t->text)) {
            pieces_push(t->text, step->tokens[i], &piece, &size);
            put(t, piece, size, style);
        } else {
            char id[16];
            int n = snprintf(id, sizeof id, "%" PRId32 " ", step->tokens[i]);
            put(t, id, n > 0 ? (size_t)n : 0, style);
        }
    }
}

static void put_heading(terminal *t, const vkdlm_step *step)
{
    char steps[32] = "";
    if (step->n_steps)
        snprintf(steps, sizeof steps, " of %" PRIu32, step->n_steps);
    append_format(t,
                  "sample %" PRIu64 "  step %" PRIu32 "%s  t %.4f  %" PRIu32 " of %" PRIu32
                  " masked  %" PRIu32 " evaluations",
                  step->sample, step->step, steps, step->time, step->n_masked, step->length,
                  step->evaluations);
}

/* One frame, drawn over the last one with a single write: the cursor ends below it, styles are off. */
static void draw(terminal *t, const vkdlm_step *step)
{
    struct winsize screen = {0};
    bool known = !ioctl(STDERR_FILENO, TIOCGWINSZ, &screen) && screen.ws_col > 1 && screen.ws_row > 3;
    /* The last column stays free: to erase the rest of a full row would take its last character. */
    t->max_columns = (known ? screen.ws_col : 80u) - 1;
    t->max_rows = (known ? screen.ws_row : 24u) - 2;
    /* What a resized terminal did with the old frame is unknown: it stays, the next one begins below. */
    if (t->rows && t->columns == t->max_columns)
        append_format(t, "\033[%uA\r", t->rows);
    t->columns = t->max_columns;
    t->row = 0;
    t->column = 0;
    t->style = CELL_COMMITTED;
    size_t heading = t->size;
    put_heading(t, step);
    if (t->size - heading >= t->max_columns)
        t->size = heading + t->max_columns - 1;
    end_row(t);
    walk(t, step, put_text);
    set_style(t, CELL_COMMITTED);
    if (t->column)
        end_row(t);
    append(t, "\033[J", 3);
    t->rows = t->row;
}

/* In a line of text: fresh tokens in brackets, masks as '_', line feeds as " / ". */
static void put_plain(terminal *t, const char *text, size_t size, cell_style style)
{
    if (style == CELL_MASKED) {
        append(t, "_", 1);
        return;
    }
    if (!size)
        return;
    if (style == CELL_FRESH)
        append(t, "[", 1);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        bool c1 = c == 0xc2 && i + 1 < size && (unsigned char)text[i + 1] < 0xa0;
        if (c == '\n')
            append(t, " / ", 3);
        else
            append(t, c < 0x20 || c == 0x7f || c1 ? "?" : text + i, 1);
        i += c1;
    }
    if (style == CELL_FRESH)
        append(t, "]", 1);
}

static void write_frame(terminal *t)
{
    for (size_t done = 0; !t->failed && done < t->size;) {
        ssize_t n = write(STDERR_FILENO, t->frame + done, t->size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody looks any more */
        done += (size_t)n;
    }
}

static bool mark_fresh(terminal *t, const vkdlm_step *step)
{
    if (t->n_fresh < step->length) {
        bool *fresh = realloc(t->fresh, step->length * sizeof *fresh);
        if (!fresh)
            return false;
        t->fresh = fresh;
        t->n_fresh = step->length;
    }
    memset(t->fresh, 0, t->n_fresh * sizeof *t->fresh);
    for (uint32_t i = 0; i < step->n_changed; i++)
        if (step->changed[i] < step->length)
            t->fresh[step->changed[i]] = true;
    return true;
}

void terminal_show(terminal *t, const vkdlm_step *step, uint64_t sample)
{
    if (step->sample != sample || !mark_fresh(t, step))
        return;
    t->size = 0;
    t->failed = false;
    if (t->in_place) {
        draw(t, step);
    } else {
        put_heading(t, step);
        append(t, ": ", 2);
        walk(t, step, put_plain);
        append(t, "\n", 1);
    }
    write_frame(t);
}

void terminal_clear(terminal *t)
{
    if (!t || !t->in_place || !t->rows)
        return;
    t->size = 0;
    t->failed = false;
    append_format(t, "\033[%uA\r\033[J", t->rows);
    write_frame(t);
    t->rows = 0;
}

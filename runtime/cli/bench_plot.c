/* The roofline of a device as a picture: speed against operations a byte on logarithmic axes, under the
 * limits that the probes found. */
#include <cairo.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "message.h"
#include "output_file.h"

enum { WIDTH = 1600, HEIGHT = 1000 };

/* The field of the axes within the picture, and what it shows. */
typedef struct field {
    double left, right, top, bottom; /* pixels */
    double x0, x1, y0, y1;           /* powers of ten */
} field;

typedef struct rgb {
    double r, g, b;
} rgb;

static const rgb ink = {0.13, 0.14, 0.17}, soft = {0.42, 0.44, 0.48}, line = {0.86, 0.87, 0.89},
                 faint = {0.945, 0.95, 0.955}, roof = {0.15, 0.17, 0.22};

/* Whole numbers of few bits are warm, those of many and floats are cold. */
static const struct type_style {
    const char *type;
    rgb colour;
} types[] = {
    {"f32", {0.10, 0.25, 0.55}},  {"f16", {0.16, 0.47, 0.80}},  {"bf16", {0.40, 0.68, 0.93}},
    {"q8_0", {0.05, 0.52, 0.47}}, {"q6_k", {0.22, 0.65, 0.38}}, {"q5_0", {0.52, 0.72, 0.24}},
    {"q5_1", {0.66, 0.78, 0.30}}, {"q5_k", {0.40, 0.60, 0.16}}, {"q4_0", {0.93, 0.69, 0.13}},
    {"q4_1", {0.98, 0.80, 0.36}}, {"q4_k", {0.92, 0.50, 0.10}}, {"iq4_nl", {0.77, 0.42, 0.20}},
    {"q3_k", {0.85, 0.27, 0.20}}, {"q2_k", {0.62, 0.10, 0.35}},
};
enum { N_TYPES = sizeof types / sizeof *types };
static const rgb other_type = {0.45, 0.45, 0.45};

enum marker { CIRCLE, SQUARE, DIAMOND, TRIANGLE_UP, TRIANGLE_DOWN, CROSS, PLUS, HEXAGON };

static const struct group_style {
    const char *group;
    enum marker marker;
} shapes[] = {
    {"matmul", CIRCLE},
    {"output", HEXAGON},
    {"attention", SQUARE},
    {"prefill attention", SQUARE},
    {"cached attention", DIAMOND},
    {"layer", TRIANGLE_UP},
    {"norm", PLUS},
    {"rms", PLUS},
    {"embed", CROSS},
    {"rotary", TRIANGLE_DOWN},
    {"cache write", TRIANGLE_DOWN},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static void set_colour(cairo_t *c, rgb colour, double alpha)
{
    cairo_set_source_rgba(c, colour.r, colour.g, colour.b, alpha);
}

static double x_of(const field *f, double intensity)
{
    return f->left + (log10(intensity) - f->x0) / (f->x1 - f->x0) * (f->right - f->left);
}

static double y_of(const field *f, double gflops)
{
    return f->bottom - (log10(gflops) - f->y0) / (f->y1 - f->y0) * (f->bottom - f->top);
}

/* ---- text --------------------------------------------------------------------------------------------- */

static void set_font(cairo_t *c, double size, bool bold)
{
    cairo_select_font_face(c, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(c, size);
}

/* align: 0 begins at x, 0.5 is centred there, 1 ends there. */
static void put_text(cairo_t *c, double x, double y, double align, const char *text)
{
    cairo_text_extents_t extents;
    cairo_text_extents(c, text, &extents);
    cairo_move_to(c, x - align * extents.x_advance, y);
    cairo_show_text(c, text);
}

/* The same on a ground that lines behind do not show through. */
static void put_label(cairo_t *c, double x, double y, double align, const char *text)
{
    cairo_text_extents_t extents;
    cairo_text_extents(c, text, &extents);
    cairo_save(c);
    cairo_set_source_rgba(c, 1, 1, 1, 0.85);
    cairo_rectangle(c, x - align * extents.x_advance - 4, y + extents.y_bearing - 4, extents.x_advance + 8,
                    extents.height + 8);
    cairo_fill(c);
    cairo_restore(c);
    put_text(c, x, y, align, text);
}

/* "0.01", "1", "1000" */
static void number_text(double value, char out[32])
{
    snprintf(out, 32, "%.*f", value < 0.0095 ? 3 : value < 0.095 ? 2 : value < 0.95 ? 1 : 0, value);
}

static void rate_text(double value, const char *unit, const char *kilo, char out[48])
{
    bool large = value >= 1000;
    double shown = large ? value / 1000 : value;
    snprintf(out, 48, "%.*f %s", shown < 10 ? 2 : shown < 100 ? 1 : 0, shown, large ? kilo : unit);
}

/* ---- axes --------------------------------------------------------------------------------------------- */

static field choose_field(const bench_picture *p)
{
    field f = {.left = 110, .right = WIDTH - 290, .top = 120, .bottom = HEIGHT - 130};
    double ridge = p->limit_gflops / p->limit_gbps;
    double low_x = ridge / 8, high_x = ridge * 8, low_y = p->limit_gflops / 8, high_y = p->limit_gflops;
    for (size_t i = 0; i < p->n_points; i++) {
        low_x = fmin(low_x, p->points[i].intensity);
        high_x = fmax(high_x, p->points[i].intensity);
        low_y = fmin(low_y, p->points[i].gflops);
        high_y = fmax(high_y, p->points[i].gflops);
    }
    high_y = fmax(high_y, p->limit_gflops_f16);
    f.x0 = log10(low_x) - 0.2;
    f.x1 = log10(high_x) + 0.25;
    f.y0 = log10(low_y) - 0.2;
    f.y1 = log10(high_y) + 0.25;
    return f;
}

static void draw_grid(cairo_t *c, const field *f)
{
    char text[32];
    for (int decade = (int)floor(fmin(f->x0, f->y0)); decade <= (int)ceil(fmax(f->x1, f->y1)); decade++) {
        for (int step = 1; step < 10; step++) {
            double value = step * pow(10, decade), at = log10(value);
            set_colour(c, step == 1 ? line : faint, 1);
            cairo_set_line_width(c, step == 1 ? 1.5 : 1);
            if (at > f->x0 && at < f->x1) {
                cairo_move_to(c, x_of(f, value), f->top);
                cairo_line_to(c, x_of(f, value), f->bottom);
                cairo_stroke(c);
            }
            if (at > f->y0 && at < f->y1) {
                cairo_move_to(c, f->left, y_of(f, value));
                cairo_line_to(c, f->right, y_of(f, value));
                cairo_stroke(c);
            }
            /* Short axes have few decades: their halves and fifths are named too. */
            number_text(value, text);
            set_colour(c, soft, 1);
            set_font(c, 17, false);
            if (at > f->x0 && at < f->x1 && (step == 1 || (f->x1 - f->x0 < 2.5 && (step == 2 || step == 5))))
                put_text(c, x_of(f, value), f->bottom + 28, 0.5, text);
            if (at > f->y0 && at < f->y1 && (step == 1 || (f->y1 - f->y0 < 2.5 && (step == 2 || step == 5))))
                put_text(c, f->left - 12, y_of(f, value) + 6, 1, text);
        }
    }
    set_colour(c, soft, 1);
    cairo_set_line_width(c, 1.5);
    cairo_rectangle(c, f->left, f->top, f->right - f->left, f->bottom - f->top);
    cairo_stroke(c);
    set_colour(c, ink, 1);
    set_font(c, 19, false);
    put_text(c, 0.5 * (f->left + f->right), f->bottom + 62, 0.5, "operations a byte");
    cairo_save(c);
    cairo_translate(c, 36, 0.5 * (f->top + f->bottom));
    cairo_rotate(c, -M_PI / 2);
    put_text(c, 0, 0, 0.5, "GFLOP/s");
    cairo_restore(c);
}

/* ---- limits ------------------------------------------------------------------------------------------- */

/* The line below which every kernel stays: bytes first, then operations. */
static void trace_roof(cairo_t *c, const field *f, double gflops, double gbps)
{
    double first = pow(10, f->x0), last = pow(10, f->x1);
    cairo_move_to(c, x_of(f, first), y_of(f, fmin(first * gbps, gflops)));
    if (gflops / gbps > first && gflops / gbps < last)
        cairo_line_to(c, x_of(f, gflops / gbps), y_of(f, gflops));
    cairo_line_to(c, x_of(f, last), y_of(f, fmin(last * gbps, gflops)));
}

static void draw_roofs(cairo_t *c, const field *f, const bench_picture *p)
{
    static const double dashes[] = {10, 7};
    char rate[48], text[96];
    cairo_save(c);
    cairo_rectangle(c, f->left, f->top, f->right - f->left, f->bottom - f->top);
    cairo_clip(c);

    trace_roof(c, f, p->limit_gflops, p->limit_gbps);
    cairo_line_to(c, f->right, f->bottom);
    cairo_line_to(c, f->left, f->bottom);
    cairo_close_path(c);
    cairo_set_source_rgba(c, 0.30, 0.45, 0.70, 0.06);
    cairo_fill(c);

    set_colour(c, roof, 1);
    cairo_set_line_join(c, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_width(c, 3.5);
    trace_roof(c, f, p->limit_gflops, p->limit_gbps);
    cairo_stroke(c);
    if (p->limit_gflops_f16 > 0 && fabs(log(p->limit_gflops_f16 / p->limit_gflops)) > 0.05) {
        set_colour(c, soft, 1);
        cairo_set_line_width(c, 2);
        cairo_set_dash(c, dashes, 2, 0);
        cairo_move_to(c, x_of(f, p->limit_gflops_f16 / p->limit_gbps), y_of(f, p->limit_gflops_f16));
        cairo_line_to(c, f->right, y_of(f, p->limit_gflops_f16));
        cairo_stroke(c);
        cairo_set_dash(c, NULL, 0, 0);
        set_font(c, 16, false);
        rate_text(p->limit_gflops_f16, "GFLOP/s", "TFLOP/s", rate);
        snprintf(text, sizeof text, "multiply-add f16  %s", rate);
        put_label(c, f->right - 14,
                  y_of(f, p->limit_gflops_f16) + (p->limit_gflops_f16 > p->limit_gflops ? -10 : 24), 1, text);
    }
    set_colour(c, roof, 1);
    set_font(c, 18, true);
    rate_text(p->limit_gflops, "GFLOP/s", "TFLOP/s", rate);
    snprintf(text, sizeof text, "multiply-add f32  %s", rate);
    put_label(c, f->right - 14, y_of(f, p->limit_gflops) + (p->limit_gflops_f16 > p->limit_gflops ? 28 : -14),
              1, text);

    /* Along the slope, which is the same in pixels everywhere. */
    double rise = (f->bottom - f->top) / (f->y1 - f->y0), run = (f->right - f->left) / (f->x1 - f->x0);
    double from = fmax(f->x0, f->y0 - log10(p->limit_gbps)), to = log10(p->limit_gflops / p->limit_gbps);
    double middle = pow(10, from + 0.5 * (to - from));
    rate_text(p->limit_gbps, "GB/s", "TB/s", rate);
    snprintf(text, sizeof text, "read  %s", rate);
    cairo_translate(c, x_of(f, middle), y_of(f, middle * p->limit_gbps));
    cairo_rotate(c, -atan2(rise, run));
    put_label(c, 0, -14, 0.5, text);
    cairo_restore(c);
}

/* ---- points ------------------------------------------------------------------------------------------- */

static void trace_polygon(cairo_t *c, double x, double y, double radius, int corners, double turn)
{
    for (int i = 0; i < corners; i++)
        cairo_line_to(c, x + radius * cos(turn + 2 * M_PI * i / corners),
                      y + radius * sin(turn + 2 * M_PI * i / corners));
    cairo_close_path(c);
}

static void draw_marker(cairo_t *c, double x, double y, enum marker marker, rgb colour)
{
    static const struct {
        int corners;
        double turn, radius;
    } polygons[] = {[SQUARE] = {4, M_PI / 4, 9},
                    [DIAMOND] = {4, 0, 10},
                    [TRIANGLE_UP] = {3, -M_PI / 2, 10.5},
                    [TRIANGLE_DOWN] = {3, M_PI / 2, 10},
                    [HEXAGON] = {6, M_PI / 6, 9}};
    cairo_new_path(c);
    if (marker == CROSS || marker == PLUS) {
        double d = marker == CROSS ? 5.5 : 0, e = marker == CROSS ? 5.5 : 8;
        cairo_move_to(c, x - e, y - d);
        cairo_line_to(c, x + e, y + d);
        cairo_move_to(c, x + d, y - e);
        cairo_line_to(c, x - d, y + e);
        cairo_set_line_cap(c, CAIRO_LINE_CAP_ROUND);
        cairo_set_source_rgba(c, 1, 1, 1, 0.9);
        cairo_set_line_width(c, 6);
        cairo_stroke_preserve(c);
        set_colour(c, colour, 1);
        cairo_set_line_width(c, 3.2);
        cairo_stroke(c);
        return;
    }
    if (marker == CIRCLE)
        cairo_arc(c, x, y, 7, 0, 2 * M_PI);
    else
        trace_polygon(c, x, y, polygons[marker].radius, polygons[marker].corners, polygons[marker].turn);
    set_colour(c, colour, 0.85);
    cairo_fill_preserve(c);
    cairo_set_source_rgba(c, 1, 1, 1, 0.95);
    cairo_set_line_width(c, 1.4);
    cairo_stroke(c);
}

static rgb colour_of(const char *type)
{
    for (size_t i = 0; i < N_TYPES; i++)
        if (!strcmp(types[i].type, type))
            return types[i].colour;
    return other_type;
}

static enum marker marker_of(const char *group)
{
    for (size_t i = 0; i < N_SHAPES; i++)
        if (!strcmp(shapes[i].group, group))
            return shapes[i].marker;
    return CIRCLE;
}

/* Names the clouds of products: all of one number of rows, under the lowest of them. */
static void name_clouds(cairo_t *c, const field *f, const bench_picture *p)
{
    static const uint32_t rows[] = {1, 8, 64, 256};
    set_font(c, 15, true);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        double left = INFINITY, right = -INFINITY, low = -INFINITY;
        for (size_t i = 0; i < p->n_points; i++) {
            const bench_point *point = &p->points[i];
            if (point->n != rows[r] || strcmp(point->group, "matmul") != 0)
                continue;
            double x = x_of(f, point->intensity);
            left = fmin(left, x);
            right = fmax(right, x);
            low = fmax(low, y_of(f, point->gflops));
        }
        char text[48];
        snprintf(text, sizeof text, "products, %u row%s", rows[r], rows[r] == 1 ? "" : "s");
        set_colour(c, soft, 1);
        if (left <= right)
            put_label(c, 0.5 * (left + right), fmin(low + 32, f->bottom - 12), 0.5, text);
    }
}

static void draw_points(cairo_t *c, const field *f, const bench_picture *p)
{
    name_clouds(c, f, p);
    for (size_t i = 0; i < p->n_points; i++) {
        const bench_point *point = &p->points[i];
        draw_marker(c, x_of(f, point->intensity), y_of(f, point->gflops), marker_of(point->group),
                    colour_of(point->type));
    }
}

/* ---- around it ---------------------------------------------------------------------------------------- */

static bool has_type(const bench_picture *p, const char *type)
{
    for (size_t i = 0; i < p->n_points; i++)
        if (!strcmp(p->points[i].type, type))
            return true;
    return false;
}

static bool has_group(const bench_picture *p, const char *group)
{
    for (size_t i = 0; i < p->n_points; i++)
        if (!strcmp(p->points[i].group, group))
            return true;
    return false;
}

/* Groups that share a marker share a line. */
static void draw_legend(cairo_t *c, const field *f, const bench_picture *p)
{
    double x = f->right + 34, y = f->top + 14;
    set_colour(c, ink, 1);
    set_font(c, 18, true);
    put_text(c, x, y, 0, "Kernels");
    for (size_t i = 0; i < N_SHAPES; i++) {
        char names[80];
        if (!has_group(p, shapes[i].group) ||
            (i && shapes[i].marker == shapes[i - 1].marker && has_group(p, shapes[i - 1].group)))
            continue;
        bool both =
            i + 1 < N_SHAPES && shapes[i + 1].marker == shapes[i].marker && has_group(p, shapes[i + 1].group);
        snprintf(names, sizeof names, "%s%s%s", shapes[i].group, both ? ", " : "",
                 both ? shapes[i + 1].group : "");
        y += 29;
        draw_marker(c, x + 9, y - 6, shapes[i].marker, soft);
        set_colour(c, ink, 1);
        set_font(c, 16, false);
        put_text(c, x + 30, y, 0, names);
    }
    y += 54;
    set_font(c, 18, true);
    put_text(c, x, y, 0, "Weights, cached values");
    for (size_t i = 0; i < N_TYPES; i++) {
        if (!has_type(p, types[i].type))
            continue;
        y += 27;
        draw_marker(c, x + 9, y - 6, CIRCLE, types[i].colour);
        set_colour(c, ink, 1);
        set_font(c, 16, false);
        put_text(c, x + 30, y, 0, types[i].type);
    }
}

/* As much of a text as fits. */
static void shorten(cairo_t *c, char *text, double width)
{
    cairo_text_extents_t extents;
    for (size_t n = strlen(text); n > 4; n--) {
        cairo_text_extents(c, text, &extents);
        if (extents.x_advance <= width)
            return;
        while (n > 4 && ((unsigned char)text[n - 4] & 0xC0) == 0x80) /* between characters */
            n--;
        memcpy(text + n - 4, "...", 4);
    }
}

static void draw_titles(cairo_t *c, const field *f, const bench_picture *p)
{
    const bench_conditions *conditions = p->conditions;
    char text[640], day[32];
    snprintf(day, sizeof day, "%.10s", conditions->time);
    set_colour(c, ink, 1);
    set_font(c, 30, true);
    snprintf(text, sizeof text, "%s", conditions->device->name);
    shorten(c, text, WIDTH - f->left - 40);
    put_text(c, f->left, 56, 0, text);
    set_colour(c, soft, 1);
    set_font(c, 19, false);
    snprintf(text, sizeof text, "Roofline of vkdlm %s  \u00b7  %s  \u00b7  %s", vkdlm_version(),
             conditions->device->driver, day);
    shorten(c, text, WIDTH - f->left - 40);
    put_text(c, f->left, 92, 0, text);
    set_font(c, 15, false);
    snprintf(
        text, sizeof text,
        "%zu kernels, the median of repeated timings of each (about %g s); lines: medians of the probes that "
        "ran between them; weights come from a working set as large as the read probe's.",
        p->n_points, conditions->seconds);
    put_text(c, f->left, HEIGHT - 40, 0, text);
    snprintf(
        text, sizeof text,
        "Measured at %s with %ld processors. Operations: two a multiply-add; bytes: what must be read and "
        "written once.%s%s",
        conditions->time, conditions->n_cpus, conditions->only ? " Only: " : "",
        conditions->only ? conditions->only : "");
    message_sanitize(text);
    shorten(c, text, WIDTH - f->left - 40);
    put_text(c, f->left, HEIGHT - 18, 0, text);
}

/* ---- the file ----------------------------------------------------------------------------------------- */

static cairo_status_t write_bytes(void *closure, const unsigned char *data, unsigned int size)
{
    return fwrite(data, 1, size, closure) == size ? CAIRO_STATUS_SUCCESS : CAIRO_STATUS_WRITE_ERROR;
}

static vkdlm_status io_error(const char *path, vkdlm_error *err)
{
    return message_set(err, VKDLM_IO, "cannot write '%.400s': %s", path, strerror(errno));
}

static vkdlm_status save(cairo_surface_t *surface, const char *path, vkdlm_error *err)
{
    output_file file;
    vkdlm_status status = output_file_begin(&file, path, err);
    if (status)
        return status;
    cairo_status_t drawn = cairo_surface_write_to_png_stream(surface, write_bytes, file.stream);
    if (drawn == CAIRO_STATUS_WRITE_ERROR)
        status = io_error(path, err);
    else if (drawn != CAIRO_STATUS_SUCCESS)
        status =
            message_set(err, VKDLM_INTERNAL, "cannot draw '%.400s': %s", path, cairo_status_to_string(drawn));
    return output_file_end(&file, status, err);
}

vkdlm_status bench_plot_check(const char *path, vkdlm_error *err)
{
    struct stat found;
    if (!stat(path, &found) && !S_ISREG(found.st_mode))
        return message_set(err, VKDLM_IO, "cannot write '%.400s': it is no regular file", path);
    char *folder = strdup(path);
    if (!folder)
        return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for a path");
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[1] = 0;
    vkdlm_status status = access(slash ? folder : ".", W_OK | X_OK) ? io_error(path, err) : VKDLM_OK;
    free(folder);
    return status;
}

vkdlm_status bench_plot(const char *path, const bench_picture *picture, vkdlm_error *err)
{
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, WIDTH, HEIGHT);
    cairo_t *c = cairo_create(surface);
    field f = choose_field(picture);
    cairo_set_source_rgb(c, 1, 1, 1);
    cairo_paint(c);
    draw_grid(c, &f);
    draw_roofs(c, &f, picture);
    draw_points(c, &f, picture);
    draw_legend(c, &f, picture);
    draw_titles(c, &f, picture);
    vkdlm_status status = VKDLM_OK;
    if (cairo_status(c) != CAIRO_STATUS_SUCCESS)
        status = message_set(err, VKDLM_INTERNAL, "cannot draw '%.400s': %s", path,
                             cairo_status_to_string(cairo_status(c)));
    cairo_destroy(c);
    cairo_surface_flush(surface);
    if (!status)
        status = save(surface, path, err);
    cairo_surface_destroy(surface);
    return status;
}

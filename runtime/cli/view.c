/* `view`: shows a recorded trajectory. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "decode.h"
#include "message.h"
#include "progress.h"
#include "report.h"
#include "signals.h"
#include "terminal.h"
#include "viewer.h"

typedef struct view_values {
    common_values common;
    option_value text, speed, step, select, colour, guesses, theme, png, gif, frames, layout, report, size,
        scale;
} view_values;

static const char *const colours[] = {"step", "probability", "entropy", "guess", NULL};
static const char *const themes[] = {"light", "dark", NULL};

#define AT(field) offsetof(view_values, field)
static const option_spec view_specs[] = {
    {"text", 0, OPTION_FLAG, AT(text),
     .help = "replays the run as text: a masked run in place on a terminal, step by step; a flow's as a line "
             "a token, with what each evaluation pointed at"},
    {"speed", 0, OPTION_NUMBER, AT(speed), "X", "steps (tokens) a second; 0, for --text, is without pauses",
     .initial = "8", .interval = {0, 1000, false, false}},
};
static const option_spec window_specs[] = {
    {"step", 0, OPTION_COUNT, AT(step), "N", "step (token) that is shown first, or is drawn",
     .initially = "the first; of a picture the last", .most = UINT32_MAX},
    {"select", 0, OPTION_COUNT, AT(select), "N", "position whose candidates are shown", .initially = "none",
     .most = UINT32_MAX},
    {"colour", 0, OPTION_CHOICE, AT(colour), "QUANTITY",
     "what tokens are coloured by: step of commitment, probability then, entropy, or whether the best guess "
     "is "
     "the final token",
     .initial = "step", .choices = colours},
    {"guesses", 0, OPTION_FLAG, AT(guesses), .help = "masked positions show their most probable token"},
    {"theme", 0, OPTION_CHOICE, AT(theme), "THEME", "colours of the window", .initial = "light",
     .choices = themes},
    {"size", 0, OPTION_TEXT, AT(size), "WxH", "size of the window or the pictures, in pixels",
     .initially = "1280x800"},
    {"scale", 0, OPTION_NUMBER, AT(scale), "X", "size of text and lines, 1 on an ordinary display",
     .initially = "the display's; of pictures by their size", .interval = {0.5, 8, false, false}},
};
static const option_spec picture_specs[] = {
    {"png", 0, OPTION_TEXT, AT(png), "FILE", "draws one step", .initially = "off"},
    {"gif", 0, OPTION_TEXT, AT(gif), "FILE", "draws all steps as an animation", .initially = "off"},
    {"frames", 0, OPTION_TEXT, AT(frames), "DIR", "draws all steps, a PNG file each", .initially = "off"},
    {"layout", 0, OPTION_TEXT, AT(layout), "FILE",
     "writes where each token of the step lies and its colour, as JSON", .initially = "off"},
    {"report", 0, OPTION_TEXT, AT(report), "FILE",
     "writes after every frame of the window that differs what is shown and how long frames take, as JSON",
     .initially = "off"},
};
#define GROUP(title, specs)                               \
    {                                                     \
        title, specs, sizeof specs / sizeof *specs, false \
    }
static const option_group view_group = GROUP("View", view_specs);
static const option_group window_group = GROUP("Window", window_specs);
static const option_group picture_group =
    GROUP("Pictures, drawn without a window or a display", picture_specs);
static const option_group *const groups[] = {&view_group, &window_group, &picture_group, &options_common,
                                             NULL};

typedef struct replay {
    const vkdlm_trajectory *trajectory;
    vkdlm_trajectory_info info;
    double speed; /* steps a second; 0: without pauses */
} replay;

/* Waits until the next step is due; a signal ends it early. */
static void pause_step(const replay *r)
{
    if (r->speed <= 0 || signals_pending())
        return;
    double seconds = 1 / r->speed;
    struct timespec wait = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)(1e9 * (seconds - (double)(time_t)seconds))};
    nanosleep(&wait, NULL);
}

/* ---- masked runs ----------------------------------------------------------------------------------- */

static uint32_t count_masked(const replay *r, const int32_t *tokens)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->info.length; i++)
        n += tokens[i] == r->info.mask_id;
    return n;
}

static void show_step(const replay *r, terminal *t, uint32_t index, uint32_t *changed)
{
    vkdlm_trajectory_step s;
    vkdlm_trajectory_get_step(r->trajectory, index, &s);
    vkdlm_step step = {.step = index,
                       .n_steps = r->info.n_steps,
                       .time = (double)s.time,
                       .evaluations = (uint32_t)s.evaluations,
                       .tokens = s.tokens,
                       .length = r->info.length,
                       .n_masked = count_masked(r, s.tokens),
                       .changed = changed};
    for (uint32_t i = 0; s.previous && i < r->info.length; i++)
        if (s.tokens[i] != s.previous[i])
            changed[step.n_changed++] = i;
    terminal_show(t, &step, 0);
}

/* The canvas at the end, on standard output. */
static vkdlm_status print_canvas(const replay *r, uint32_t index, vkdlm_error *err)
{
    vkdlm_trajectory_step s;
    pieces *text = pieces_create(NULL, r->trajectory);
    const char *piece;
    size_t size;
    vkdlm_status status = VKDLM_OK;
    if (!text)
        return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for the text");
    vkdlm_trajectory_get_step(r->trajectory, index, &s);
    for (uint32_t i = 0; i < r->info.length && !status; i++) {
        if (s.tokens[i] == r->info.mask_id) {
            pieces_flush(text, &piece, &size);
            status = report_text(piece, size, err);
            if (!status)
                status = report_text(DECODE_MASK, strlen(DECODE_MASK), err);
            continue;
        }
        pieces_push(text, s.tokens[i], &piece, &size);
        status = report_text(piece, size, err);
    }
    pieces_flush(text, &piece, &size);
    if (!status)
        status = report_text(piece, size, err);
    pieces_destroy(text);
    return status ? status : report_line(err, "%s", "");
}

static vkdlm_status replay_masked(const replay *r, vkdlm_error *err)
{
    terminal *t = terminal_create(pieces_create(NULL, r->trajectory), r->info.mask_id);
    uint32_t *changed = calloc((size_t)r->info.length + 1, sizeof *changed);
    uint32_t last = 0;
    bool good = t && changed;
    for (uint32_t i = 0; good && i <= r->info.n_steps && !signals_pending(); i++) {
        if (i)
            pause_step(r);
        show_step(r, t, i, changed);
        last = i;
    }
    if (good)
        pause_step(r);
    terminal_clear(t);
    terminal_destroy(t);
    free(changed);
    if (!good)
        return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory to show the canvas");
    return print_canvas(r, last, err);
}

/* ---- a flow's runs ---------------------------------------------------------------------------------- */

/* A token in quotes, line feeds as \n: a line stays a line. */
static vkdlm_status print_quoted(pieces *text, int32_t id, vkdlm_error *err)
{
    size_t size;
    char *one = pieces_one(text, id, &size);
    vkdlm_status status = one ? report_text("'", 1, err)
                              : message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for the text");
    for (size_t i = 0; i < size && !status;) {
        size_t n = strcspn(one + i, "\n\r\t");
        n = n < size - i ? n : size - i;
        status = report_text(one + i, n, err);
        i += n;
        if (i < size && !status) {
            const char *escape = one[i] == '\n'   ? "\\n"
                                 : one[i] == '\r' ? "\\r"
                                 : one[i] == '\t' ? "\\t"
                                                  : "?";
            status = report_text(escape, strlen(escape), err);
            i++;
        }
    }
    free(one);
    return status ? status : report_text("'", 1, err);
}

static vkdlm_status print_format(vkdlm_error *err, const char *format, double a, double b)
{
    char text[96];
    int n = snprintf(text, sizeof text, format, a, b);
    return report_text(text, n > 0 ? (size_t)n : 0, err);
}

/* "3 'token'  entropy 1.86 -> 0.00 nats in 9 evaluations: 'first guess' 'next' ...", guesses that repeat
 * once. */
static vkdlm_status print_token(const replay *r, pieces *text, uint32_t token, vkdlm_error *err)
{
    uint32_t first = vkdlm_trajectory_first_evaluation(r->trajectory, token);
    uint32_t end = vkdlm_trajectory_first_evaluation(r->trajectory, token + 1);
    vkdlm_trajectory_evaluation v = {0}, last = {0};
    vkdlm_status status = print_format(err, "%.0f ", (double)token, 0);
    if (!status)
        status = print_quoted(text, r->info.tokens[token], err);
    if (first == end)
        return status ? status : report_line(err, "  not refined");
    vkdlm_trajectory_get_evaluation(r->trajectory, first, &v);
    vkdlm_trajectory_get_evaluation(r->trajectory, end - 1, &last);
    if (!status)
        status = print_format(err, "  entropy %.3f -> %.3f nats", (double)v.entropy, (double)last.entropy);
    if (!status)
        status = print_format(err, " in %.0f evaluations:", (double)(end - first), 0);
    int32_t shown = -1;
    for (uint32_t i = first; i < end && !status; i++) {
        vkdlm_trajectory_get_evaluation(r->trajectory, i, &v);
        if (v.xhat_id == shown)
            continue;
        shown = v.xhat_id;
        status = report_text(" ", 1, err);
        if (!status)
            status = print_quoted(text, shown, err);
    }
    return status ? status : report_line(err, "%s", "");
}

static vkdlm_status replay_flow(const replay *r, vkdlm_error *err)
{
    pieces *text = pieces_create(NULL, r->trajectory);
    if (!text)
        return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for the text");
    vkdlm_status status = VKDLM_OK;
    for (uint32_t i = 0; i < r->info.n_tokens && !status && !signals_pending(); i++) {
        status = print_token(r, text, i, err);
        if (!status)
            status = report_flush(err);
        pause_step(r);
    }
    pieces_destroy(text);
    return status;
}

/* ---- the window ------------------------------------------------------------------------------------- */

static void add_options(viewer_words *w, const option_group *group, const view_values *v)
{
    for (size_t i = 0; i < group->n_specs; i++) {
        const option_spec *spec = &group->specs[i];
        const option_value *value = (const option_value *)((const char *)v + spec->offset);
        if (value->given)
            viewer_add(w, spec->name, spec->kind == OPTION_FLAG ? NULL : value->text);
    }
}

/* Returns only on failure. */
static vkdlm_status start_viewer(const view_values *v, const option_parse *parse, vkdlm_error *err)
{
    viewer_words w = {0};
    add_options(&w, &view_group, v);
    add_options(&w, &window_group, v);
    add_options(&w, &picture_group, v);
    if (v->common.device.given)
        viewer_add(&w, "device", v->common.device.text);
    viewer_add(&w, "", NULL);
    for (size_t i = 0; i < parse->n_arguments; i++)
        viewer_add(&w, NULL, parse->arguments[i]);
    return viewer_start(&w, "'--text' replays the run on a terminal", err);
}

/* --text takes one file and none of the window's options. */
static vkdlm_status check_text(const view_values *v, const option_parse *parse, vkdlm_error *err)
{
    const option_group *const others[] = {&window_group, &picture_group};
    if (parse->n_arguments > 1)
        return message_set(err, VKDLM_INVALID_ARGUMENT, "'--text' shows one file, not two");
    for (size_t g = 0; g < 2; g++)
        for (size_t i = 0; i < others[g]->n_specs; i++) {
            const option_spec *spec = &others[g]->specs[i];
            if (((const option_value *)((const char *)v + spec->offset))->given)
                return message_set(err, VKDLM_INVALID_ARGUMENT, "'--text' and '--%s' exclude each other",
                                   spec->name);
        }
    return VKDLM_OK;
}

static int run_view(const command *cmd, void *values, const option_parse *parse)
{
    (void)cmd;
    const view_values *v = values;
    vkdlm_trajectory *t = NULL;
    vkdlm_error err = {0};
    vkdlm_status status = v->text.given ? check_text(v, parse, &err) : start_viewer(v, parse, &err);
    if (!status)
        status = message_blame_file(vkdlm_trajectory_open(parse->arguments[0], &t, &err), &err);
    if (!status) {
        replay r = {.trajectory = t, .speed = progress_on_terminal() ? v->speed.number : 0};
        vkdlm_trajectory_get_info(t, &r.info);
        signals_catch();
        status = r.info.kind == VKDLM_TRAJECTORY_MASKED ? replay_masked(&r, &err) : replay_flow(&r, &err);
    }
    vkdlm_trajectory_close(t);
    return status ? message_error(&err) : signals_pending() ? signals_exit_status() : CLI_OK;
}

const command command_view = {
    .name = "view",
    .summary = "Shows a run that 'generate --trajectory' recorded, or two side by side.",
    .arguments = "FILE [OTHER]",
    .least_arguments = 1,
    .most_arguments = 2,
    .groups = groups,
    .notes = "Opens a window; F1 or ? there lists its keys. Two files are compared: positions whose tokens "
             "differ are "
             "marked.\n"
             "Elsewhere than on a terminal, --text prints the steps as lines on standard error and the final "
             "canvas on standard output.",
    .values_size = sizeof(view_values),
    .run = run_view,
};

#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "message.h"

enum { BAR_WIDTH = 30 };
#define BAR_INTERVAL_S  0.1  /* between drawings of the bar */
#define LINE_INTERVAL_S 15.0 /* between plain lines, and before the first */

double progress_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

bool progress_on_terminal(void)
{
    const char *kind = getenv("TERM");
    return isatty(STDERR_FILENO) && kind && *kind && strcmp(kind, "dumb") != 0;
}

void progress_init(progress *p, bool quiet)
{
    *p = (progress){.enabled = !quiet, .terminal = progress_on_terminal(), .label = ""};
}

void progress_begin(progress *p, const char *label)
{
    progress_clear(p);
    p->label = label;
    p->begun = progress_now();
    p->shown = p->begun;
    p->fraction = 0;
}

static void draw_bar(progress *p, double elapsed, const char *detail)
{
    char bar[BAR_WIDTH + 1];
    int full = (int)(p->fraction * BAR_WIDTH);
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR_WIDTH] = 0;
    char line[256];
    snprintf(line, sizeof line, "%s [%s] %3.0f %%  %.1f s%s%s", p->label, bar, 100 * p->fraction, elapsed,
             detail ? "  " : "", detail ? detail : "");
    struct winsize size;
    int columns = !ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col ? size.ws_col : 80;
    fprintf(stderr, "\r%.*s\033[K", columns - 1, line); /* a wrapped bar could not be taken away */
    fflush(stderr);
    p->drawn = true;
}

void progress_update(progress *p, double fraction, const char *detail)
{
    double now = progress_now();
    double interval = p->terminal ? BAR_INTERVAL_S : LINE_INTERVAL_S;
    if (!p->enabled || now - p->shown < interval)
        return;
    p->shown = now;
    p->fraction = fraction > 1 ? 1 : fraction > 0 ? fraction : 0;
    if (p->terminal)
        draw_bar(p, now - p->begun, detail);
    else
        message_note("%s: %.0f %% after %.0f s%s%s", p->label, 100 * p->fraction, now - p->begun,
                     detail ? ", " : "", detail ? detail : "");
}

void progress_clear(progress *p)
{
    if (p->drawn) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    p->drawn = false;
}

/* How far the work is: a bar on a terminal, a plain line now and then elsewhere, nothing when quiet. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>

/* Seconds of a clock that never goes back. */
double progress_now(void);

/* True when standard error is a terminal that understands escape sequences. */
bool progress_on_terminal(void);

typedef struct progress {
    bool enabled, terminal;
    bool drawn; /* a bar stands on the current line */
    const char *label;
    double begun, shown; /* seconds */
    double fraction;
} progress;

void progress_init(progress *p, bool quiet);
/* A new phase; label is static text. */
void progress_begin(progress *p, const char *label);
/* fraction 0 .. 1; detail may be NULL. */
void progress_update(progress *p, double fraction, const char *detail);
/* Takes the bar away, so that something else can be printed; the next update draws it again. */
void progress_clear(progress *p);

#endif

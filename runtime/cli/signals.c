#include "signals.h"

#include <signal.h>

/* The one thing that a signal handler may touch. */
static volatile sig_atomic_t pending;

static void note(int signal)
{
    pending = signal;
}

void signals_ignore_pipe(void)
{
    struct sigaction action = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &action, NULL);
}

void signals_catch(void)
{
    static const int signals[] = {SIGINT, SIGTERM};
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART | (int)SA_RESETHAND};
        sigemptyset(&action.sa_mask);
        sigaction(signals[i], &action, NULL);
    }
}

int signals_pending(void)
{
    return pending;
}

int signals_exit_status(void)
{
    return 128 + (pending ? pending : SIGINT);
}

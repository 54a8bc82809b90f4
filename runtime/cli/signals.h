/* Ctrl-C: the first asks the running work to stop, the second kills. */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

/* A write to a closed pipe becomes an error of that write. */
void signals_ignore_pipe(void);

/* From now on SIGINT and SIGTERM are noted once; the next one takes its default action. Also where a shell
 * started the program with SIGINT ignored, as it does with a script's background jobs: `kill -INT` stops
 * those too. */
void signals_catch(void);

/* The signal that arrived, 0 when none did. */
int signals_pending(void);

/* Exit status of a run that the pending signal stopped: 128 + signal, 130 for Ctrl-C. */
int signals_exit_status(void);

#endif

/* Draws a canvas while it resolves. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <vkdlm/session.h>

#include "pieces.h"

typedef struct terminal terminal;

/* On a terminal each step is drawn over the one before, the steps of one sample at a time; elsewhere it is a
 * line of text. Ids without text are shown as such. `text` is taken over. Nothing is left changed on the
 * screen between two calls, so that the program may end at any time. NULL when out of memory, also when
 * `text` is. */
terminal *terminal_create(pieces *text, int32_t mask_id);
void terminal_destroy(terminal *t);

/* Shows a step if it belongs to sample `sample`. */
void terminal_show(terminal *t, const vkdlm_step *step, uint64_t sample);

/* Takes the drawing away, so that something else can be printed in its place. */
void terminal_clear(terminal *t);

#endif

/* Text of token ids, from a tokenizer or from what a trajectory file keeps of one. */
#ifndef CLI_PIECES_H
#define CLI_PIECES_H

#include <vkdlm/trajectory.h>

typedef struct pieces pieces;

/* One of tokenizer and trajectory may be NULL, and so may both: then there is no text. The one that is given
 * must outlive the result. NULL when out of memory. */
pieces *pieces_create(const vkdlm_tokenizer *tokenizer, const vkdlm_trajectory *trajectory);
void pieces_destroy(pieces *p);

/* False when ids have no text. */
bool pieces_known(const pieces *p);

/* What can be shown after one more id: valid UTF-8, valid until the next call. A character that several
 * tokens share comes with the last of them; an id that a trajectory does not know gives "<id>". */
void pieces_push(pieces *p, int32_t id, const char **text, size_t *size);
/* What is left, U+FFFD for an unfinished character; begins anew. */
void pieces_flush(pieces *p, const char **text, size_t *size);

/* The text of one id by itself: a push and a flush of a text that has not begun. The caller frees it with
 * free(); NULL when out of memory. */
char *pieces_one(pieces *p, int32_t id, size_t *size);

#endif

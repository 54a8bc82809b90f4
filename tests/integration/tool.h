/* Parts of integration_tool. Each takes the words behind its name and returns the exit status. */
#ifndef INTEGRATION_TOOL_H
#define INTEGRATION_TOOL_H

/* Says what failed; returns 1. */
int tool_fail(const char *what, const char *detail);

/* make OUT NAME:DTYPE:SHAPE:VALUE ...: tensors of I32, I64 or F32 ("2x8", at most three dimensions) whose
 * elements all have one value. */
int tool_make(int argc, char **argv);

/* take OUT IN TENSOR NAME [TENSOR NAME ...]: tensors of one file under other names. */
int tool_take(int argc, char **argv);

/* ints FILE TENSOR ROW: a row of an I32 tensor of two dimensions, between spaces. */
int tool_ints(int argc, char **argv);

/* points EXPECTED IN OUT: all recorded evaluations of a diffusion path as an input of `forward`, and what it
 * must give: logits and hidden.N. */
int tool_points(int argc, char **argv);

#endif

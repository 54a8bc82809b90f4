/* GGUF files whose matrices have all types in turn. */
#ifndef TESTS_MIXED_H
#define TESTS_MIXED_H

/* Writes the model of the GGUF file `from` to `to`: the same metadata and vectors, and matrix after matrix
 * the next type of a cycle whose blocks fit its rows; what fails ends the test. */
void mixed_write(const char *from, const char *to);

#endif

/* The byte-level alphabet of GPT-2: every byte has one printable character that stands for it in the
 * strings of a vocabulary. Bytes 21-7E, A1-AC and AE-FF stand for themselves (as code points); the
 * others, in order, are U+0100 to U+0143. The "spelling" of a byte string is the UTF-8 of these. */
#ifndef TEXT_BYTE_LEVEL_H
#define TEXT_BYTE_LEVEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest UTF-8 of one byte's character. */
#define BYTE_LEVEL_MAX 2

/* Code point of a byte's character. */
uint32_t byte_level_char(unsigned char byte);

/* Writes the spelling of n bytes to out (room for BYTE_LEVEL_MAX * n); returns its length. */
size_t byte_level_spell(const char *bytes, size_t n, char *out);

/* Writes the bytes that the spelling s (well-formed UTF-8 of n bytes) stands for to out (room for n)
 * and their number to *size; false when a character of s stands for no byte. */
bool byte_level_read(const char *s, size_t n, char *out, size_t *size);

#endif

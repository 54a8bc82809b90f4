/* UTF-8 decoding with the replacement rule of Unicode 3.9 (maximal subparts). */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_INVALID 0xFFFFFFFFu

/* Decodes one unit at s (n >= 1 bytes left). A well-formed character: *cp is its code point, the
 * result its length. Anything else: *cp is UTF8_INVALID and the result is the length (>= 1) of the
 * maximal subpart that one U+FFFD replaces. */
size_t utf8_decode(const unsigned char *s, size_t n, uint32_t *cp);

/* True when the n bytes at s (n may be 0) are a proper prefix of some well-formed character:
 * more bytes could complete it. */
bool utf8_is_prefix(const unsigned char *s, size_t n);

/* Writes cp (a Unicode scalar value) to out and returns its length, 1 to 4. */
size_t utf8_encode(uint32_t cp, unsigned char out[4]);

/* True when all n bytes are well-formed UTF-8. */
bool utf8_valid(const unsigned char *s, size_t n);

#endif

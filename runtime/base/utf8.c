#include "base/utf8.h"

/* Table 3-7 of the Unicode standard: the allowed range of the second byte depends on the first. */
static bool lead_byte(unsigned char b, size_t *length, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (b >= 0xC2 && b <= 0xDF) {
        *length = 2;
    } else if (b >= 0xE0 && b <= 0xEF) {
        *length = 3;
        if (b == 0xE0)
            *low = 0xA0;
        if (b == 0xED)
            *high = 0x9F;
    } else if (b >= 0xF0 && b <= 0xF4) {
        *length = 4;
        if (b == 0xF0)
            *low = 0x90;
        if (b == 0xF4)
            *high = 0x8F;
    } else {
        return false;
    }
    return true;
}

/* Length of the longest prefix of one character at s; *need is the character's full length. */
static size_t match(const unsigned char *s, size_t n, size_t *need)
{
    unsigned char low, high;
    if (!lead_byte(s[0], need, &low, &high)) {
        *need = 0;
        return 1;
    }
    size_t i = 1;
    while (i < *need && i < n && s[i] >= low && s[i] <= high) {
        low = 0x80;
        high = 0xBF;
        i++;
    }
    return i;
}

size_t utf8_decode(const unsigned char *s, size_t n, uint32_t *cp)
{
    if (s[0] < 0x80) {
        *cp = s[0];
        return 1;
    }
    size_t need;
    size_t got = match(s, n, &need);
    if (got != need) {
        *cp = UTF8_INVALID;
        return got;
    }
    uint32_t value = s[0] & (0x7Fu >> need);
    for (size_t i = 1; i < need; i++)
        value = value << 6 | (s[i] & 0x3Fu);
    *cp = value;
    return need;
}

bool utf8_is_prefix(const unsigned char *s, size_t n)
{
    if (n == 0)
        return true;
    size_t need;
    return s[0] >= 0x80 && match(s, n, &need) == n && n < need;
}

size_t utf8_encode(uint32_t cp, unsigned char out[4])
{
    if (cp < 0x80) {
        out[0] = (unsigned char)cp;
        return 1;
    }
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, cp >>= 6)
        out[i] = (unsigned char)(0x80 | (cp & 0x3F));
    out[0] = (unsigned char)(0xF00u >> n | cp);
    return n;
}

bool utf8_valid(const unsigned char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        i += utf8_decode(s + i, n - i, &cp);
        if (cp == UTF8_INVALID)
            return false;
    }
    return true;
}

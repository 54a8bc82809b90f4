#include "text/byte_level.h"

#include "base/utf8.h"

/* The three ranges of bytes without a printable character, and where their stand-ins start. */
static const struct {
    unsigned char first, last;
    uint16_t stand_in;
} ranges[] = {{0x00, 0x20, 0x100}, {0x7F, 0xA0, 0x121}, {0xAD, 0xAD, 0x143}};

#define N_RANGES (sizeof ranges / sizeof *ranges)

uint32_t byte_level_char(unsigned char byte)
{
    for (size_t i = 0; i < N_RANGES; i++)
        if (byte >= ranges[i].first && byte <= ranges[i].last)
            return (uint32_t)ranges[i].stand_in + byte - ranges[i].first;
    return byte;
}

/* Byte of a character, -1 when it stands for none. */
static int byte_of(uint32_t cp)
{
    if (cp < 0x100)
        return byte_level_char((unsigned char)cp) == cp ? (int)cp : -1;
    for (size_t i = 0; i < N_RANGES; i++) {
        uint32_t index = cp - ranges[i].stand_in;
        if (cp >= ranges[i].stand_in && index <= (uint32_t)ranges[i].last - ranges[i].first)
            return (int)(ranges[i].first + index);
    }
    return -1;
}

size_t byte_level_spell(const char *bytes, size_t n, char *out)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char character[4];
        size_t length = utf8_encode(byte_level_char((unsigned char)bytes[i]), character);
        for (size_t k = 0; k < length; k++)
            out[size++] = (char)character[k];
    }
    return size;
}

bool byte_level_read(const char *s, size_t n, char *out, size_t *size)
{
    *size = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        i += utf8_decode((const unsigned char *)s + i, n - i, &cp);
        int byte = byte_of(cp);
        if (byte < 0)
            return false;
        out[(*size)++] = (char)byte;
    }
    return true;
}

#include "picture.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <png.h>

/* Words of the header of an XWD file, big-endian each. */
enum { HEADER_BYTES = 0, WIDTH = 4, HEIGHT = 5, BYTE_ORDER_ = 7, BITS = 11, LINE_BYTES = 12, COLOURS = 19 };
enum { N_WORDS = 25, COLOUR_BYTES = 12 };

static bool read_png(const char *path, picture *out)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_file(&image, path))
        return false;
    image.format = PNG_FORMAT_RGB;
    out->width = image.width;
    out->height = image.height;
    out->pixels = malloc(PNG_IMAGE_SIZE(image));
    return out->pixels && png_image_finish_read(&image, NULL, out->pixels, 0, NULL);
}

/* Only what Xvfb writes on a screen of 24 bits: four bytes a pixel, blue first. */
static bool read_xwd(FILE *file, picture *out)
{
    unsigned char bytes[4 * N_WORDS];
    uint32_t words[N_WORDS];
    if (fread(bytes, 1, sizeof bytes, file) != sizeof bytes)
        return false;
    for (size_t i = 0; i < N_WORDS; i++)
        words[i] = (uint32_t)bytes[4 * i] << 24 | (uint32_t)bytes[4 * i + 1] << 16 |
                   (uint32_t)bytes[4 * i + 2] << 8 | bytes[4 * i + 3];
    out->width = words[WIDTH];
    out->height = words[HEIGHT];
    if (words[BITS] != 32 || words[BYTE_ORDER_] != 0 || words[LINE_BYTES] != 4 * out->width ||
        out->width > 16384 || out->height > 16384)
        return false;
    const size_t n = out->width * out->height;
    out->pixels = malloc(4 * n);
    if (!out->pixels || fseek(file, (long)(words[HEADER_BYTES] + COLOUR_BYTES * words[COLOURS]), SEEK_SET) ||
        fread(out->pixels, 4, n, file) != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        const unsigned char blue = out->pixels[4 * i];
        out->pixels[3 * i] = out->pixels[4 * i + 2];
        out->pixels[3 * i + 1] = out->pixels[4 * i + 1];
        out->pixels[3 * i + 2] = blue;
    }
    return true;
}

bool picture_read(const char *path, picture *out)
{
    FILE *file = fopen(path, "rb");
    int first = file ? fgetc(file) : EOF;
    if (file)
        rewind(file);
    bool good = first != EOF && (first == 0x89 ? read_png(path, out) : read_xwd(file, out));
    if (file)
        fclose(file);
    if (!good)
        fprintf(stderr, "'%s' cannot be read\n", path);
    return good;
}

const unsigned char *picture_at(const picture *p, double x, double y)
{
    if (!(x >= 0 && y >= 0 && x < (double)p->width && y < (double)p->height))
        return NULL;
    return p->pixels + 3 * ((size_t)y * p->width + (size_t)x);
}

/* Pictures that the tests of the viewer look at: PNG files, and screens that Xvfb keeps as XWD files. */
#ifndef TESTS_VIEWER_PICTURE_H
#define TESTS_VIEWER_PICTURE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct picture {
    size_t width, height;
    unsigned char *pixels; /* red, green, blue; row after row */
} picture;

/* False, having said why, when the file is no picture. The caller frees the pixels. */
bool picture_read(const char *path, picture *out);

/* The pixel at a place that is in the picture; NULL outside. */
const unsigned char *picture_at(const picture *p, double x, double y);

#endif

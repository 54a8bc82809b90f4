/* check_picture PNG LAYOUT LEAST: the colours that the layout tells of are in the picture.
 *
 * Of every token that is filled, looks at a pixel below its text; prints how many were right, and fails when
 * one is not or when there are fewer than LEAST. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <png.h>

static double number(const json_t *list, size_t i)
{
    return json_number_value(json_array_get(list, i));
}

/* Blending of opaque colours is exact but for rounding. */
static bool is_near(const unsigned char *pixel, const json_t *fill)
{
    for (size_t i = 0; i < 3; i++)
        if (abs((int)pixel[i] - (int)number(fill, i)) > 2)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    if (argc != 4 || !png_image_begin_read_from_file(&image, argv[1]))
        return 2;
    image.format = PNG_FORMAT_RGB;
    unsigned char *pixels = malloc(PNG_IMAGE_SIZE(image));
    json_t *layout = json_load_file(argv[2], 0, NULL),
           *tokens = json_array_get(json_object_get(layout, "runs"), 0);
    if (!pixels || !png_image_finish_read(&image, NULL, pixels, 0, NULL) || !tokens)
        return 2;
    long right = 0, wrong = 0;
    size_t i;
    json_t *token;
    json_array_foreach(tokens, i, token)
    {
        const json_t *box = json_object_get(token, "box"), *fill = json_object_get(token, "fill");
        double x = (number(box, 0) + number(box, 2)) / 2, y = number(box, 3) - 1.5;
        if (number(fill, 3) < 255 || number(box, 2) - number(box, 0) < 6)
            continue;
        if (!(x >= 0 && y >= 0 && x < image.width && y < image.height)) {
            fprintf(stderr, "token %zu lies outside the picture\n", i);
            wrong++;
            continue;
        }
        const unsigned char *pixel = pixels + 3 * ((size_t)y * image.width + (size_t)x);
        if (is_near(pixel, fill)) {
            right++;
            continue;
        }
        fprintf(stderr, "token %zu: pixel (%d, %d) is %d %d %d, expected %g %g %g\n", i, (int)x, (int)y,
                pixel[0], pixel[1], pixel[2], number(fill, 0), number(fill, 1), number(fill, 2));
        wrong++;
    }
    printf("%ld tokens have their colour, %ld have not\n", right, wrong);
    json_decref(layout);
    free(pixels);
    return wrong || right < strtol(argv[3], NULL, 10);
}

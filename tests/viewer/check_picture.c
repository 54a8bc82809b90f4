/* check_picture WHAT PICTURE ...: looks at a picture.
 *
 * tokens PICTURE REPORT LEAST [RUN]: every token of the run (0) that is filled has its colour below its text;
 *     those with text have ink on it, blanks have none. At least LEAST are filled.
 * differences PICTURE REPORT: in both runs exactly the tokens that differ have a line below.
 * has PICTURE X0 Y0 X1 Y1 R G B: the colour is in the rectangle.
 * same PICTURE OTHER X0 Y0 X1 Y1: the rectangle is the same in both. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "picture.h"

enum { INK = 60 }; /* summed difference from which a pixel is no longer the background's */

typedef struct box {
    double x0, y0, x1, y1;
} box;

static double number(const json_t *list, size_t i)
{
    return json_number_value(json_array_get(list, i));
}

static box box_of(const json_t *token)
{
    const json_t *b = json_object_get(token, "box");
    return (box){number(b, 0), number(b, 1), number(b, 2), number(b, 3)};
}

static int difference(const unsigned char *pixel, const double colour[3])
{
    int sum = 0;
    for (size_t i = 0; i < 3; i++)
        sum += abs((int)pixel[i] - (int)colour[i]);
    return sum;
}

/* Pixels of a box that differ from a colour by at least INK (or, not `other`, by less than a rounding). */
static size_t count(const picture *p, box b, const double colour[3], bool other)
{
    size_t n = 0;
    for (double y = floor(b.y0); y < b.y1; y++)
        for (double x = floor(b.x0); x < b.x1; x++) {
            const unsigned char *pixel = picture_at(p, x, y);
            int d = pixel ? difference(pixel, colour) : other ? 0 : INK;
            n += other ? d >= INK : d <= 6;
        }
    return n;
}

/* A token without a visible character, or one whose text is on several lines, tells nothing about ink. */
static bool shows_text(const json_t *tokens, size_t i)
{
    const json_t *token = json_array_get(tokens, i);
    const char *text = json_string_value(json_object_get(token, "text"));
    for (size_t beside = i ? i - 1 : 1; beside <= i + 1; beside += 2)
        if (json_integer_value(json_object_get(json_array_get(tokens, beside), "position")) ==
                json_integer_value(json_object_get(token, "position")) &&
            beside < json_array_size(tokens))
            return false;
    bool visible = false;
    for (; text && *text; text++)
        visible = visible || isalnum((unsigned char)*text);
    return visible;
}

static bool check_token(const picture *p, const json_t *tokens, size_t i)
{
    const json_t *token = json_array_get(tokens, i), *fill = json_object_get(token, "fill");
    const box b = box_of(token);
    const double colour[3] = {number(fill, 0), number(fill, 1), number(fill, 2)};
    const double x = (b.x0 + b.x1) / 2, y = b.y1 - 1.5;
    const unsigned char *pixel = picture_at(p, x, y);
    if (!pixel) {
        fprintf(stderr, "token %zu lies outside the picture\n", i);
        return false;
    }
    /* Blending of opaque colours is exact but for rounding. */
    if (difference(pixel, colour) > 6) {
        fprintf(stderr, "token %zu: pixel (%d, %d) is %d %d %d, expected %g %g %g\n", i, (int)x, (int)y,
                pixel[0], pixel[1], pixel[2], colour[0], colour[1], colour[2]);
        return false;
    }
    /* Rings of neighbours reach a little into it. */
    const size_t ink = count(p, (box){b.x0 + 4, b.y0 + 4, b.x1 - 4, b.y1 - 3}, colour, true);
    const bool masked = !json_string_length(json_object_get(token, "text"));
    if (masked ? ink > 0 : shows_text(tokens, i) && b.x1 - b.x0 > 12 && ink < 4) {
        fprintf(stderr, "token %zu, %s: %zu pixels of ink\n", i, masked ? "a blank" : "not a blank", ink);
        return false;
    }
    return true;
}

static bool check_tokens(const picture *p, char **words, int n)
{
    json_t *report = json_load_file(words[0], 0, NULL), *runs = json_object_get(report, "runs"),
           *tokens = json_array_get(runs, n > 2 ? strtoul(words[2], NULL, 10) : 0), *token;
    long right = 0, wrong = !json_is_array(tokens);
    size_t i;
    json_array_foreach(tokens, i, token)
    {
        const box b = box_of(token);
        if (number(json_object_get(token, "fill"), 3) < 255 || b.x1 - b.x0 < 6)
            continue;
        if (check_token(p, tokens, i))
            right++;
        else
            wrong++;
    }
    printf("%ld tokens are as they should be, %ld are not\n", right, wrong);
    json_decref(report);
    return !wrong && right >= strtol(words[1], NULL, 10);
}

/* Id of the token at a position, -1 without one. */
static json_int_t token_at(const json_t *tokens, json_int_t position)
{
    json_int_t id = -1;
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        const json_t *token = json_array_get(tokens, i);
        if (json_integer_value(json_object_get(token, "position")) == position)
            id = json_integer_value(json_object_get(token, "token"));
    }
    return id;
}

static bool check_differences(const picture *p, char **words, int n)
{
    (void)n;
    json_t *report = json_load_file(words[0], 0, NULL);
    const json_t *runs = json_object_get(report, "runs"),
                 *line = json_object_get(json_object_get(report, "colours"), "other");
    const double colour[3] = {number(line, 0), number(line, 1), number(line, 2)};
    long marked = 0, plain = 0, wrong = 0;
    for (size_t run = 0; run < 2; run++) {
        const json_t *tokens = json_array_get(runs, run), *others = json_array_get(runs, 1 - run);
        for (size_t i = 0; i < json_array_size(tokens); i++) {
            const json_t *token = json_array_get(tokens, i);
            const json_int_t id = json_integer_value(json_object_get(token, "token"));
            const bool differs =
                id != token_at(others, json_integer_value(json_object_get(token, "position")));
            const box b = box_of(token);
            const bool has = count(p, (box){b.x0 + 2, b.y1 + 1, b.x1 - 2, b.y1 + 3}, colour, false) > 0;
            *(differs != has ? &wrong : differs ? &marked : &plain) += 1;
            if (differs != has)
                fprintf(stderr, "run %zu, token %zu %s\n", run, i, has ? "has a line" : "has no line");
        }
    }
    printf("%ld tokens have a line, %ld have none, %ld are wrong\n", marked, plain, wrong);
    json_decref(report);
    return !wrong && marked && plain;
}

static bool check_has(const picture *p, char **words, int n)
{
    double v[7];
    for (int i = 0; i < 7; i++)
        v[i] = i < n ? strtod(words[i], NULL) : 0;
    return count(p, (box){v[0], v[1], v[2], v[3]}, v + 4, false) > 0;
}

static bool check_same(const picture *p, char **words, int n)
{
    picture other = {0};
    double v[4];
    for (int i = 0; i < 4; i++)
        v[i] = i + 1 < n ? strtod(words[i + 1], NULL) : 0;
    bool same = picture_read(words[0], &other);
    for (double y = v[1]; same && y < v[3]; y++)
        for (double x = v[0]; same && x < v[2]; x++) {
            const unsigned char *a = picture_at(p, x, y), *b = picture_at(&other, x, y);
            same = a && b && !memcmp(a, b, 3);
        }
    free(other.pixels);
    return same;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        bool (*check)(const picture *p, char **words, int n);
        int least, most;
    } checks[] = {{"tokens", check_tokens, 2, 3},
                  {"differences", check_differences, 1, 1},
                  {"has", check_has, 7, 7},
                  {"same", check_same, 5, 5}};
    picture p = {0};
    for (size_t i = 0; argc > 2 && i < sizeof checks / sizeof *checks; i++) {
        int n = argc - 3;
        if (strcmp(argv[1], checks[i].name) || n < checks[i].least || n > checks[i].most)
            continue;
        bool good = picture_read(argv[2], &p) && checks[i].check(&p, argv + 3, n);
        free(p.pixels);
        return good ? 0 : 1;
    }
    return 2;
}

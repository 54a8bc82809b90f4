/* read_report FILE PATH: prints what a report of the viewer has at a path of keys and indices, such as
 * areas.plot or runs.0.position=12.box; of arrays of numbers the numbers, rounded, on one line. Fails where
 * there is nothing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

/* The first object of an array whose number, or truth, at `key` is this. */
static const json_t *find(const json_t *array, const char *key, const char *value)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *element = json_array_get(array, i), *at = json_object_get(element, key);
        if (json_is_boolean(at) ? json_is_true(at) == !strcmp(value, "true")
                                : at && json_integer_value(at) == strtoll(value, NULL, 10))
            return element;
    }
    return NULL;
}

static const json_t *follow(const json_t *at, char *path)
{
    for (char *word = strtok(path, "."); word && at; word = strtok(NULL, ".")) {
        char *equals = strchr(word, '=');
        if (json_is_object(at)) {
            at = json_object_get(at, word);
        } else if (equals) {
            *equals = '\0';
            at = find(at, word, equals + 1);
        } else {
            at = json_array_get(at, strtoul(word, NULL, 10));
        }
    }
    return at;
}

static void print(const json_t *value)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        printf(i ? " " : "");
        print(json_array_get(value, i));
    }
    if (json_is_string(value))
        printf("%s", json_string_value(value));
    else if (json_is_boolean(value))
        printf(json_is_true(value) ? "true" : "false");
    else if (json_is_integer(value))
        printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_number(value))
        printf("%g", round(1000 * json_number_value(value)) / 1000);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    json_t *report = json_load_file(argv[1], 0, NULL);
    const json_t *value = follow(report, argv[2]);
    if (value) {
        print(value);
        printf("\n");
    }
    json_decref(report);
    return value ? 0 : 1;
}

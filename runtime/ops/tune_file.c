#include "ops/tune_file.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum { FORMAT = 1, MAX_FILE_BYTES = 4 << 20 };

static const char *const state_names[TUNE_N_STATES] = {
    [TUNE_UNTRIED] = "untried",       [TUNE_RIGHT] = "right", [TUNE_TIMED] = "timed",
    [TUNE_OTHER_BITS] = "other bits", [TUNE_WRONG] = "wrong", [TUNE_FAILED] = "failed",
};

static void hex_of(uint64_t value, char text[17])
{
    snprintf(text, 17, "%016" PRIx64, value);
}

/* ---- reading -------------------------------------------------------------------------------------- */

static bool is_of_device(const json_t *root, const gpu_caps *caps)
{
    int format, subgroup_size, shuffle;
    const char *device, *driver, *shaders;
    char hash[17];
    hex_of(gpu_shader_hash(), hash);
    return json_unpack((json_t *)root, "{s:i,s:s,s:s,s:i,s:b,s:s}", "format", &format, "device", &device,
                       "driver", &driver, "subgroup_size", &subgroup_size, "subgroup_shuffle", &shuffle,
                       "shaders", &shaders) == 0 &&
           format == FORMAT && strcmp(device, caps->name) == 0 && strcmp(driver, caps->driver) == 0 &&
           subgroup_size == (int)caps->subgroup_size && (shuffle != 0) == caps->subgroup_shuffle &&
           strcmp(shaders, hash) == 0;
}

static bool read_candidate(json_t *from, tune_candidate *c)
{
    const char *name, *state;
    double us = 0;
    if (json_unpack(from, "{s:s,s:s,s?:F}", "name", &name, "state", &state, "us", &us) ||
        strcmp(name, c->name) != 0)
        return false;
    for (int i = 0; i < TUNE_N_STATES; i++)
        if (strcmp(state, state_names[i]) == 0) {
            c->state = (enum tune_state)i;
            c->us = us;
            return i != TUNE_TIMED || (us > 0 && us < 1e12);
        }
    return false;
}

/* The candidates must be those that this build lists for the key on this device. */
static bool read_choice(json_t *from, const gpu_caps *caps, tune_choice *choice)
{
    const char *group, *bits, *names[TUNE_MAX_CANDIDATES];
    json_int_t type, size;
    json_t *variants;
    tune_key key = {.group = TUNE_N_GROUPS};
    if (json_unpack(from, "{s:s,s:I,s:I,s:s,s:o}", "group", &group, "type", &type, "size", &size, "bits",
                    &bits, "variants", &variants) ||
        type < 0 || type > UINT32_MAX || size < 0 || size > UINT32_MAX)
        return false;
    for (uint32_t g = 0; g < TUNE_N_GROUPS; g++)
        if (strcmp(group, tune_table_of((enum tune_group)g)->name) == 0)
            key = (tune_key){(enum tune_group)g, (uint32_t)type, (uint32_t)size};
    if (key.group == TUNE_N_GROUPS)
        return false;
    uint32_t n = tune_table_of(key.group)->list(caps, key, names);
    if (n == 0 || json_array_size(variants) != n)
        return false;
    tune_choice_init(choice, key, names, n);
    for (uint32_t i = 0; i < n; i++)
        if (!read_candidate(json_array_get(variants, i), &choice->candidates[i]))
            return false;
    char *end;
    choice->bits = strtoull(bits, &end, 16);
    tune_settle(choice);
    return *bits && !*end;
}

static bool same_key(tune_key a, tune_key b)
{
    return a.group == b.group && a.type == b.type && a.size == b.size;
}

static bool contains(const tune_choice *choices, uint32_t n, tune_key key)
{
    for (uint32_t i = 0; i < n; i++)
        if (same_key(choices[i].key, key))
            return true;
    return false;
}

uint32_t tune_file_read(const char *path, const gpu_caps *caps, tune_choice *choices, uint32_t capacity)
{
    char *text = NULL;
    size_t n_bytes = 0;
    uint32_t n = 0;
    if (file_probe(path) != FILE_REGULAR || file_read(path, MAX_FILE_BYTES, &text, &n_bytes, NULL))
        return 0;
    json_t *root = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES, NULL);
    json_t *list = root && is_of_device(root, caps) ? json_object_get(root, "choices") : NULL;
    for (size_t i = 0; i < json_array_size(list) && i < TUNE_MAX_CHOICES && n < capacity; i++)
        if (read_choice(json_array_get(list, i), caps, &choices[n]) && !contains(choices, n, choices[n].key))
            n++;
    json_decref(root);
    free(text);
    return n;
}

/* ---- writing --------------------------------------------------------------------------------------- */

static json_t *candidates_json(const tune_choice *choice)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < choice->n; i++) {
        const tune_candidate *c = &choice->candidates[i];
        json_t *one = json_pack("{s:s,s:s}", "name", c->name, "state", state_names[c->state]);
        if (one && c->state == TUNE_TIMED)
            json_object_set_new(one, "us", json_real(c->us));
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *choice_json(const tune_choice *choice)
{
    const tune_table *table = tune_table_of(choice->key.group);
    char text[TUNE_TEXT], bits[17];
    table->describe(choice->key, text);
    hex_of(choice->bits, bits);
    return json_pack("{s:s,s:I,s:I,s:s,s:s,s:b,s:s,s:o}", "group", table->name, "type",
                     (json_int_t)choice->key.type, "size", (json_int_t)choice->key.size, "problem", text,
                     "variant", choice->chosen < choice->n ? choice->candidates[choice->chosen].name : "none",
                     "measured", (int)choice->measured, "bits", bits, "variants", candidates_json(choice));
}

static void write_text(const char *path, const char *text)
{
    file_output *output;
    file_kind kind = file_probe(path);
    if (kind != FILE_MISSING && kind != FILE_REGULAR)
        return;
    file_make_parents(path);
    if (file_output_create(path, &output, NULL))
        return;
    if (file_output_write(output, text, strlen(text), NULL))
        file_output_abort(output);
    else
        file_output_commit(output, false, NULL);
}

void tune_file_write(const char *path, const gpu_caps *caps, const tune_choice *choices, uint32_t n)
{
    char hash[17], *text = NULL;
    hex_of(gpu_shader_hash(), hash);
    json_t *list = json_array();
    for (uint32_t i = 0; i < n; i++)
        if (choices[i].bits || choices[i].chosen == choices[i].n) /* something was tried */
            json_array_append_new(list, choice_json(&choices[i]));
    tune_choice *others = calloc(TUNE_MAX_CHOICES, sizeof *others);
    uint32_t n_others = others ? tune_file_read(path, caps, others, TUNE_MAX_CHOICES) : 0;
    for (uint32_t i = 0; i < n_others; i++)
        if (!contains(choices, n, others[i].key))
            json_array_append_new(list, choice_json(&others[i]));
    free(others);
    json_t *root =
        json_pack("{s:i,s:s,s:s,s:i,s:b,s:s,s:o}", "format", FORMAT, "device", caps->name, "driver",
                  caps->driver, "subgroup_size", (int)caps->subgroup_size, "subgroup_shuffle",
                  (int)caps->subgroup_shuffle, "shaders", hash, "choices", list);
    if (root)
        text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    if (text)
        write_text(path, text);
    json_decref(root);
    free(text);
}

#include "ops/tune.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "ops/tune_file.h"
#include "ops/tune_tables.h"

const tune_table *tune_table_of(enum tune_group group)
{
    static const tune_table *const tables[TUNE_N_GROUPS] = {
        [TUNE_MATMUL] = &matmul_tune_table,
        [TUNE_OUTPUT] = &output_tune_table,
        [TUNE_ATTENTION] = &attention_tune_table,
        [TUNE_CACHED_ROWS] = &cached_rows_tune_table,
    };
    return tables[group];
}

typedef struct tuner {
    gpu_device *device;
    char *path;                /* NULL: no file */
    pthread_mutex_t measuring; /* one key at a time; taken before the lock */
    tune_budget budget;        /* of keys that are met; under `measuring` */
    pthread_mutex_t lock;      /* of what follows */
    tune_choice *choices;
    uint32_t n, room;
} tuner;

static double seconds(void *user)
{
    struct timespec now;
    (void)user;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void tuner_destroy(void *object)
{
    tuner *t = object;
    pthread_mutex_destroy(&t->lock);
    pthread_mutex_destroy(&t->measuring);
    free(t->choices);
    free(t->path);
    free(t);
}

vkdlm_status tune_attach(gpu_device *device, const tune_options *options, vkdlm_error *err)
{
    tuner *t = calloc(1, sizeof *t);
    if (!t)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for the choices of a device");
    pthread_mutex_init(&t->lock, NULL);
    pthread_mutex_init(&t->measuring, NULL);
    t->device = device;
    t->budget = (tune_budget){seconds, NULL, options->budget};
    t->room = TUNE_MAX_CHOICES;
    t->choices = calloc(t->room, sizeof *t->choices);
    t->path = options->path ? strdup(options->path) : NULL;
    if (!t->choices || (options->path && !t->path)) {
        tuner_destroy(t);
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for the choices of a device");
    }
    if (t->path)
        t->n = tune_file_read(t->path, gpu_device_caps(device), t->choices, t->room);
    gpu_device_attach(device, t, tuner_destroy);
    return VKDLM_OK;
}

/* ---- the table ------------------------------------------------------------------------------------ */

static bool same_key(tune_key a, tune_key b)
{
    return a.group == b.group && a.type == b.type && a.size == b.size;
}

static tune_choice *find(tune_choice *choices, uint32_t n, tune_key key)
{
    for (uint32_t i = 0; i < n; i++)
        if (same_key(choices[i].key, key))
            return &choices[i];
    return NULL;
}

static void by_features(const gpu_caps *caps, tune_key key, tune_choice *choice)
{
    const char *names[TUNE_MAX_CANDIDATES];
    tune_choice_init(choice, key, names, tune_table_of(key.group)->list(caps, key, names));
    tune_settle(choice);
}

static bool look_up(tuner *t, tune_key key, tune_choice *out)
{
    pthread_mutex_lock(&t->lock);
    const tune_choice *found = find(t->choices, t->n, key);
    bool full = !found && t->n == t->room;
    if (found)
        *out = *found;
    pthread_mutex_unlock(&t->lock);
    if (full)
        by_features(gpu_device_caps(t->device), key, out);
    return found || full;
}

/* Bits that other keys of the group and type have. */
static uint64_t anchor_of(tuner *t, tune_key key)
{
    uint64_t bits = 0;
    pthread_mutex_lock(&t->lock);
    for (uint32_t i = 0; i < t->n && !bits; i++)
        if (t->choices[i].key.group == key.group && t->choices[i].key.type == key.type &&
            t->choices[i].key.size != key.size)
            bits = t->choices[i].bits;
    pthread_mutex_unlock(&t->lock);
    return bits;
}

static void store(tuner *t, const tune_choice *choice)
{
    pthread_mutex_lock(&t->lock);
    tune_choice *place = find(t->choices, t->n, choice->key);
    if (!place && t->n < t->room)
        place = &t->choices[t->n++];
    if (place)
        *place = *choice;
    if (t->path)
        tune_file_write(t->path, gpu_device_caps(t->device), t->choices, t->n);
    pthread_mutex_unlock(&t->lock);
}

/* ---- measuring ------------------------------------------------------------------------------------- */

/* Under `measuring`. */
static void measure(tuner *t, tune_key key, tune_budget *budget, tune_choice *choice)
{
    const tune_table *table = tune_table_of(key.group);
    by_features(gpu_device_caps(t->device), key, choice);
    if (choice->n == 0)
        return;
    /* Without memory the choice stays by features. */
    void *trial = calloc(1, table->trial_bytes);
    if (trial) {
        if (table->open(t->device, key, trial, NULL) == VKDLM_OK)
            tune_decide(choice, &table->trial, trial, anchor_of(t, key), budget);
        table->close(trial);
    }
    free(trial);
    store(t, choice);
}

vkdlm_status tune_choose(gpu_device *device, tune_key key, uint32_t *candidate, vkdlm_error *err)
{
    const gpu_caps *caps = gpu_device_caps(device);
    tuner *t = gpu_device_attached(device);
    tune_choice choice;
    if (!t)
        by_features(caps, key, &choice);
    else if (!look_up(t, key, &choice)) {
        pthread_mutex_lock(&t->measuring);
        if (!look_up(t, key, &choice))
            measure(t, key, &t->budget, &choice);
        pthread_mutex_unlock(&t->measuring);
    }
    *candidate = choice.chosen;
    if (choice.chosen < choice.n)
        return VKDLM_OK;
    char text[TUNE_TEXT];
    tune_table_of(key.group)->describe(key, text);
    return error_set(err, VKDLM_UNSUPPORTED,
                     "device '%s' (%s) computes wrong numbers in every variant of the kernel for %s, %s",
                     caps->name, caps->driver, tune_table_of(key.group)->name, text);
}

/* The keys of every table, and of what was met besides; [capacity]. */
static uint32_t all_keys(const gpu_caps *caps, const tune_choice *met, uint32_t n_met, tune_key *keys,
                         uint32_t capacity)
{
    tune_key own[TUNE_MAX_KEYS];
    uint32_t n = 0;
    for (uint32_t g = 0; g < TUNE_N_GROUPS; g++) {
        uint32_t n_own = tune_table_of((enum tune_group)g)->keys(caps, own);
        for (uint32_t i = 0; i < n_own && n < capacity; i++)
            keys[n++] = own[i];
        for (uint32_t i = 0; i < n_met && n < capacity; i++) {
            bool listed = met[i].key.group != (enum tune_group)g;
            for (uint32_t j = 0; j < n_own && !listed; j++)
                listed = same_key(own[j], met[i].key);
            if (!listed)
                keys[n++] = met[i].key;
        }
    }
    return n;
}

vkdlm_status tune_all(gpu_device *device, tune_progress progress, void *user, vkdlm_error *err)
{
    tuner *t = gpu_device_attached(device);
    tune_key *keys = malloc(TUNE_MAX_CHOICES * sizeof *keys);
    if (!keys || !t) {
        free(keys);
        return t ? error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for the choices of a device")
                 : error_set(err, VKDLM_INTERNAL, "a device without a tuner cannot be measured");
    }
    pthread_mutex_lock(&t->lock);
    uint32_t n = all_keys(gpu_device_caps(device), t->choices, t->n, keys, TUNE_MAX_CHOICES);
    pthread_mutex_unlock(&t->lock);
    tune_budget endless = {seconds, NULL, INFINITY};
    for (uint32_t i = 0; i < n; i++) {
        const tune_table *table = tune_table_of(keys[i].group);
        char text[TUNE_TEXT];
        table->describe(keys[i], text);
        if (progress && !progress(user, table->name, text, i, n))
            break;
        tune_choice choice;
        pthread_mutex_lock(&t->measuring);
        measure(t, keys[i], &endless, &choice);
        pthread_mutex_unlock(&t->measuring);
    }
    free(keys);
    return VKDLM_OK;
}

/* ---- listing ---------------------------------------------------------------------------------------- */

static uint32_t list(const gpu_caps *caps, tune_choice *known, uint32_t n_known, tune_choice *choices,
                     uint32_t capacity)
{
    tune_key *keys = malloc(TUNE_MAX_CHOICES * sizeof *keys);
    uint32_t n = keys ? all_keys(caps, known, n_known, keys, TUNE_MAX_CHOICES) : 0;
    for (uint32_t i = 0; i < n && i < capacity; i++) {
        const tune_choice *found = find(known, n_known, keys[i]);
        if (found)
            choices[i] = *found;
        else
            by_features(caps, keys[i], &choices[i]);
    }
    free(keys);
    return n;
}

uint32_t tune_list(gpu_device *device, tune_choice *choices, uint32_t capacity)
{
    tuner *t = gpu_device_attached(device);
    if (!t)
        return list(gpu_device_caps(device), NULL, 0, choices, capacity);
    pthread_mutex_lock(&t->lock);
    uint32_t n = list(gpu_device_caps(device), t->choices, t->n, choices, capacity);
    pthread_mutex_unlock(&t->lock);
    return n;
}

uint32_t tune_list_file(const gpu_caps *caps, const char *path, tune_choice *choices, uint32_t capacity)
{
    tune_choice *known = path ? malloc(TUNE_MAX_CHOICES * sizeof *known) : NULL;
    uint32_t n_known = known ? tune_file_read(path, caps, known, TUNE_MAX_CHOICES) : 0;
    uint32_t n = list(caps, known, n_known, choices, capacity);
    free(known);
    return n;
}

/* Which variant of a kernel a device runs: measured, not guessed.
 *
 * A kernel group (matmul, the output layer, ...) has a table of variants. For a class of problems, its key,
 * those that the device can run are its candidates, in the order that the device's features suggest. A choice
 * is made when a key is first met, or ahead of time by tune_all:
 * - every candidate runs a small problem whose result is compared with a reference in double precision. One
 * that is wrong is never used again with this driver; neither is one whose pipeline cannot be made;
 * - of the right ones, those that give the bits of the first right one are timed in turn, and the fastest
 * wins (an earlier one unless a later is faster by TUNE_MARGIN). A choice therefore never changes results:
 * not the order in which keys are met, nor the machine's load, nor a lost cache. Keys of one group and type
 * (a row may be computed among few or among many) are held to the same bits. Choices are kept in a file
 * beside the pipeline cache (tune_file.h) and read when the device is opened.
 *
 * Time: a driver for CPUs needs up to seconds to compile one candidate. A key that is met while a model runs
 * is therefore measured only while the device's budget lasts; after that its first right candidate is taken,
 * and tune_all completes it.
 *
 * A device without a tuner (tune_attach) takes first candidates, unchecked.
 *
 * Thread rules: everything may be called from any thread; one key is measured at a time. */
#ifndef OPS_TUNE_H
#define OPS_TUNE_H

#include "gpu/gpu.h"

enum {
    TUNE_MAX_CANDIDATES = 16,
    TUNE_TEXT = 48,          /* bytes of a class's text */
    TUNE_MAX_KEYS = 128,     /* of a group, for tune_all */
    TUNE_MAX_CHOICES = 1024, /* of a device; keys that are met after so many are chosen by features */
};
/* What repeated timings of one candidate differ by. */
#define TUNE_MARGIN 0.03

enum tune_group { TUNE_MATMUL, TUNE_OUTPUT, TUNE_ATTENTION, TUNE_CACHED_ROWS, TUNE_N_GROUPS };

/* A class of problems: what type and size mean is the group's affair. */
typedef struct tune_key {
    enum tune_group group;
    uint32_t type, size;
} tune_key;

/* What is known of a candidate. */
enum tune_state {
    TUNE_UNTRIED,
    TUNE_RIGHT,      /* checked, not timed */
    TUNE_TIMED,      /* checked and timed */
    TUNE_OTHER_BITS, /* right, but it rounds differently from the first right one */
    TUNE_WRONG,      /* wrong numbers on this driver */
    TUNE_FAILED,     /* its pipeline could not be made or run */
    TUNE_N_STATES
};

typedef struct tune_candidate {
    const char *name; /* static text, unique in its choice */
    enum tune_state state;
    double us; /* of the timed problem, when TUNE_TIMED */
} tune_candidate;

typedef struct tune_choice {
    tune_key key;
    uint32_t n;
    tune_candidate candidates[TUNE_MAX_CANDIDATES];
    uint32_t chosen; /* of candidates; n when every one is wrong */
    bool measured;   /* every candidate has been tried; false: by the device's features */
    uint64_t bits;   /* a digest of what the first right candidate computed; 0: nothing was checked */
} tune_choice;

/* How one candidate of an open trial runs; `trial` is what open gave. */
typedef struct tune_trial {
    /* Runs the checked problem. *right: every number is within the bound of the reference (NaN is not).
     * *bits: a digest of the result, comparable among keys of one group and type. A status is a failure of
     * this candidate. */
    vkdlm_status (*check)(void *trial, uint32_t candidate, bool *right, uint64_t *bits, vkdlm_error *err);
    /* Runs the timed problem once or a few times; *us: one run. */
    vkdlm_status (*time)(void *trial, uint32_t candidate, double *us, vkdlm_error *err);
} tune_trial;

/* What a kernel group tells the tuner. */
typedef struct tune_table {
    const char *name; /* "matmul" */
    /* The class in words ("F16, 1 row"). */
    void (*describe)(tune_key key, char text[TUNE_TEXT]);
    /* Fills the names of the key's candidates and returns how many there are; 0 for a key that means nothing.
     */
    uint32_t (*list)(const gpu_caps *caps, tune_key key, const char *names[TUNE_MAX_CANDIDATES]);
    /* The keys that are measured ahead of time; at most TUNE_MAX_KEYS. */
    uint32_t (*keys)(const gpu_caps *caps, tune_key *keys);
    /* Makes the problems of a key on the device, in trial_bytes of zeroed memory of the tuner's. close
     * follows in any case, also what open left half made. */
    size_t trial_bytes;
    vkdlm_status (*open)(gpu_device *device, tune_key key, void *trial, vkdlm_error *err);
    void (*close)(void *trial);
    tune_trial trial;
} tune_table;

/* ---- the decision (tune_decide.c), without a device ------------------------------------------------ */

/* Seconds that may be spent on candidates past the first right one. */
typedef struct tune_budget {
    double (*now)(void *user); /* seconds */
    void *user;
    double left; /* decreases; infinite: no limit */
} tune_budget;

/* A choice of which nothing is known: the first candidate, not measured. */
void tune_choice_init(tune_choice *choice, tune_key key, const char *const *names, uint32_t n);

/* Tries candidates until the budget is spent and decides. anchor: bits that the result must have (0: those of
 * the first right one); when no right candidate has them, they are given up. What was known before is
 * forgotten. Without memory for a trial nothing is learned: OUT_OF_*. */
vkdlm_status tune_decide(tune_choice *choice, const tune_trial *trial, void *user, uint64_t anchor,
                         tune_budget *budget);

/* Sets chosen and measured from the states and times. */
void tune_settle(tune_choice *choice);

/* ---- of a device ------------------------------------------------------------------------------------- */

typedef struct tune_options {
    const char *path; /* of the file of choices; NULL: none */
    double budget;    /* seconds, for all keys that are met while models run */
} tune_options;

/* Gives the device a tuner, once, before it is shared; the device frees it. A file that is missing, damaged
 * or of another device, driver or build is ignored, and replaced when something is learned. Errors:
 * OUT_OF_HOST_MEMORY. */
vkdlm_status tune_attach(gpu_device *device, const tune_options *options, vkdlm_error *err);

/* The candidate (index in table->list) that a key takes; measures it when it was not met before. UNSUPPORTED
 * when every candidate is wrong on this driver. Nothing else fails: what cannot be measured is chosen by
 * features. */
vkdlm_status tune_choose(gpu_device *device, tune_key key, uint32_t *candidate, vkdlm_error *err);

/* Told before each key; false ends the measurement and keeps what was learned. */
typedef bool (*tune_progress)(void *user, const char *group, const char *text, uint32_t done, uint32_t total);

/* Measures every key of the tables, and every other that was met, anew. */
vkdlm_status tune_all(gpu_device *device, tune_progress progress, void *user, vkdlm_error *err);

/* Every choice known to the device, and those of all other keys of the tables by features; at most
 * `capacity`, those of a group together. Returns how many there are. */
uint32_t tune_list(gpu_device *device, tune_choice *choices, uint32_t capacity);
/* The same for a device that is not open, from the file at path (NULL: by features). */
uint32_t tune_list_file(const gpu_caps *caps, const char *path, tune_choice *choices, uint32_t capacity);

const tune_table *tune_table_of(enum tune_group group);

#endif

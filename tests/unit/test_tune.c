/* The tuner without a device: the decision with made-up times, and the file of choices. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "ops/matmul_select.h"
#include "ops/tune_file.h"

/* ---- a made-up group ------------------------------------------------------------------------------- */

enum { N = 4 };

typedef struct fake {
    bool wrong[N];
    vkdlm_status check_fails[N], time_fails[N];
    uint64_t bits[N];
    double us[N], check_seconds[N];
    /* What happened. */
    double clock;
    uint32_t n_checks[N], n_times[N], last_timed, out_of_turn;
} fake;

static const char *const names[N] = {"a", "b", "c", "d"};
static const tune_key some_key = {TUNE_MATMUL, 1, 2};

static fake all_right(void)
{
    return (fake){.bits = {7, 7, 7, 7}, .us = {40, 30, 20, 10}, .last_timed = N - 1};
}

static vkdlm_status fake_check(void *user, uint32_t i, bool *right, uint64_t *bits, vkdlm_error *err)
{
    fake *f = user;
    (void)err;
    f->n_checks[i]++;
    f->clock += f->check_seconds[i];
    *right = !f->wrong[i];
    *bits = f->bits[i];
    return f->check_fails[i];
}

/* Later rounds are slower: the best counts. */
static vkdlm_status fake_time(void *user, uint32_t i, double *us, vkdlm_error *err)
{
    fake *f = user;
    (void)err;
    f->out_of_turn += f->n_times[i] > 0 && i == f->last_timed;
    f->last_timed = i;
    *us = f->us[i] * (1 + 0.5 * f->n_times[i]++);
    return f->time_fails[i];
}

static double fake_now(void *user)
{
    return ((fake *)user)->clock;
}

static const tune_trial trial = {fake_check, fake_time};

static tune_choice decide(fake *f, uint64_t anchor, double seconds)
{
    tune_choice choice;
    tune_budget budget = {fake_now, f, seconds};
    tune_choice_init(&choice, some_key, names, N);
    assert_int_equal(tune_decide(&choice, &trial, f, anchor, &budget), VKDLM_OK);
    return choice;
}

/* ---- the decision -------------------------------------------------------------------------------------- */

static void test_fastest_wins(void **state)
{
    (void)state;
    fake f = all_right();
    tune_choice c = decide(&f, 0, INFINITY);
    assert_true(c.measured);
    assert_int_equal(c.chosen, 3);
    assert_int_equal(c.bits, 7);
    assert_int_equal(f.out_of_turn, 0);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(c.candidates[i].state, TUNE_TIMED);
        assert_true(c.candidates[i].us == f.us[i]);
        assert_int_equal(f.n_checks[i], 1);
        assert_true(f.n_times[i] >= 3);
    }
}

static void test_ties_go_to_the_earlier(void **state)
{
    (void)state;
    fake f = all_right();
    f.us[0] = 10 * (1 + 0.9 * TUNE_MARGIN);
    f.us[1] = f.us[2] = 11;
    assert_int_equal(decide(&f, 0, INFINITY).chosen, 0);
    f = all_right();
    f.us[0] = 10 * (1 + 2 * TUNE_MARGIN);
    assert_int_equal(decide(&f, 0, INFINITY).chosen, 3);
}

static void test_wrong_is_never_used(void **state)
{
    (void)state;
    fake f = all_right();
    f.wrong[3] = f.wrong[0] = true;
    f.check_fails[2] = VKDLM_UNSUPPORTED;
    tune_choice c = decide(&f, 0, INFINITY);
    assert_int_equal(c.chosen, 1);
    assert_true(c.measured);
    assert_int_equal(c.candidates[0].state, TUNE_WRONG);
    assert_int_equal(c.candidates[2].state, TUNE_FAILED);
    assert_int_equal(c.candidates[3].state, TUNE_WRONG);
    assert_int_equal(f.n_times[0] + f.n_times[2] + f.n_times[3], 0);

    f = all_right();
    for (uint32_t i = 0; i < N; i++)
        f.wrong[i] = true;
    c = decide(&f, 0, INFINITY);
    assert_int_equal(c.chosen, N);
}

static void test_a_failing_time_is_no_time(void **state)
{
    (void)state;
    fake f = all_right();
    f.time_fails[3] = VKDLM_DEVICE_LOST;
    f.us[2] = NAN;
    f.us[1] = 0;
    tune_choice c = decide(&f, 0, INFINITY);
    assert_int_equal(c.chosen, 0);
    for (uint32_t i = 1; i < N; i++)
        assert_int_equal(c.candidates[i].state, TUNE_FAILED);
}

static void test_results_keep_their_bits(void **state)
{
    (void)state;
    fake f = all_right();
    f.bits[3] = 8; /* the fastest */
    tune_choice c = decide(&f, 0, INFINITY);
    assert_int_equal(c.chosen, 2);
    assert_int_equal(c.candidates[3].state, TUNE_OTHER_BITS);
    assert_int_equal(f.n_times[3], 0);

    /* Another key of the type has them. */
    f = all_right();
    f.bits[3] = 8;
    c = decide(&f, 8, INFINITY);
    assert_int_equal(c.chosen, 3);
    assert_int_equal(c.bits, 8);
    assert_int_equal(c.candidates[0].state, TUNE_OTHER_BITS);

    /* Nothing has them. */
    f = all_right();
    c = decide(&f, 9, INFINITY);
    assert_int_equal(c.chosen, 3);
    assert_int_equal(c.bits, 7);

    /* What is wrong has no say. */
    f = all_right();
    f.wrong[0] = true;
    f.bits[0] = 8;
    c = decide(&f, 0, INFINITY);
    assert_int_equal(c.bits, 7);
    assert_int_equal(c.chosen, 3);
}

static void test_the_budget_bounds_what_is_tried(void **state)
{
    (void)state;
    /* Nothing is left: only the first is checked. */
    fake f = all_right();
    tune_choice c = decide(&f, 0, 0);
    assert_false(c.measured);
    assert_int_equal(c.chosen, 0);
    assert_int_equal(c.candidates[0].state, TUNE_RIGHT);
    assert_int_equal(c.candidates[1].state, TUNE_UNTRIED);
    assert_int_equal(f.n_checks[1], 0);

    /* A right one is looked for whatever it costs. */
    f = all_right();
    f.wrong[0] = f.wrong[1] = true;
    f.check_seconds[0] = f.check_seconds[1] = 100;
    c = decide(&f, 0, 0);
    assert_int_equal(c.chosen, 2);
    assert_int_equal(c.candidates[3].state, TUNE_UNTRIED);

    /* It ends in between: times of some say nothing of the others. */
    f = all_right();
    f.check_seconds[1] = 2;
    tune_budget budget = {fake_now, &f, 1};
    assert_int_equal(tune_decide(&c, &trial, &f, 0, &budget), VKDLM_OK);
    assert_false(c.measured);
    assert_int_equal(c.chosen, 0);
    assert_int_equal(c.candidates[1].state, TUNE_RIGHT);
    assert_int_equal(f.n_times[0], 0);
    assert_true(budget.left <= 0);

    /* The first one is not charged. */
    f = all_right();
    f.check_seconds[0] = 0.9;
    budget = (tune_budget){fake_now, &f, 1};
    assert_int_equal(tune_decide(&c, &trial, &f, 0, &budget), VKDLM_OK);
    assert_true(c.measured);
    assert_int_equal(c.chosen, 3);
    assert_true(budget.left == 1);

    /* Another one that is likely to take longer than is left is not begun. */
    f = all_right();
    f.check_seconds[0] = 1.1;
    assert_int_equal(tune_decide(&c, &trial, &f, 0, &budget), VKDLM_OK);
    assert_false(c.measured);
    assert_int_equal(f.n_checks[1], 0);
}

/* What takes twice as long as the best is not timed to the end. */
static void test_the_slow_are_given_up(void **state)
{
    (void)state;
    fake f = all_right();
    f.us[0] = 1000;
    tune_choice c = decide(&f, 0, INFINITY);
    assert_int_equal(c.candidates[0].state, TUNE_TIMED);
    assert_true(f.n_times[0] < f.n_times[3]);
}

static void test_without_memory_nothing_is_learned(void **state)
{
    (void)state;
    tune_choice c;
    for (int where = 0; where < 2; where++) {
        fake f = all_right();
        f.wrong[0] = true;
        (where ? f.time_fails : f.check_fails)[2] = VKDLM_OUT_OF_DEVICE_MEMORY;
        tune_budget budget = {fake_now, &f, INFINITY};
        tune_choice_init(&c, some_key, names, N);
        assert_int_equal(tune_decide(&c, &trial, &f, 0, &budget), VKDLM_OUT_OF_DEVICE_MEMORY);
        assert_int_equal(c.chosen, 0);
        assert_int_equal(c.bits, 0);
        assert_false(c.measured);
        for (uint32_t i = 0; i < N; i++)
            assert_int_equal(c.candidates[i].state, TUNE_UNTRIED);
    }
}

/* ---- the table of products ---------------------------------------------------------------------------- */

/* Whether a shape is among the candidates for so many rows. */
static bool is_candidate(const gpu_caps *caps, uint32_t n_rows, const char *name)
{
    const matmul_shape *shapes[TUNE_MAX_CANDIDATES];
    tune_key key = matmul_key(TUNE_MATMUL, VKDLM_DTYPE_F16, false, n_rows);
    uint32_t n = matmul_candidates(caps, key.size, false, shapes);
    assert_in_range(n, 1, TUNE_MAX_CANDIDATES);
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(shapes[i]->name, name) == 0)
            return true;
    return false;
}

/* A GPU whose pipelines may ask for 32 or 64 lanes has both; one without the choice has its own. */
static void test_subgroup_sizes_are_candidates(void **state)
{
    (void)state;
    gpu_caps caps = {.type = GPU_TYPE_DISCRETE,
                     .subgroup_size = 64,
                     .min_subgroup_size = 32,
                     .max_subgroup_size = 64,
                     .subgroup_shuffle = true,
                     .subgroup_size_control = true,
                     .max_shared_bytes = 32768,
                     .max_invocations = 1024};
    assert_true(is_candidate(&caps, 1, "subgroup 1"));
    assert_true(is_candidate(&caps, 1, "wave32 1"));
    assert_false(is_candidate(&caps, 1, "wave64 1")); /* its own */
    assert_true(is_candidate(&caps, 8, "wave32 8"));
    assert_true(is_candidate(&caps, 100, "shared 64"));
    caps.subgroup_size = 32;
    assert_true(is_candidate(&caps, 1, "wave64 1"));
    assert_false(is_candidate(&caps, 1, "wave32 1"));
    caps.subgroup_size_control = false;
    assert_false(is_candidate(&caps, 1, "wave64 1"));
    assert_true(is_candidate(&caps, 1, "subgroup 1"));
}

/* ---- the file ------------------------------------------------------------------------------------------ */

typedef struct place {
    char dir[64], path[128];
    gpu_caps caps;
} place;

static int place_setup(void **state)
{
    place *p = calloc(1, sizeof *p);
    snprintf(p->dir, sizeof p->dir, "/tmp/vkdlm-tune-XXXXXX");
    *state = p;
    if (!mkdtemp(p->dir))
        return -1;
    snprintf(p->path, sizeof p->path, "%s/kernels.json", p->dir);
    p->caps = (gpu_caps){.name = "a device",
                         .driver = "a driver 1.0",
                         .type = GPU_TYPE_CPU,
                         .subgroup_size = 8,
                         .subgroup_shuffle = true,
                         .texel_buffers = true,
                         .max_shared_bytes = 32768,
                         .max_invocations = 1024};
    return 0;
}

static int place_teardown(void **state)
{
    place *p = *state;
    unlink(p->path);
    rmdir(p->dir);
    free(p);
    return 0;
}

static tune_choice choice_of(const gpu_caps *caps, uint32_t n_rows)
{
    tune_choice c;
    const char *own[TUNE_MAX_CANDIDATES];
    tune_key key = matmul_key(TUNE_MATMUL, VKDLM_DTYPE_F16, false, n_rows);
    tune_choice_init(&c, key, own, tune_table_of(TUNE_MATMUL)->list(caps, key, own));
    assert_true(c.n >= 3);
    for (uint32_t i = 0; i < c.n; i++) {
        c.candidates[i].state = TUNE_TIMED;
        c.candidates[i].us = 100 - i;
    }
    c.candidates[0].state = TUNE_WRONG;
    c.candidates[1].us = 2.5;
    c.bits = 0xFEDCBA9876543210u;
    tune_settle(&c);
    return c;
}

static void test_round_trip(void **state)
{
    const place *p = *state;
    tune_choice out[2] = {choice_of(&p->caps, 1), choice_of(&p->caps, 100)}, in[4];
    assert_int_equal(tune_file_read(p->path, &p->caps, in, 4), 0);
    tune_file_write(p->path, &p->caps, out, 2);
    assert_int_equal(tune_file_read(p->path, &p->caps, in, 4), 2);
    assert_int_equal(tune_file_read(p->path, &p->caps, in, 1), 1);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(in[i].chosen, 1);
        assert_true(in[i].measured);
        assert_int_equal(in[i].bits, out[i].bits);
        assert_int_equal(in[i].n, out[i].n);
        assert_int_equal(in[i].key.size, out[i].key.size);
        assert_int_equal(in[i].candidates[0].state, TUNE_WRONG);
        assert_true(in[i].candidates[1].us == 2.5);
    }
    /* What another process has learned stays. */
    tune_choice third = choice_of(&p->caps, 2);
    tune_file_write(p->path, &p->caps, &third, 1);
    assert_int_equal(tune_file_read(p->path, &p->caps, in, 4), 3);
}

/* Of another device, driver, subgroup size or build, or of a future format. */
static void test_foreign_files_are_ignored(void **state)
{
    const place *p = *state;
    tune_choice out = choice_of(&p->caps, 1), in;
    tune_file_write(p->path, &p->caps, &out, 1);
    gpu_caps other = p->caps;
    strcpy(other.driver, "a driver 1.1");
    assert_int_equal(tune_file_read(p->path, &other, &in, 1), 0);
    other = p->caps;
    strcpy(other.name, "another");
    assert_int_equal(tune_file_read(p->path, &other, &in, 1), 0);
    other = p->caps;
    other.subgroup_size = 16;
    assert_int_equal(tune_file_read(p->path, &other, &in, 1), 0);
    other = p->caps;
    other.subgroup_shuffle = false;
    assert_int_equal(tune_file_read(p->path, &other, &in, 1), 0);
    /* The same device without what a variant needs: the lists differ. */
    other = p->caps;
    other.texel_buffers = false;
    assert_int_equal(tune_file_read(p->path, &other, &in, 1), 0);
    assert_int_equal(tune_file_read(p->path, &p->caps, &in, 1), 1);
    /* And they are replaced. */
    other = p->caps;
    other.subgroup_size = 16;
    tune_file_write(p->path, &other, &out, 0);
    assert_int_equal(tune_file_read(p->path, &p->caps, &in, 1), 0);
}

static void store(const char *path, const char *text, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Whatever a file says, what is taken from it can run and is not known to be wrong. */
static void assert_sound(const place *p)
{
    tune_choice in[4];
    uint32_t n = tune_file_read(p->path, &p->caps, in, 4);
    for (uint32_t i = 0; i < n; i++) {
        const char *own[TUNE_MAX_CANDIDATES];
        uint32_t n_own = tune_table_of(in[i].key.group)->list(&p->caps, in[i].key, own);
        assert_int_equal(in[i].n, n_own);
        assert_true(in[i].chosen <= in[i].n);
        for (uint32_t c = 0; c < n_own; c++)
            assert_string_equal(in[i].candidates[c].name, own[c]);
        if (in[i].chosen < in[i].n) {
            enum tune_state s = in[i].candidates[in[i].chosen].state;
            assert_true(s == TUNE_UNTRIED || s == TUNE_RIGHT || s == TUNE_TIMED);
        }
    }
}

static void test_damaged_files_are_ignored(void **state)
{
    const place *p = *state;
    tune_choice out[2] = {choice_of(&p->caps, 1), choice_of(&p->caps, 100)}, in[4];
    tune_file_write(p->path, &p->caps, out, 2);
    char *good, *bad;
    size_t n;
    assert_int_equal(file_read(p->path, 1 << 20, &good, &n, NULL), VKDLM_OK);
    bad = malloc(n + 1);
    assert_non_null(bad);
    static const char replacements[] = "\0\"9}x,";
    for (size_t at = 0; at < n; at += 3)
        for (size_t r = 0; r < sizeof replacements; r++) {
            memcpy(bad, good, n);
            bad[at] = replacements[r];
            store(p->path, bad, n);
            assert_sound(p);
        }
    for (size_t cut = 0; cut < n - 2; cut += 7) {
        store(p->path, good, cut);
        assert_int_equal(tune_file_read(p->path, &p->caps, in, 4), 0);
    }
    static const char *const texts[] = {"", "[]", "{}", "null", "{\"choices\": 3}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        store(p->path, texts[i], strlen(texts[i]));
        assert_int_equal(tune_file_read(p->path, &p->caps, in, 4), 0);
        /* It is replaced. */
        tune_file_write(p->path, &p->caps, out, 2);
        assert_int_equal(tune_file_read(p->path, &p->caps, in, 4), 2);
    }
    free(good);
    free(bad);
}

/* A state that no decision leaves a choice with, or a name of another shape. */
static void test_unusable_choices_are_dropped(void **state)
{
    const place *p = *state;
    tune_choice out = choice_of(&p->caps, 1), in[4];
    tune_file_write(p->path, &p->caps, &out, 1);
    char *good;
    size_t n;
    assert_int_equal(file_read(p->path, 1 << 20, &good, &n, NULL), VKDLM_OK);
    static const char *const changes[][2] = {
        {"\"format\": 1", "\"format\": 2"},
        {"\"state\": \"timed\"", "\"state\": \"fast!\""},
        {"\"us\": 2.5", "\"us\": -25"},
        {"\"group\": \"matmul\"", "\"group\": \"matmal\""},
        {"\"size\": 0", "\"size\": 9"},
        {"\"type\": 1", "\"type\": 7"},
        {"\"name\": \"plain", "\"name\": \"plane"},
        {"\"bits\": \"fed", "\"bits\": \"xed"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char *bad = strdup(good), *at = strstr(bad, changes[i][0]);
        if (!at)
            fail_msg("the file has no %s", changes[i][0]);
        memcpy(at, changes[i][1], strlen(changes[i][1]));
        store(p->path, bad, n);
        if (tune_file_read(p->path, &p->caps, in, 4) != 0)
            fail_msg("%s was accepted", changes[i][1]);
        free(bad);
    }
    /* "variant" and "measured" are for the reader: the wrong one is not taken because they say so. */
    char *bad = strdup(good), *at = strstr(bad, "\"variant\": \"");
    assert_non_null(at);
    memcpy(at + 12, out.candidates[0].name, 6);
    store(p->path, bad, n);
    assert_int_equal(tune_file_read(p->path, &p->caps, in, 4), 1);
    assert_int_equal(in[0].chosen, 1);
    free(bad);
    free(good);
}

/* Processes that write at the same time leave a file that can be read. */
static void test_processes_at_once(void **state)
{
    const place *p = *state;
    enum { PROCESSES = 6, WRITES = 20 };
    for (uint32_t i = 0; i < PROCESSES; i++)
        if (fork() == 0) {
            tune_choice out = choice_of(&p->caps, 1u << i);
            for (int w = 0; w < WRITES; w++)
                tune_file_write(p->path, &p->caps, &out, 1);
            _exit(0);
        }
    for (uint32_t i = 0; i < PROCESSES; i++) {
        int code;
        assert_true(wait(&code) > 0);
        assert_true(WIFEXITED(code) && WEXITSTATUS(code) == 0);
    }
    tune_choice in[8];
    assert_true(tune_file_read(p->path, &p->caps, in, 8) >= 1);
    assert_sound(p);
}

/* Places where no file can be are no errors. */
static void test_unusable_places(void **state)
{
    const place *p = *state;
    tune_choice out = choice_of(&p->caps, 1), in;
    static const char *const paths[] = {"/dev/null/x/kernels.json", "/dev/full", "/proc/kernels.json",
                                        "/tmp"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        tune_file_write(paths[i], &p->caps, &out, 1);
        assert_int_equal(tune_file_read(paths[i], &p->caps, &in, 1), 0);
    }
}

int main(void)
{
#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fastest_wins),
        cmocka_unit_test(test_ties_go_to_the_earlier),
        cmocka_unit_test(test_wrong_is_never_used),
        cmocka_unit_test(test_a_failing_time_is_no_time),
        cmocka_unit_test(test_results_keep_their_bits),
        cmocka_unit_test(test_the_budget_bounds_what_is_tried),
        cmocka_unit_test(test_the_slow_are_given_up),
        cmocka_unit_test(test_without_memory_nothing_is_learned),
        cmocka_unit_test(test_subgroup_sizes_are_candidates),
        FILE_TEST(test_round_trip),
        FILE_TEST(test_foreign_files_are_ignored),
        FILE_TEST(test_damaged_files_are_ignored),
        FILE_TEST(test_unusable_choices_are_dropped),
        FILE_TEST(test_processes_at_once),
        FILE_TEST(test_unusable_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

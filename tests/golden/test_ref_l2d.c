/* The scalar reference of the diffusion path against the authors' f32 run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "ref/ref_l2d.h"

/* What f32 and f64 differ by, as tests/golden/l2d/README.md gives it, and some room. */
#define BASE_LOGITS_TOLERANCE 5e-5
#define LOGITS_TOLERANCE      2e-4
#define CONDITION_TOLERANCE   1e-5
#define STATE_TOLERANCE       1e-5 /* relative to the largest value */
#define VOCABULARY_TOLERANCE  5e-6

typedef struct golden_case {
    ref_llm *base;
    ref_l2d *net;
    vkdlm_tensors *file;
    size_t n_prompts, n_tokens;
    ref_llm_cache caches[2];
    double *logits; /* [V] */
} golden_case;

static golden_case open_case(const char *folder)
{
    golden_case c = {.base = ref_llm_open(folder)};
    char path[512];
    assert_non_null(c.base);
    c.net = ref_l2d_open(folder, c.base);
    assert_non_null(c.net);
    snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    c.file = golden_open(path);
    c.n_prompts = golden_extent(c.file, "prompt", 0);
    c.n_tokens = golden_extent(c.file, "prompt", 1);
    assert_int_equal(c.n_prompts, 2);
    c.logits = calloc(c.base->vocab_size, sizeof *c.logits);
    assert_non_null(c.logits);
    return c;
}

static void close_case(golden_case *c)
{
    for (size_t i = 0; i < 2; i++)
        ref_llm_cache_destroy(&c->caches[i]);
    free(c->logits);
    vkdlm_tensors_close(c->file);
    ref_l2d_close(c->net);
    ref_llm_close(c->base);
}

static const char *join(char name[64], const char *prefix, const char *part)
{
    snprintf(name, 64, "%s.%s", prefix, part);
    return name;
}

static double scalar(const vkdlm_tensors *file, const char *prefix, const char *part)
{
    char name[64];
    double *p = golden_doubles(file, join(name, prefix, part), 1), value = *p;
    free(p);
    return value;
}

static int32_t integer(const vkdlm_tensors *file, const char *prefix, const char *part)
{
    char name[64];
    int32_t *p = golden_ints(file, join(name, prefix, part), 1), value = *p;
    free(p);
    return value;
}

static void check(const golden_case *c, const char *prefix, const char *part, const double *found, size_t n,
                  double tolerance, bool absolute)
{
    char name[64];
    double *expected = golden_doubles(c->file, join(name, prefix, part), n);
    golden_check_close(name, found, expected, n, tolerance, absolute);
    free(expected);
}

/* Fills the caches. */
static void check_base(golden_case *c)
{
    size_t n = c->n_tokens, vocab = c->base->vocab_size, dim = c->base->dim;
    int32_t *prompt = golden_ints(c->file, "prompt", c->n_prompts * n);
    double *logits = calloc(c->n_prompts * n * vocab, sizeof *logits);
    double *states = calloc(c->n_prompts * n * dim, sizeof *states);
    assert_true(logits && states);
    for (size_t i = 0; i < c->n_prompts; i++) {
        c->caches[i] = ref_llm_cache_create(c->base, (uint32_t)n);
        ref_llm_forward(c->base, &c->caches[i], prompt + i * n, (uint32_t)n, NULL, logits + i * n * vocab);
        memcpy(states + i * n * dim, c->caches[i].states, n * dim * sizeof *states);
    }
    check(c, "base", "logits", logits, c->n_prompts * n * vocab, BASE_LOGITS_TOLERANCE, true);
    check(c, "base", "hidden", states, c->n_prompts * n * dim, STATE_TOLERANCE, false);
    free(states);
    free(logits);
    free(prompt);
}

static void check_vocabulary(const golden_case *c)
{
    size_t vocab = c->base->vocab_size, n = c->net->n;
    double *rows = calloc(vocab * n, sizeof *rows);
    assert_non_null(rows);
    for (size_t i = 0; i < vocab; i++)
        ref_l2d_vocabulary(c->net, (int32_t)i, rows + i * n);
    check(c, "vocab", "V_y", rows, vocab * n, VOCABULARY_TOLERANCE, true);
    free(rows);
}

static void check_evaluation(const golden_case *c, unsigned index)
{
    char prefix[32], name[64];
    snprintf(prefix, sizeof prefix, "eval.%u", index);
    size_t dim = c->base->dim, n_layers = c->base->n_layers, cond = c->net->cond_dim;
    double t = scalar(c->file, prefix, "t");
    int32_t class_id = integer(c->file, prefix, "class"), row = integer(c->file, prefix, "row");
    double *x = golden_doubles(c->file, join(name, prefix, "x"), c->net->n);
    double *y = calloc((n_layers + 1) * dim, sizeof *y), *gain = calloc(dim, sizeof *gain);
    double *emb = calloc(cond, sizeof *emb);
    assert_true(y && gain && emb && row >= 0 && (size_t)row < c->n_prompts);

    ref_l2d_condition(c->net, t, class_id, emb);
    check(c, prefix, "emb", emb, cond, CONDITION_TOLERANCE, true);
    ref_l2d_condition(c->net, 0, class_id, emb);
    check(c, prefix, "emb0", emb, cond, CONDITION_TOLERANCE, true);
    ref_l2d_gain(c->net, t, class_id, gain);
    check(c, prefix, "wd", gain, dim, CONDITION_TOLERANCE, true);
    ref_l2d_evaluate(c->net, &c->caches[row], (uint32_t)c->n_tokens - 1, x, t, class_id, y, c->logits);
    check(c, prefix, "y.in", y, dim, STATE_TOLERANCE, false);
    for (size_t i = 0; i < n_layers; i++) {
        char part[24];
        snprintf(part, sizeof part, "y.%zu", i);
        check(c, prefix, part, y + (i + 1) * dim, dim, STATE_TOLERANCE, false);
    }
    check(c, prefix, "logits", c->logits, c->base->vocab_size, LOGITS_TOLERANCE, true);
    free(emb);
    free(gain);
    free(y);
    free(x);
}

/* (x_hat - x) / (1 - t) and / (1 - t)^2. */
static void check_velocity(const golden_case *c, unsigned index)
{
    char prefix[32], name[64];
    snprintf(prefix, sizeof prefix, "velocity.%u", index);
    size_t n = c->net->n;
    double t = scalar(c->file, prefix, "t");
    int32_t row = integer(c->file, prefix, "row");
    double *x = golden_doubles(c->file, join(name, prefix, "x"), n), *v = calloc(n, sizeof *v);
    assert_non_null(v);
    ref_l2d_evaluate(c->net, &c->caches[row], (uint32_t)c->n_tokens - 1, x, t, -1, NULL, c->logits);
    uint32_t token = ref_l2d_argmax(c->logits, c->base->vocab_size, NULL);
    assert_int_equal(token, integer(c->file, prefix, "xhat_id"));
    ref_l2d_vocabulary(c->net, (int32_t)token, v);
    for (size_t i = 0; i < n; i++)
        v[i] = (v[i] - x[i]) / (1 - t);
    check(c, prefix, "constant", v, n, 1e-6, false);
    for (size_t i = 0; i < n; i++)
        v[i] /= 1 - t;
    check(c, prefix, "edm", v, n, 1e-6, false);
    free(v);
    free(x);
}

static void check_euler(const golden_case *c, unsigned steps)
{
    char prefix[40], name[64];
    snprintf(prefix, sizeof prefix, "solve.euler.steps%u", steps);
    double *x = golden_doubles(c->file, join(name, prefix, "x0"), c->net->n);
    double lead = ref_l2d_euler(c->net, &c->caches[integer(c->file, prefix, "row")],
                                (uint32_t)c->n_tokens - 1, steps, -1, x, c->logits);
    assert_true(lead > 0);
    check(c, prefix, "x1", x, c->net->n, 1e-4, true);
    check(c, prefix, "logits", c->logits, c->base->vocab_size, LOGITS_TOLERANCE, true);
    free(x);
}

static void check_folder(void **state)
{
    golden_case c = open_case(*state);
    check_base(&c);
    check_vocabulary(&c);
    for (unsigned i = 0; i < 10; i++)
        check_evaluation(&c, i);
    for (unsigned i = 0; i < 3; i++)
        check_velocity(&c, i);
    const unsigned steps[] = {2, 3, 5, 8};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        check_euler(&c, steps[i]);
    close_case(&c);
}

#define FOLDER_TEST(folder)                                                                                 \
    {                                                                                                       \
        .name = folder, .test_func = check_folder, .initial_state = (void *)TESTS_DIR "/golden/l2d/" folder \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST("llama-lora"),
        FOLDER_TEST("llama-full"),
        FOLDER_TEST("qwen2-lora-cfg"),
        FOLDER_TEST("qwen2-full"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

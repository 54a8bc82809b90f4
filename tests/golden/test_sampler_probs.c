/* One step of each sampler: the law of the next value of every position, from the step probabilities of
 * sample/schedule.h and the reference network's x_theta, against the weights of the authors' categorical
 * draw. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden.h"
#include "ref/ref_denoiser.h"
#include "sample/schedule.h"

static bool parse_schedule(const char *text, size_t n, vkdlm_schedule *out)
{
    for (int kind = 0; kind < VKDLM_SCHEDULE_COUNT; kind++) {
        const char *name = vkdlm_schedule_name((vkdlm_schedule)kind);
        *out = (vkdlm_schedule)kind;
        if (strlen(name) == n && strncmp(name, text, n) == 0)
            return true;
    }
    return false;
}

/* Writes the law of one position, [vocab_size]. unmask: the probability that a masked one takes a token. */
static void position_law(const ref_mdlm *net, int32_t token, const double *logits, double unmask,
                         ref_token_law *law, double *out)
{
    int32_t mask = (int32_t)net->vocab_size - 1;
    ref_token_law_compute(law, logits, mask, 1, 0, 1);
    for (uint32_t v = 0; v < net->vocab_size; v++)
        out[v] = token == mask ? unmask * exp(law->log_probs[v]) : (int32_t)v == token;
    if (token == mask)
        out[mask] = 1 - unmask;
}

/* name: SAMPLER.SCHEDULE.K */
static void check_step(const ref_mdlm *net, const vkdlm_tensors *file, const char *name)
{
    const char *first = strchr(name, '.'), *last = strrchr(name, '.');
    vkdlm_schedule kind = VKDLM_SCHEDULE_COUNT;
    schedule noise;
    assert_true(first && last > first && parse_schedule(first + 1, (size_t)(last - first - 1), &kind));
    assert_int_equal(schedule_init(&noise, &(vkdlm_noise){.schedule = kind}, NULL), VKDLM_OK);

    char key[96];
    size_t n_sequences = golden_extent(file, "tokens", 0), n = golden_extent(file, "tokens", 1);
    size_t vocab = net->vocab_size, cells = n * vocab;
    int32_t *tokens = golden_ints(file, "tokens", n_sequences * n);
    snprintf(key, sizeof key, "%s.probs", name);
    double *expected = golden_doubles(file, key, n_sequences * cells);
    snprintf(key, sizeof key, "%s.t", name);
    double *times = golden_doubles(file, key, n_sequences);
    double *dt = NULL;
    if (strncmp(name, "denoiser", 8) != 0) {
        snprintf(key, sizeof key, "%s.dt", name);
        dt = golden_doubles(file, key, 1);
    }
    double *logits = malloc(cells * sizeof *logits), *found = malloc(cells * sizeof *found);
    ref_token_law law = {.vocab_size = net->vocab_size,
                         .kept = malloc(vocab * sizeof *law.kept),
                         .log_probs = malloc(vocab * sizeof *law.log_probs)};
    assert_true(logits && found && law.kept && law.log_probs);

    for (size_t i = 0; i < n_sequences; i++) {
        double unmask = dt ? schedule_unmask(&noise, times[i], times[i] - dt[0]) : 1;
        ref_mdlm_forward(net, tokens + i * n, (uint32_t)n, schedule_sigma(&noise, times[i]), NULL, logits);
        for (size_t l = 0; l < n; l++)
            position_law(net, tokens[i * n + l], logits + l * vocab, unmask, &law, found + l * vocab);
        golden_check_close(name, found, expected + i * cells, cells, 1e-5, true);
    }
    free(law.log_probs);
    free(law.kept);
    free(found);
    free(logits);
    free(dt);
    free(times);
    free(expected);
    free(tokens);
}

/* Every tensor of the file that ends in .probs; their number must be `expected`. */
static void check_file(const char *dir, size_t expected)
{
    char path[512];
    snprintf(path, sizeof path, "%s/expected.safetensors", dir);
    vkdlm_tensors *file = golden_open(path);
    ref_mdlm *net = ref_mdlm_open(dir);
    assert_non_null(net);
    size_t n_checked = 0;
    for (size_t i = 0; i < vkdlm_tensors_count(file); i++) {
        const char *name = vkdlm_tensors_at(file, i)->name;
        size_t n = strlen(name);
        char base[64];
        if (n < 6 || n > sizeof base || strcmp(name + n - 6, ".probs") != 0)
            continue;
        snprintf(base, sizeof base, "%.*s", (int)(n - 6), name);
        check_step(net, file, base);
        n_checked++;
    }
    assert_int_equal(n_checked, expected);
    ref_mdlm_close(net);
    vkdlm_tensors_close(file);
}

static void conditioned(void **state)
{
    (void)state;
    check_file(GOLDEN_MDLM("tc"), 10);
}

static void unconditioned(void **state)
{
    (void)state;
    check_file(GOLDEN_MDLM("notc"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditioned),
        cmocka_unit_test(unconditioned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

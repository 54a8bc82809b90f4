/* The samplers' laws on a device, through the public API. Drivers that run on a CPU need seconds a case, so a
 * few cases stand for all: each way a token is drawn, each kind of canvas. VKDLM_TEST_ALL_LAWS=1 runs every
 * case, as on the reference network; that all of them draw the reference's tokens is tested by
 * test_samplers_device. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_test.h"
#include "environment.h"
#include "golden/golden.h"
#include "golden/law.h"

enum { N_SAMPLES = 100000, N_SAMPLES_QUICK = 6000, SEED = 20240607 };

static vkdlm_status generate(void *self, const vkdlm_generate_options *options, vkdlm_generate_stats *stats,
                             vkdlm_error *err)
{
    return vkdlm_generate(self, options, stats, err);
}

/* few ends with NULL. */
static bool selected(const law_case *c, const char *const *few)
{
    for (size_t i = 0; few[i]; i++)
        if (strcmp(few[i], c->tensor) == 0)
            return true;
    return environment_is_set("VKDLM_TEST_ALL_LAWS");
}

static void check_model(engine_test *engine, const char *dir, const char *const *few)
{
    char path[512];
    engine_test_model(engine, dir);
    vkdlm_model_info info;
    vkdlm_model_get_info(engine->model, &info);
    law_source source = {
        .generate = generate, .self = engine->session, .mask_id = info.mask_id, .length = info.length};
    snprintf(path, sizeof path, "%s/expected.safetensors", dir);
    vkdlm_tensors *golden = golden_open(path);
    for (size_t i = 0; i < n_law_cases; i++)
        if (selected(&law_cases[i], few))
            law_check(&source, &law_cases[i], golden, environment_is_quick() ? N_SAMPLES_QUICK : N_SAMPLES,
                      SEED + i);
    vkdlm_tensors_close(golden);
    engine_test_close_model(engine);
}

static void laws(void **state)
{
    static const char *const few[] = {"ddpm_cache.T4.loglinear", "ddpm.T3.loglinear.end0.25",
                                      "semi_ar.T4.S1.K1", NULL};
    check_model(*state, GOLDEN_MDLM("tiny"), few);
}

static void conditioned_laws(void **state)
{
    static const char *const few[] = {"ddpm_cache.T4.loglinear", "first_hitting", NULL};
    check_model(*state, GOLDEN_MDLM("tiny-tc"), few);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(laws),
        cmocka_unit_test(conditioned_laws),
    };
    return cmocka_run_group_tests(tests, engine_test_setup, engine_test_teardown);
}

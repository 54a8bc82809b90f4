/* Options of runs as JSON: what is written is read back, for every choice; anything else is refused in one
 * sentence. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include <vkdlm/trajectory.h>

static void has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("expected '%s' in %s", part, text);
}

static void has_not(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("expected no '%s' in %s", part, text);
}

/* Writes, reads, and writes again; returns the text. */
static char *masked_there_and_back(const vkdlm_generate_options *options, vkdlm_generate_options *out)
{
    vkdlm_error err = {0};
    char *text = vkdlm_generate_options_write(options);
    assert_non_null(text);
    memset(out, 0xFF, sizeof *out);
    if (vkdlm_generate_options_read(text, out, &err))
        fail_msg("%s", err.message);
    char *again = vkdlm_generate_options_write(out);
    assert_string_equal(text, again);
    free(again);
    return text;
}

static void test_masked_defaults(void **state)
{
    (void)state;
    const vkdlm_generate_options zero = {0};
    vkdlm_generate_options o;
    char *text = masked_there_and_back(&zero, &o);
    assert_string_equal(
        text,
        "{\"sampler\":\"ddpm-cache\",\"steps\":64,\"schedule\":\"loglinear\",\"end_time\":1e-5,"
        "\"final_denoise\":true,\"stride\":0,\"strides\":0,\"temperature\":1.0,\"top_k\":0,\"top_p\":1.0,"
        "\"first_sample\":0,\"first_step\":0,\"candidates\":0,\"evaluate_all\":false,\"schedule_eps\":0."
        "001}");
    assert_true(o.steps == 64 && o.end_time == 1e-5 && o.noise.eps == 1e-3 && o.temperature == 1);
    assert_true(!o.no_final_denoise && !o.canvases && !o.on_step && !o.user && o.seed == 0);
    free(text);
}

static void test_masked_choices(void **state)
{
    (void)state;
    for (int sampler = 0; sampler < VKDLM_SAMPLER_COUNT; sampler++)
        for (int schedule = 0; schedule < VKDLM_SCHEDULE_COUNT; schedule++) {
            bool hitting = sampler == VKDLM_SAMPLER_FIRST_HITTING;
            bool sigma = schedule == VKDLM_SCHEDULE_LINEAR || schedule == VKDLM_SCHEDULE_GEOMETRIC;
            const vkdlm_generate_options options = {.sampler = (vkdlm_sampler)sampler,
                                                    .steps = hitting ? 0 : 4294967295u,
                                                    .noise = {.schedule = (vkdlm_schedule)schedule,
                                                              .eps = sigma ? 0 : 1.0 / 3,
                                                              .sigma_min = sigma ? 0.1 + 1e-17 : 0,
                                                              .sigma_max = sigma ? M_PI : 0},
                                                    .end_time = hitting ? 0 : M_E / 7,
                                                    .no_final_denoise = !hitting,
                                                    .temperature = 2.0 / 3,
                                                    .top_k = 17,
                                                    .top_p = 0.1 * 3,
                                                    .first_sample = 1u << 31,
                                                    .first_step = 5,
                                                    .first_time = hitting ? 1 / 7.0 : 0,
                                                    .n_candidates = 8,
                                                    .evaluate_all = true};
            vkdlm_generate_options o;
            char *text = masked_there_and_back(&options, &o);
            assert_true(o.sampler == options.sampler && o.steps == options.steps);
            assert_true(o.noise.schedule == options.noise.schedule && o.noise.eps == options.noise.eps &&
                        o.noise.sigma_min == options.noise.sigma_min &&
                        o.noise.sigma_max == options.noise.sigma_max);
            assert_true(o.end_time == options.end_time && o.no_final_denoise == options.no_final_denoise);
            assert_true(o.temperature == options.temperature && o.top_k == 17 && o.top_p == options.top_p);
            assert_true(o.first_sample == options.first_sample && o.first_step == 5 &&
                        o.first_time == options.first_time);
            assert_true(o.n_candidates == 8 && o.evaluate_all);
            free(text);
        }
    const vkdlm_generate_options staged = {
        .stride = 3, .strides = 4, .noise.schedule = VKDLM_SCHEDULE_LINEAR};
    vkdlm_generate_options o;
    char *text = masked_there_and_back(&staged, &o);
    assert_true(o.stride == 3 && o.strides == 4 && o.end_time == 0);
    assert_true(o.noise.sigma_min == 0 && o.noise.sigma_max == 10 && o.noise.eps == 0);
    free(text);
}

static const vkdlm_flow_info model = {.present = true,
                                      .dim = 3,
                                      .steps = 6,
                                      .solver = VKDLM_SOLVER_HEUN2,
                                      .estimate = VKDLM_ESTIMATE_AVERAGE,
                                      .velocity = VKDLM_VELOCITY_EDM,
                                      .temperature = "0.25",
                                      .rtol = 1e-3,
                                      .atol = 1e-4,
                                      .end_time = 0.75};

static char *flow_there_and_back(const vkdlm_complete_options *options, const vkdlm_flow_info *info,
                                 vkdlm_complete_options *out, char *temperature)
{
    vkdlm_error err = {0};
    char *text = vkdlm_complete_options_write(options, info);
    assert_non_null(text);
    memset(out, 0xFF, sizeof *out);
    memset(temperature, 0xFF, VKDLM_TEMPERATURE_BYTES);
    if (vkdlm_complete_options_read(text, out, temperature, &err))
        fail_msg("%s", err.message);
    /* Of another model, whose defaults do not matter any more. */
    const vkdlm_flow_info other = {.present = info->present, .dim = 3, .steps = 99};
    char *again = vkdlm_complete_options_write(out, &other);
    assert_string_equal(text, again);
    free(again);
    return text;
}

static void test_flow_defaults(void **state)
{
    (void)state;
    const vkdlm_complete_options zero = {0};
    char temperature[VKDLM_TEMPERATURE_BYTES];
    vkdlm_complete_options o;
    char *text = flow_there_and_back(&zero, &model, &o, temperature);
    assert_string_equal(
        text,
        "{\"max_tokens\":0,\"ignore_end\":false,\"greedy\":false,\"temperature\":1.0,\"top_k\":0,\"top_p\":1."
        "0,"
        "\"first_sample\":0,\"first_token\":0,\"candidates\":0,\"base_alone\":false,\"kv_type\":\"f32\","
        "\"solver\":\"heun2\",\"steps\":6,\"end_time\":0.75,\"velocity\":\"edm\",\"estimate\":\"average\","
        "\"budget\":\"all\",\"budget_threshold\":0.0,\"xhat_temperature\":\"0.25\",\"noise_given\":false}");
    assert_true(o.flow.solver == VKDLM_SOLVER_HEUN2 && o.flow.steps == 6 && o.flow.end_time == 0.75 &&
                o.flow.velocity == VKDLM_VELOCITY_EDM && o.flow.estimate == VKDLM_ESTIMATE_AVERAGE);
    assert_true(o.flow.temperature == temperature && o.flow.rtol == 0 && !o.flow.has_class &&
                !o.flow.has_guidance);
    free(text);

    /* A model that names nothing. */
    const vkdlm_flow_info nothing = {.present = true, .dim = 3};
    text = flow_there_and_back(&zero, &nothing, &o, temperature);
    assert_true(o.flow.solver == VKDLM_SOLVER_MIDPOINT && o.flow.steps == 8 && o.flow.end_time == 1 &&
                o.flow.velocity == VKDLM_VELOCITY_CONSTANT && o.flow.estimate == VKDLM_ESTIMATE_SAMPLE);
    assert_string_equal(temperature, "0");
    free(text);

    /* One without a path takes none of its options. */
    const vkdlm_flow_info none = {0};
    text = flow_there_and_back(&zero, &none, &o, temperature);
    has(text, "\"base_alone\":true");
    has_not(text, "solver");
    const vkdlm_flow_options off = {.off = true};
    assert_memory_equal(&o.flow, &off, sizeof off);
    free(text);
}

static void test_flow_choices(void **state)
{
    (void)state;
    char temperature[VKDLM_TEMPERATURE_BYTES];
    vkdlm_complete_options o;
    for (int solver = 1; solver < VKDLM_SOLVER_COUNT; solver++)
        for (int budget = 0; budget < VKDLM_BUDGET_COUNT; budget++) {
            bool adaptive = vkdlm_solver_is_adaptive((vkdlm_solver)solver);
            const vkdlm_complete_options options = {.max_tokens = 33,
                                                    .ignore_end = true,
                                                    .greedy = budget == 1,
                                                    .temperature = budget == 1 ? 0 : 0.7,
                                                    .top_k = 5,
                                                    .top_p = 0.9,
                                                    .first_sample = 3,
                                                    .first_token = 12,
                                                    .cache_f16 = budget == 2,
                                                    .flow = {.steps = 7,
                                                             .solver = (vkdlm_solver)solver,
                                                             .rtol = adaptive ? 1.0 / 3 : 0,
                                                             .atol = adaptive ? 1e-7 : 0,
                                                             .max_evaluations = adaptive ? 55 : 0,
                                                             .first_step = adaptive ? -1 : 0,
                                                             .end_time = 0.875,
                                                             .velocity = VKDLM_VELOCITY_CONSTANT,
                                                             .estimate = VKDLM_ESTIMATE_SAMPLE,
                                                             .temperature = "polynomial_2_0.5",
                                                             .has_class = budget > 0,
                                                             .class_id = budget > 0 ? 4294967295u : 0,
                                                             .has_guidance = budget > 1,
                                                             .guidance = budget > 1 ? -1.5 : 0,
                                                             .budget = (vkdlm_budget)budget,
                                                             .budget_threshold = budget ? 0.3 : 0},
                                                    .n_candidates = 4};
            char *text = flow_there_and_back(&options, &model, &o, temperature);
            const vkdlm_flow_options *a = &o.flow, *b = &options.flow;
            assert_true(o.max_tokens == 33 && o.ignore_end && o.greedy == options.greedy &&
                        o.temperature == options.temperature && o.top_k == 5 && o.top_p == 0.9);
            assert_true(o.first_sample == 3 && o.first_token == 12 && o.cache_f16 == options.cache_f16 &&
                        o.n_candidates == 4);
            assert_true(!a->off && a->steps == 7 && a->solver == b->solver && a->rtol == b->rtol &&
                        a->atol == b->atol && a->max_evaluations == b->max_evaluations &&
                        a->first_step == b->first_step && a->end_time == 0.875);
            assert_true(a->velocity == b->velocity && a->estimate == b->estimate);
            assert_string_equal(a->temperature, "polynomial_2_0.5");
            assert_true(a->has_class == b->has_class && a->class_id == b->class_id &&
                        a->has_guidance == b->has_guidance && a->guidance == b->guidance);
            assert_true(a->budget == b->budget && a->budget_threshold == b->budget_threshold && !a->noise);
            free(text);
        }
    const float noise[3] = {0};
    const vkdlm_complete_options given = {.flow = {.noise = noise, .noise_tokens = 1, .noise_rows = 1}};
    char *text = vkdlm_complete_options_write(&given, &model);
    has(text, "\"noise_given\":true");
    free(text);
}

/* What no run accepts can be written; it is the run that says so. */
static void test_strange(void **state)
{
    (void)state;
    const vkdlm_generate_options masked = {
        .temperature = NAN, .end_time = INFINITY, .sampler = (vkdlm_sampler)77};
    char *text = vkdlm_generate_options_write(&masked);
    has(text, "\"temperature\":null");
    has(text, "\"end_time\":null");
    vkdlm_generate_options o;
    vkdlm_error err;
    assert_int_equal(vkdlm_generate_options_read(text, &o, &err), VKDLM_MALFORMED);
    has(err.message, "found \"unknown\"");
    free(text);
}

static void refuse_masked(const char *json, const char *expected)
{
    const vkdlm_generate_options zero = {0};
    vkdlm_generate_options o;
    vkdlm_error err = {0};
    memset(&o, 0xFF, sizeof o);
    vkdlm_status status = vkdlm_generate_options_read(json, &o, &err);
    if (status != VKDLM_MALFORMED || !strstr(err.message, expected) || strchr(err.message, '\n'))
        fail_msg("%.60s: expected '%s', found %d with '%s'", json ? json : "NULL", expected, (int)status,
                 err.message);
    assert_memory_equal(&o, &zero, sizeof o);
}

static void refuse_flow(const char *json, const char *expected)
{
    const vkdlm_complete_options zero = {0};
    char temperature[VKDLM_TEMPERATURE_BYTES];
    vkdlm_complete_options o;
    vkdlm_error err = {0};
    memset(&o, 0xFF, sizeof o);
    vkdlm_status status = vkdlm_complete_options_read(json, &o, temperature, &err);
    if (status != VKDLM_MALFORMED || !strstr(err.message, expected) || strchr(err.message, '\n'))
        fail_msg("%.60s: expected '%s', found %d with '%s'", json ? json : "NULL", expected, (int)status,
                 err.message);
    assert_memory_equal(&o, &zero, sizeof o);
}

static void test_hostile(void **state)
{
    (void)state;
    static const struct {
        const char *json, *expected;
    } both[] = {
        {NULL, "'options': expected JSON, found nothing"},
        {"", "'options': expected JSON"},
        {"[]", "'options': expected a JSON object, found an array"},
        {"7", "'options': expected JSON"},
        {"{\"steps\":8", "'options': expected JSON"},
        {"{\"steps\":8,\"steps\":9}", "'options': expected JSON"},
        {"{\"steps\":8}x", "'options': expected JSON"},
        {"{\"steps\":8,\"a\xff\":9}", "'options': expected JSON"},
        {"{\"steps\":\"8\"}", "'options': steps: expected an integer from 0 to 4294967295, found \"8\""},
        {"{\"steps\":8.0}", "'options': steps: expected an integer from 0 to 4294967295, found 8.0"},
        {"{\"steps\":-1}", "found -1"},
        {"{\"steps\":4294967296}", "found 4294967296"},
        {"{\"steps\":99999999999999999999}", "'options': expected JSON"},
        {"{\"first_sample\":-1}",
         "'options': first_sample: expected an integer from 0 to 9223372036854775807"},
        {"{\"end_time\":1e999}", "'options': expected JSON"},
        {"{\"end_time\":\"\"}", "'options': end_time: expected a number"},
        {"{\"end_time\":[0]}",
         "end_time: expected a number from -1.79769e+308 to 1.79769e+308, found an array"},
        {"{\"temperature\":{}}", "'options': temperature: expected a number"},
        {"{\"top_k\":true}", "'options': top_k: expected an integer from 0 to 4294967295, found true"},
        {"{\"candidates\":1e3}", "'options': candidates: expected an integer"},
    };
    for (size_t i = 0; i < sizeof both / sizeof *both; i++) {
        refuse_masked(both[i].json, both[i].expected);
        refuse_flow(both[i].json, both[i].expected);
    }
    refuse_masked("{\"sampler\":\"DDPM\"}",
                  "'options': sampler: expected ddpm-cache, ddpm, analytic or first-hitting, found \"DDPM\"");
    refuse_masked("{\"sampler\":1}", "'options': sampler: expected ddpm-cache");
    refuse_masked("{\"schedule\":\"\"}", "'options': schedule: expected loglinear, cosine");
    refuse_masked("{\"final_denoise\":1}", "'options': final_denoise: expected true or false, found 1");
    refuse_masked("{\"first_time\":\"1\"}", "'options': first_time: expected a number");
    refuse_flow("{\"solver\":\"\"}",
                "'options': solver: expected euler, midpoint, heun2, heun3, rk4, dopri5, bosh3, "
                "fehlberg2, adaptive_heun or dopri8, found \"\"");
    refuse_flow("{\"velocity\":\"edn\"}", "'options': velocity: expected constant or edm, found \"edn\"");
    refuse_flow("{\"estimate\":false}", "'options': estimate: expected sample or average, found false");
    refuse_flow("{\"budget\":\"off\"}",
                "'options': budget: expected all, entropy or confidence, found \"off\"");
    refuse_flow("{\"kv_type\":\"f8\"}", "'options': kv_type: expected f32 or f16, found \"f8\"");
    refuse_flow("{\"kv_type\":16}", "'options': kv_type: expected a string, found 16");
    refuse_flow("{\"class\":-1}", "'options': class: expected an integer");
    refuse_flow("{\"guidance\":\"2\"}", "'options': guidance: expected a number");
    refuse_flow("{\"xhat_temperature\":0.5}", "'options': xhat_temperature: expected a string, found 0.5");
    refuse_flow("{\"xhat_temperature\":\"0123456789012345678901234567890123456789012345678901234567890123\"}",
                "'options': xhat_temperature: expected less than 64 bytes, found");
    refuse_flow("{\"xhat_temperature\":\"a\\u0000b\"}", "'options': expected JSON");

    char *deep = malloc(200001);
    assert_non_null(deep);
    memset(deep, '[', 200000);
    memcpy(deep, "{\"a\":", 5);
    deep[200000] = 0;
    refuse_masked(deep, "'options': expected JSON of at most 64 levels");
    refuse_flow(deep, "'options': expected JSON of at most 64 levels");
    free(deep);
}

/* Missing members keep their default, null is missing, unknown ones are passed over. */
static void test_partial(void **state)
{
    (void)state;
    vkdlm_generate_options masked, zero_masked = {0};
    vkdlm_complete_options flow, zero_flow = {0};
    char temperature[VKDLM_TEMPERATURE_BYTES];
    vkdlm_error err;
    const char *nothing =
        "{\"steps\":null,\"what\":[{\"is\":1e300}],\"seed\":-3,\"solver\":null,\"noise_given\":true}";
    assert_int_equal(vkdlm_generate_options_read(nothing, &masked, &err), VKDLM_OK);
    assert_memory_equal(&masked, &zero_masked, sizeof masked);
    assert_int_equal(vkdlm_complete_options_read(nothing, &flow, temperature, &err), VKDLM_OK);
    assert_memory_equal(&flow, &zero_flow, sizeof flow);
    assert_int_equal(vkdlm_complete_options_read("{\"temperature\":1,\"class\":0,\"guidance\":0}", &flow,
                                                 temperature, &err),
                     VKDLM_OK);
    assert_true(flow.temperature == 1 && flow.flow.has_class && flow.flow.has_guidance);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masked_defaults), cmocka_unit_test(test_masked_choices),
        cmocka_unit_test(test_flow_defaults),   cmocka_unit_test(test_flow_choices),
        cmocka_unit_test(test_strange),         cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_partial),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

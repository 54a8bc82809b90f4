/* The option parser and the command tables of the command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/commands.h"
#include "cli/generate.h"
#include "cli/message.h"

enum { MAX_WORDS = 16 };

/* Options of every kind, apart from any real command. */
typedef struct sample_values {
    common_values common;
    option_value text, count, number, choice, flag, mask, flow, cache;
} sample_values;

#define AT(field) offsetof(sample_values, field)

static const char *const colours[] = {"red", "green", NULL};
static const char *const foreign_colours[] = {"ultraviolet", NULL};

static const option_spec sample_specs[] = {
    {"text", 't', OPTION_TEXT, AT(text), "TEXT", "a text", .initially = "none"},
    {"count", 'c', OPTION_COUNT, AT(count), "N", "a count", "apples", "64", .least = 1, .most = 1000},
    {"number", 0, OPTION_NUMBER, AT(number), "X", "a number", .initial = "0.5",
     .interval = {0, 1, true, false}},
    {"colour", 0, OPTION_CHOICE, AT(choice), "NAME", "a colour", .initial = "green", .choices = colours,
     .foreign_choices = foreign_colours, .family = "bee"},
    {"flag", 'g', OPTION_FLAG, AT(flag), .help = "a flag"},
    {"later", 0, OPTION_TEXT, 0, "X", "a plan", .absent = "planning"},
    {"mask", 0, OPTION_COUNT, AT(mask), "N", "a mask", .initial = "3", .most = 9, .fits = MODEL_MASKED},
    {"flow", 0, OPTION_TEXT, AT(flow), "X", "a flow", .initially = "none", .fits = MODEL_L2D,
     .base_value = "still"},
    {"cache", 0, OPTION_FLAG, AT(cache), .help = "a cache", .fits = MODEL_CAUSAL | MODEL_L2D},
};
static const option_group sample_group = {"Options", sample_specs, sizeof sample_specs / sizeof *sample_specs,
                                          true};
static const option_group *const sample_groups[] = {&sample_group, &options_common, NULL};
static const command sample_command = {
    .name = "sample",
    .summary = "Tries the parser.",
    .arguments = "FILE",
    .most_arguments = 1,
    .groups = sample_groups,
    .values_size = sizeof(sample_values),
};

/* One parse; words are separated by '|', because values may hold spaces. */
typedef struct trial {
    sample_values values;
    option_parse parse;
    vkdlm_error err;
    parse_outcome outcome;
    char words[256];
} trial;

static void try_words(trial *t, const char *line)
{
    const char *argv[MAX_WORDS];
    int argc = 0;
    *t = (trial){0};
    snprintf(t->words, sizeof t->words, "%s", line);
    for (char *word = *t->words ? t->words : NULL; word && argc < MAX_WORDS;) {
        argv[argc++] = word;
        word = strchr(word, '|');
        if (word)
            *word++ = 0;
    }
    t->outcome = options_parse(&sample_command, argc, argv, &t->values, &t->parse, &t->err);
}

static void expect_error(const char *line, vkdlm_status status, const char *part)
{
    trial t;
    try_words(&t, line);
    if (t.outcome != PARSE_ERROR || t.err.status != status || !strstr(t.err.message, part))
        fail_msg("'%s' gave outcome %d, status %d, '%s'; expected '%s'", line, (int)t.outcome,
                 (int)t.err.status, t.err.message, part);
}

static void test_defaults(void **state)
{
    trial t;
    (void)state;
    try_words(&t, "");
    assert_int_equal(t.outcome, PARSE_RUN);
    assert_int_equal(t.values.count.count, 64);
    assert_true(t.values.number.number == 0.5);
    assert_int_equal(t.values.choice.choice, 1);
    assert_null(t.values.text.text);
    assert_false(t.values.count.given || t.values.number.given || t.values.choice.given ||
                 t.values.flag.given);
    assert_int_equal(t.parse.n_arguments, 0);
    assert_null(t.parse.foreign);
}

static void test_forms(void **state)
{
    static const char *const counts[] = {"--count|7", "--count=7", "-c|7",         "-c7",
                                         "-gc7",      "-gc|7",     "-c3|--count|7"};
    trial t;
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        try_words(&t, counts[i]);
        if (t.outcome != PARSE_RUN || t.values.count.count != 7 || !t.values.count.given)
            fail_msg("'%s': outcome %d, %s", counts[i], (int)t.outcome, t.err.message);
    }
    try_words(&t, "-qgv|-t|a b|x");
    assert_int_equal(t.outcome, PARSE_RUN);
    assert_true(t.values.common.quiet.given && t.values.common.verbose.given && t.values.flag.given);
    assert_string_equal(t.values.text.text, "a b");
    assert_int_equal(t.parse.n_arguments, 1);
    assert_string_equal(t.parse.arguments[0], "x");

    try_words(&t, "--text=|--|--count");
    assert_int_equal(t.outcome, PARSE_RUN);
    assert_true(t.values.text.given);
    assert_string_equal(t.values.text.text, "");
    assert_string_equal(t.parse.arguments[0], "--count");

    try_words(&t, "--text|-|-");
    assert_int_equal(t.outcome, PARSE_RUN);
    assert_string_equal(t.values.text.text, "-");
    assert_string_equal(t.parse.arguments[0], "-");

    try_words(&t, "--text=--count=3|--number|1");
    assert_int_equal(t.outcome, PARSE_RUN);
    assert_string_equal(t.values.text.text, "--count=3");
    assert_true(t.values.number.number == 1);

    /* A text that begins with a dash but is no option. */
    try_words(&t, "--text|- and so on");
    assert_int_equal(t.outcome, PARSE_RUN);
    assert_string_equal(t.values.text.text, "- and so on");
}

static void test_errors(void **state)
{
    (void)state;
    expect_error("--cuont|3", VKDLM_INVALID_ARGUMENT, "did you mean '--count'");
    expect_error("--coun=3", VKDLM_INVALID_ARGUMENT, "did you mean '--count'");
    expect_error("--entirely-else", VKDLM_INVALID_ARGUMENT, "'--entirely-else'");
    expect_error("-x", VKDLM_INVALID_ARGUMENT, "'-x'");
    expect_error("-gx", VKDLM_INVALID_ARGUMENT, "'-gx'");
    expect_error("--count", VKDLM_INVALID_ARGUMENT, "lacks its value");
    expect_error("--text|--count", VKDLM_INVALID_ARGUMENT, "lacks its value");
    expect_error("--text|-c", VKDLM_INVALID_ARGUMENT, "lacks its value");
    expect_error("--flag=1", VKDLM_INVALID_ARGUMENT, "takes no value");
    expect_error("--count|0", VKDLM_INVALID_ARGUMENT, "from 1 to 1000 (apples), not '0'");
    expect_error("--count|1001", VKDLM_INVALID_ARGUMENT, "not '1001'");
    expect_error("--count|-1", VKDLM_INVALID_ARGUMENT, "not '-1'");
    expect_error("--count|+1", VKDLM_INVALID_ARGUMENT, "not '+1'");
    expect_error("--count| 1", VKDLM_INVALID_ARGUMENT, "not ' 1'");
    expect_error("--count|1.5", VKDLM_INVALID_ARGUMENT, "not '1.5'");
    expect_error("--count|3x", VKDLM_INVALID_ARGUMENT, "not '3x'");
    expect_error("--count|18446744073709551617", VKDLM_INVALID_ARGUMENT, "whole number");
    expect_error("--count=", VKDLM_INVALID_ARGUMENT, "whole number");
    expect_error("--number|nan", VKDLM_INVALID_ARGUMENT, "> 0 and <= 1");
    expect_error("--number|inf", VKDLM_INVALID_ARGUMENT, "> 0 and <= 1");
    expect_error("--number|0", VKDLM_INVALID_ARGUMENT, "not '0'");
    expect_error("--number|1.0001", VKDLM_INVALID_ARGUMENT, "not '1.0001'");
    expect_error("--number|0.5x", VKDLM_INVALID_ARGUMENT, "not '0.5x'");
    expect_error("--colour|blue", VKDLM_INVALID_ARGUMENT, "one of red, green, not 'blue'");
    expect_error("--colour|gren", VKDLM_INVALID_ARGUMENT, "not 'gren'; did you mean 'green'?");
    expect_error("a|b", VKDLM_INVALID_ARGUMENT, "'b' is one too many");
    expect_error("--later|x", VKDLM_UNSUPPORTED, "planning is not part of this version");
}

/* A hostile word must not reach the terminal. */
static void test_messages_are_one_line(void **state)
{
    trial t;
    (void)state;
    try_words(&t, "--colour|b\x1b[2J\nlue\xc2\x9b");
    assert_int_equal(t.outcome, PARSE_ERROR);
    for (const char *s = t.err.message; *s; s++)
        assert_true((unsigned char)*s >= 0x20 && *s != 0x7f);
    assert_null(strstr(t.err.message, "\xc2\x9b"));
}

/* Checks the words against a kind of models: part is in the sentence, NULL: they fit. */
static void expect_fit(const char *line, enum model_kind kind, const char *part)
{
    trial t;
    try_words(&t, line);
    assert_int_equal(t.outcome, PARSE_RUN);
    vkdlm_status status = options_check_model(&sample_command, &t.values, &t.parse, kind, "m", "ant", &t.err);
    if (status != (part ? VKDLM_INVALID_ARGUMENT : VKDLM_OK) || (part && !strstr(t.err.message, part)))
        fail_msg("'%s' with kind %d: status %d, '%s'; expected '%s'", line, (int)kind, (int)status,
                 t.err.message, part ? part : "no error");
}

static void test_misfits(void **state)
{
    static const enum model_kind kinds[] = {MODEL_MASKED, MODEL_CAUSAL, MODEL_L2D};
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        expect_fit("", kinds[i], NULL); /* a default is no misfit */
        expect_fit("--text|x|--count|3|--flag", kinds[i], NULL);
        expect_fit(
            "--colour|ultraviolet", kinds[i],
            "'--colour ultraviolet' belongs to bee models and does not fit 'm' (ant), which takes red, "
            "green");
        expect_fit("--colour|ultraviolet|--colour|red", kinds[i], NULL);
    }
    expect_fit("--mask|2", MODEL_MASKED, NULL);
    expect_fit("--mask|2", MODEL_CAUSAL,
               "'--mask' belongs to masked diffusion models and does not fit 'm' (ant), which takes --text, "
               "--count, --number, --colour, --flag, --cache");
    expect_fit("--mask|2", MODEL_L2D,
               "which takes --text, --count, --number, --colour, --flag, --flow, --cache");
    expect_fit("--flow|x", MODEL_L2D, NULL);
    expect_fit("--flow|x", MODEL_MASKED, "'--flow' belongs to L2D models");
    expect_fit("--flow|still", MODEL_MASKED, "'--flow' belongs to L2D models");
    expect_fit("--flow|x", MODEL_CAUSAL, "; '--l2d PATH' adds a diffusion path");
    expect_fit("--flow|still", MODEL_CAUSAL, NULL);
    expect_fit("--flow|x|--flow|still", MODEL_CAUSAL, NULL);
    expect_fit("--cache", MODEL_MASKED, "'--cache' belongs to autoregressive models");
    expect_fit("--cache", MODEL_CAUSAL, NULL);
    expect_fit("--cache", MODEL_L2D, NULL);
}

static void test_help_and_version(void **state)
{
    trial t;
    (void)state;
    try_words(&t, "--count|5|-h|--nonsense");
    assert_int_equal(t.outcome, PARSE_HELP);
    try_words(&t, "--version");
    assert_int_equal(t.outcome, PARSE_VERSION);
    char *help = options_help(&sample_command);
    assert_non_null(help);
    assert_non_null(strstr(help, "-c, --count N"));
    assert_non_null(strstr(help, "(apples, 1 to 1000; default: 64)"));
    assert_non_null(strstr(help, "--colour NAME"));
    assert_non_null(strstr(help, "(red, green; default: green)"));
    assert_non_null(strstr(help, "[not part of this version]"));
    assert_non_null(strstr(help, "--colour ultraviolet"));
    assert_non_null(strstr(help, "(0 to 9; default: 3) [masked diffusion]"));
    assert_non_null(strstr(help, "(default: none) [L2D]"));
    assert_non_null(strstr(help, "a cache [autoregressive]"));
    free(help);
}

static const command *const real_commands[] = {&command_devices, &command_info,    &command_generate,
                                               &command_score,   &command_forward, &command_tokenize};

/* Every option of every command: a help phrase, a default, a unique name, a default that its own bounds
 * accept. */
static void test_real_tables(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof real_commands / sizeof *real_commands; c++) {
        const command *cmd = real_commands[c];
        option_parse parse;
        vkdlm_error err = {0};
        void *values = calloc(1, cmd->values_size);
        const char *argv[] = {"x"};
        assert_non_null(values);
        if (options_parse(cmd, (int)cmd->least_arguments, argv, values, &parse, &err) != PARSE_RUN)
            fail_msg("%s: %s", cmd->name, err.message);
        char *help = options_help(cmd);
        assert_non_null(help);
        for (const option_group *const *g = cmd->groups; *g; g++) {
            for (size_t i = 0; i < (*g)->n_specs; i++) {
                const option_spec *spec = &(*g)->specs[i];
                char name[64];
                snprintf(name, sizeof name, "--%s", spec->name);
                if (!strstr(help, name))
                    fail_msg("the help of %s lacks %s", cmd->name, name);
                assert_true(spec->offset + sizeof(option_value) <= cmd->values_size);
                if (!*spec->help)
                    fail_msg("%s %s has no help", cmd->name, name);
                if (spec->kind != OPTION_FLAG && (!spec->argument || (!spec->initial && !spec->initially)))
                    fail_msg("%s %s lacks its argument or default", cmd->name, name);
                for (const option_group *const *h = cmd->groups; *h; h++)
                    for (size_t k = 0; k < (*h)->n_specs; k++)
                        if (&(*h)->specs[k] != spec && (!strcmp((*h)->specs[k].name, spec->name) ||
                                                        (spec->key && (*h)->specs[k].key == spec->key)))
                            fail_msg("%s has %s twice", cmd->name, name);
            }
        }
        free(help);
        free(values);
    }
}

/* Words of the command line as the options of a run with a model of this family. */
static vkdlm_status parse_generate(int argc, const char *const *argv, generate_values *values,
                                   vkdlm_error *err)
{
    option_parse parse;
    *values = (generate_values){0};
    if (options_parse(&command_generate, argc, argv, values, &parse, err) != PARSE_RUN)
        return err->status;
    return generate_check(values, err);
}

static vkdlm_status masked_options_of(int argc, const char *const *argv, vkdlm_generate_options *options,
                                      vkdlm_error *err)
{
    generate_values values;
    vkdlm_status status = parse_generate(argc, argv, &values, err);
    return status ? status : generate_masked_options(&values, options, err);
}

static vkdlm_status causal_options_of(int argc, const char *const *argv, vkdlm_complete_options *options,
                                      vkdlm_error *err)
{
    generate_values values;
    vkdlm_status status = parse_generate(argc, argv, &values, err);
    return status ? status : generate_causal_options(&values, options, err);
}

static int count_words(const char *const *words, int most)
{
    int n = 0;
    while (n < most && words[n])
        n++;
    return n;
}

static void test_generate_options(void **state)
{
    vkdlm_generate_options options;
    vkdlm_error err = {0};
    (void)state;
    const char *plain[] = {"--steps",    "128",       "--sampler",   "first-hitting", "--seed=5",
                           "--schedule", "geometric", "--sigma-min", "0.01"};
    assert_int_equal(masked_options_of(9, plain, &options, &err), VKDLM_OK);
    assert_int_equal(options.steps, 128);
    assert_int_equal(options.sampler, VKDLM_SAMPLER_FIRST_HITTING);
    assert_int_equal(options.seed, 5);
    assert_int_equal(options.noise.schedule, VKDLM_SCHEDULE_GEOMETRIC);
    assert_true(options.noise.sigma_min == 0.01 && options.noise.sigma_max == 1);
    assert_true(options.end_time == 0); /* not asked for: the library's */
    assert_true(options.temperature == 1);
    assert_int_equal(options.num_samples, 1);
    assert_int_equal(masked_options_of(0, plain, &options, &err), VKDLM_OK);
    assert_int_equal(options.steps, 0);

    static const char *const bad[][6] = {
        {"-p", "a", "--ids", "1"},
        {"--template", "a[MASK]", "-n", "3"},
        {"--stride", "4"},
        {"--strides", "4"},
        {"--schedule", "linear", "--schedule-eps", "0.1"},
        {"--sigma-max", "3"},
        {"--schedule", "linear", "--sigma-min", "11"},
        {"--schedule", "geometric", "--sigma-min", "0"},
        {"--prompts", "a", "--template", "b"},
        {"--steps", "0"},
        {"--temperature", "0"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (masked_options_of(count_words(bad[i], 6), bad[i], &options, &err) != VKDLM_INVALID_ARGUMENT)
            fail_msg("'%s %s ...' is accepted", bad[i][0], bad[i][1]);
}

static void test_causal_options(void **state)
{
    vkdlm_complete_options options;
    vkdlm_error err = {0};
    (void)state;
    assert_int_equal(causal_options_of(0, NULL, &options, &err), VKDLM_OK);
    assert_false(options.flow.off || options.flow.steps || options.flow.solver || options.flow.rtol > 0 ||
                 options.flow.temperature || options.flow.budget || options.greedy || options.cache_f16);
    assert_true(options.temperature == 1 && options.max_tokens == 0);

    const char *all[] = {"-n",
                         "9",
                         "--temperature",
                         "0",
                         "--kv-type",
                         "f16",
                         "--ignore-eos",
                         "--steps",
                         "12",
                         "--solver",
                         "bosh3",
                         "--rtol",
                         "1e-3",
                         "--atol",
                         "1e-4",
                         "--max-evals",
                         "77",
                         "--first-step",
                         "-1",
                         "--estimate",
                         "average",
                         "--velocity",
                         "edm",
                         "--class",
                         "2",
                         "--guidance",
                         "-1.5",
                         "--flow-end",
                         "0.9",
                         "--xhat-temperature",
                         "polynomial_1_1",
                         "--budget",
                         "entropy:2.5"};
    if (causal_options_of(sizeof all / sizeof *all, all, &options, &err))
        fail_msg("%s", err.message);
    const vkdlm_flow_options *flow = &options.flow;
    assert_true(options.max_tokens == 9 && options.greedy && options.temperature == 0 && options.cache_f16 &&
                options.ignore_end);
    assert_true(!flow->off && flow->steps == 12 && flow->solver == VKDLM_SOLVER_BOSH3 && flow->rtol == 1e-3 &&
                flow->atol == 1e-4 && flow->max_evaluations == 77 && flow->first_step == -1);
    assert_true(flow->estimate == VKDLM_ESTIMATE_AVERAGE && flow->velocity == VKDLM_VELOCITY_EDM &&
                flow->has_class && flow->class_id == 2 && flow->has_guidance && flow->guidance == -1.5 &&
                flow->end_time == 0.9);
    assert_string_equal(flow->temperature, "polynomial_1_1");
    assert_true(flow->budget == VKDLM_BUDGET_ENTROPY && flow->budget_threshold == 2.5);

    static const char *const off[][4] = {{"--steps", "0"},
                                         {"--solver", "none"},
                                         {"--steps", "0", "--solver", "euler"},
                                         {"--solver", "none", "--steps", "0"}};
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        assert_int_equal(causal_options_of(count_words(off[i], 4), off[i], &options, &err), VKDLM_OK);
        assert_true(options.flow.off && !options.flow.steps && !options.flow.solver);
    }
    static const char *const every[][2] = {{"--budget", "off"}, {"--budget", "confidence:0.5"}};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(causal_options_of(2, every[i], &options, &err), VKDLM_OK);
    assert_true(options.flow.budget == VKDLM_BUDGET_CONFIDENCE && options.flow.budget_threshold == 0.5);

    static const struct {
        const char *words[4];
        const char *part;
    } bad[] = {
        {{"--steps", "1"}, "0 (the base alone) or 2 to 10000"},
        {{"--steps", "10001"}, "2 to 10000"},
        {{"--solver", "none", "--steps", "4"}, "does not go with '--solver none'"},
        {{"--solver", "midpiont"}, "did you mean 'midpoint'"},
        {{"--rtol", "0"}, "> 0 and <= 1"},
        {{"--rtol", "2"}, "> 0 and <= 1"},
        {{"--atol", "-1e-5"}, "> 0 and <= 1"},
        {{"--first-step", "0"}, "or a negative one"},
        {{"--first-step", "1.5"}, "<= 1"},
        {{"--max-evals", "0"}, "from 1"},
        {{"--guidance", "2"}, "'--guidance' needs '--class'"},
        {{"--class", "-1"}, "whole number"},
        {{"--flow-end", "0"}, "> 0 and <= 1"},
        {{"--budget", "entropy"}, "'--budget' takes off"},
        {{"--budget", "entropy:"}, "'--budget' takes off"},
        {{"--budget", "entropy:-1"}, "'--budget' takes off"},
        {{"--budget", "confidence:1.1"}, "'--budget' takes off"},
        {{"--budget", "confidence:nan"}, "'--budget' takes off"},
        {{"--estimate", "mean"}, "sample, average"},
        {{"--kv-type", "f8"}, "f32, f16"},
        {{"--system", "x"}, "'--system' needs '--chat'"},
        {{"--chat"}, "'--chat' needs a text"},
        {{"--chat", "--ids", "1"}, "'--chat' needs a text"},
        {{"--temperature", "-1"}, ">= 0"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (causal_options_of(count_words(bad[i].words, 4), bad[i].words, &options, &err) !=
                VKDLM_INVALID_ARGUMENT ||
            !strstr(err.message, bad[i].part))
            fail_msg("'%s %s ...': '%s', expected '%s'", bad[i].words[0],
                     bad[i].words[1] ? bad[i].words[1] : "", err.message, bad[i].part);
}

static void test_nearest(void **state)
{
    static const char *const names[] = {"devices", "info", "generate", NULL, "score"};
    (void)state;
    assert_string_equal(options_nearest("gen", names, 5), "generate");
    assert_string_equal(options_nearest("scroe", names, 5), "score");
    assert_string_equal(options_nearest("device", names, 5), "devices");
    assert_null(options_nearest("train", names, 5));
    assert_null(options_nearest("", names, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),       cmocka_unit_test(test_forms),
        cmocka_unit_test(test_errors),         cmocka_unit_test(test_messages_are_one_line),
        cmocka_unit_test(test_misfits),        cmocka_unit_test(test_help_and_version),
        cmocka_unit_test(test_real_tables),    cmocka_unit_test(test_generate_options),
        cmocka_unit_test(test_causal_options), cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

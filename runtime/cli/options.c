#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

enum { MAX_NAMES = 128, MAX_WORD = 64 };

#define COMMON(field) offsetof(common_values, field)

static const option_spec common_specs[] = {
    {"device", 0, OPTION_TEXT, COMMON(device), "INDEX|NAME",
     "Vulkan device, by index or by a part of its name",
     .initially = "discrete before integrated, virtual and CPU"},
    {"memory-limit", 0, OPTION_COUNT, COMMON(memory_limit), "N",
     "takes no more device memory than this; 0 is off", "MiB", .initial = "0", .most = UINT32_MAX},
    {"json", 0, OPTION_FLAG, COMMON(json),
     .help = "one JSON object a line on standard output and nothing else"},
    {"quiet", 'q', OPTION_FLAG, COMMON(quiet), .help = "no progress and no summary"},
    {"verbose", 'v', OPTION_FLAG, COMMON(verbose), .help = "says how long each phase took, in seconds"},
    {"help", 'h', OPTION_FLAG, COMMON(help), .help = "this text"},
    {"version", 0, OPTION_FLAG, COMMON(version), .help = "the version"},
};

const option_group options_common = {"Common to all commands", common_specs,
                                     sizeof common_specs / sizeof *common_specs, false};

/* The option called `name` (of `length` bytes), or the one with the letter key when name is NULL. */
static const option_spec *find(const command *cmd, const char *name, size_t length, char key)
{
    for (const option_group *const *group = cmd->groups; *group; group++) {
        for (size_t i = 0; i < (*group)->n_specs; i++) {
            const option_spec *spec = &(*group)->specs[i];
            bool same = name ? strlen(spec->name) == length && !memcmp(spec->name, name, length)
                             : spec->key && spec->key == key;
            if (same)
                return spec;
        }
    }
    return NULL;
}

/* True when a word is exactly an option of the command, so that it cannot be a forgotten value. */
static bool is_option(const command *cmd, const char *word)
{
    if (word[0] != '-' || !word[1])
        return false;
    if (word[1] == '-')
        return find(cmd, word + 2, strcspn(word + 2, "="), 0) != NULL;
    return !word[2] && find(cmd, NULL, 0, word[1]);
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Edits (insert, delete, replace) that turn a into b; both shorter than MAX_WORD. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t n = strlen(b);
    size_t row[MAX_WORD];
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[n];
}

const char *options_nearest(const char *word, const char *const *names, size_t n_names)
{
    const char *best = NULL;
    size_t length = strlen(word);
    if (!length || length >= MAX_WORD)
        return NULL;
    size_t limit = (length < 3 ? 1 : 2 + length / 8) + 1;
    for (size_t i = 0; i < n_names; i++) {
        if (!names[i] || strlen(names[i]) >= MAX_WORD)
            continue;
        size_t distance = edit_distance(word, names[i]);
        if (length >= 3 && !strncmp(word, names[i], length)) /* a beginning */
            distance = 1;
        if (distance < limit) {
            limit = distance;
            best = names[i];
        }
    }
    return best;
}

static vkdlm_status unknown(const command *cmd, const char *word, size_t length, vkdlm_error *err)
{
    const char *names[MAX_NAMES];
    size_t n = 0;
    for (const option_group *const *group = cmd->groups; *group; group++)
        for (size_t i = 0; i < (*group)->n_specs && n < MAX_NAMES; i++)
            names[n++] = (*group)->specs[i].name;
    char name[MAX_WORD] = "";
    const char *nearest = NULL;
    if (word[1] == '-' && length - 2 < MAX_WORD) {
        memcpy(name, word + 2, length - 2);
        nearest = options_nearest(name, names, n);
    }
    if (nearest)
        return message_set(err, VKDLM_INVALID_ARGUMENT, "'%s' has no option '%.*s'; did you mean '--%s'?",
                           cmd->name, (int)length, word, nearest);
    return message_set(err, VKDLM_INVALID_ARGUMENT,
                       "'%s' has no option '%.*s'; 'vkdlm %s --help' lists those it has", cmd->name,
                       (int)length, word, cmd->name);
}

bool options_read_count(const char *text, uint64_t *out)
{
    if (!*text || strspn(text, "0123456789") != strlen(text))
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, NULL, 10);
    if (errno)
        return false;
    *out = value;
    return true;
}

bool options_read_number(const char *text, double *out)
{
    char *end = NULL;
    if (!*text || *text == ' ' || *text == '\t')
        return false;
    double value = strtod(text, &end);
    if (*end || !isfinite(value))
        return false;
    *out = value;
    return true;
}

static bool inside(const option_interval *range, double value)
{
    bool above = range->low_open ? value > range->low : value >= range->low;
    bool below = range->high_open ? value < range->high : value <= range->high;
    return above && below;
}

/* "a number > 0", "a number > 0 and < 1" */
static void describe_interval(const option_interval *range, char *text, size_t size)
{
    char low[40] = "", high[40] = "";
    if (isfinite(range->low))
        snprintf(low, sizeof low, " %s %g", range->low_open ? ">" : ">=", range->low);
    if (isfinite(range->high))
        snprintf(high, sizeof high, " %s %g", range->high_open ? "<" : "<=", range->high);
    snprintf(text, size, "a number%s%s%s", low, *low && *high ? " and" : "", high);
}

static void describe_choices(const char *const *choices, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; choices[i] && used < size; i++) {
        int n = snprintf(text + used, size - used, "%s%s", i ? ", " : "", choices[i]);
        used += n > 0 ? (size_t)n : 0;
    }
}

static size_t index_of(const char *const *choices, const char *text)
{
    size_t i = 0;
    while (choices && choices[i] && strcmp(choices[i], text) != 0)
        i++;
    return i;
}

static size_t count_choices(const char *const *choices)
{
    size_t n = 0;
    while (choices[n])
        n++;
    return n;
}

/* Reads text as a value of spec; parse is NULL for a default. */
static vkdlm_status read_value(const option_spec *spec, const char *text, option_value *value,
                               option_parse *parse, vkdlm_error *err)
{
    char expected[256];
    const char *nearest = NULL;
    bool good = true;
    expected[0] = 0;
    if (parse && parse->foreign == spec)
        parse->foreign = NULL;
    switch (spec->kind) {
    case OPTION_FLAG:
    case OPTION_TEXT:
        break;
    case OPTION_COUNT:
        good = options_read_count(text, &value->count) && value->count >= spec->least &&
               value->count <= spec->most;
        snprintf(expected, sizeof expected, "a whole number from %" PRIu64 " to %" PRIu64, spec->least,
                 spec->most);
        break;
    case OPTION_NUMBER:
        good = options_read_number(text, &value->number) && inside(&spec->interval, value->number);
        describe_interval(&spec->interval, expected, sizeof expected);
        break;
    case OPTION_CHOICE:
        value->choice = index_of(spec->choices, text);
        good = spec->choices[value->choice] != NULL;
        if (!good && spec->foreign_choices && spec->foreign_choices[index_of(spec->foreign_choices, text)]) {
            good = true;
            if (parse && !parse->foreign)
                parse->foreign = spec;
        }
        strcpy(expected, "one of ");
        describe_choices(spec->choices, expected + strlen(expected), sizeof expected - strlen(expected));
        nearest = options_nearest(text, spec->choices, count_choices(spec->choices));
        break;
    }
    if (!good)
        return message_set(err, VKDLM_INVALID_ARGUMENT, "'--%s' takes %s%s%s%s, not '%.200s'%s%s%s",
                           spec->name, expected, spec->unit ? " (" : "", spec->unit ? spec->unit : "",
                           spec->unit ? ")" : "", text, nearest ? "; did you mean '" : "",
                           nearest ? nearest : "", nearest ? "'?" : "");
    value->text = text;
    return VKDLM_OK;
}

static option_value *value_of(const option_spec *spec, void *values)
{
    return (option_value *)(void *)((char *)values + spec->offset);
}

static vkdlm_status set_defaults(const command *cmd, void *values, vkdlm_error *err)
{
    for (const option_group *const *group = cmd->groups; *group; group++) {
        for (size_t i = 0; i < (*group)->n_specs; i++) {
            const option_spec *spec = &(*group)->specs[i];
            if (!spec->initial)
                continue;
            vkdlm_status status = read_value(spec, spec->initial, value_of(spec, values), NULL, err);
            if (status)
                return status;
        }
    }
    return VKDLM_OK;
}

/* Stores one option. text is NULL for a flag. */
static vkdlm_status take(const option_spec *spec, const char *text, void *values, option_parse *parse,
                         vkdlm_error *err)
{
    option_value *value = value_of(spec, values);
    if (spec->absent)
        return message_set(err, VKDLM_UNSUPPORTED, "'--%s': %s is not part of this version", spec->name,
                           spec->absent);
    if (text) {
        vkdlm_status status = read_value(spec, text, value, parse, err);
        if (status)
            return status;
    }
    value->given = true;
    return VKDLM_OK;
}

/* The value of spec: `attached` (behind '=' or the letter) or the next word. */
static vkdlm_status value_word(const command *cmd, const option_spec *spec, const char *attached, int argc,
                               const char *const *argv, int *i, const char **text, vkdlm_error *err)
{
    *text = attached;
    if (attached)
        return VKDLM_OK;
    if (*i + 1 >= argc)
        return message_set(err, VKDLM_INVALID_ARGUMENT, "'--%s' lacks its value %s", spec->name,
                           spec->argument);
    if (is_option(cmd, argv[*i + 1]))
        return message_set(
            err, VKDLM_INVALID_ARGUMENT,
            "'--%s' lacks its value %s: the next word is the option '%.100s' (write '--%s=%.100s' if "
            "that is the value)",
            spec->name, spec->argument, argv[*i + 1], spec->name, argv[*i + 1]);
    *text = argv[++*i];
    return VKDLM_OK;
}

/* --name, --name=value, --name value */
static vkdlm_status parse_long(const command *cmd, int argc, const char *const *argv, int *i, void *values,
                               option_parse *parse, vkdlm_error *err)
{
    const char *word = argv[*i];
    size_t length = strcspn(word, "=");
    const char *attached = word[length] ? word + length + 1 : NULL;
    const option_spec *spec = find(cmd, word + 2, length - 2, 0);
    if (!spec)
        return unknown(cmd, word, length, err);
    if (spec->kind == OPTION_FLAG) {
        if (attached)
            return message_set(err, VKDLM_INVALID_ARGUMENT, "'--%s' takes no value, but '%.200s' was given",
                               spec->name, attached);
        return take(spec, NULL, values, parse, err);
    }
    const char *text = NULL;
    vkdlm_status status = value_word(cmd, spec, attached, argc, argv, i, &text, err);
    return status ? status : take(spec, text, values, parse, err);
}

/* -k, -kvalue, -k value, -abk value with flags a and b */
static vkdlm_status parse_short(const command *cmd, int argc, const char *const *argv, int *i, void *values,
                                option_parse *parse, vkdlm_error *err)
{
    const char *word = argv[*i];
    for (size_t k = 1; word[k]; k++) {
        const option_spec *spec = find(cmd, NULL, 0, word[k]);
        if (!spec)
            return unknown(cmd, word, strlen(word), err);
        const char *text = NULL;
        if (spec->kind != OPTION_FLAG) {
            const char *attached = word[k + 1] ? word + k + 1 : NULL;
            vkdlm_status status = value_word(cmd, spec, attached, argc, argv, i, &text, err);
            if (status)
                return status;
        }
        vkdlm_status status = take(spec, text, values, parse, err);
        if (status || text)
            return status;
    }
    return VKDLM_OK;
}

static vkdlm_status add_argument(const command *cmd, const char *word, option_parse *parse, vkdlm_error *err)
{
    if (parse->n_arguments >= cmd->most_arguments)
        return message_set(err, VKDLM_INVALID_ARGUMENT,
                           "'%s' takes %s, so '%.200s' is one too many (quote a text "
                           "with spaces)",
                           cmd->name, cmd->most_arguments ? cmd->arguments : "no argument", word);
    parse->arguments[parse->n_arguments++] = word;
    return VKDLM_OK;
}

parse_outcome options_parse(const command *cmd, int argc, const char *const *argv, void *values,
                            option_parse *out, vkdlm_error *err)
{
    const common_values *common = values;
    bool ended = false;
    *out = (option_parse){0};
    if (set_defaults(cmd, values, err))
        return PARSE_ERROR;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        vkdlm_status status = VKDLM_OK;
        if (ended || word[0] != '-' || !word[1])
            status = add_argument(cmd, word, out, err);
        else if (word[1] == '-' && !word[2])
            ended = true;
        else if (word[1] == '-')
            status = parse_long(cmd, argc, argv, &i, values, out, err);
        else
            status = parse_short(cmd, argc, argv, &i, values, out, err);
        if (status)
            return PARSE_ERROR;
        if (common->help.given)
            return PARSE_HELP;
        if (common->version.given)
            return PARSE_VERSION;
    }
    if (out->n_arguments < cmd->least_arguments) {
        message_set(err, VKDLM_INVALID_ARGUMENT, "'%s' needs %s; 'vkdlm %s --help' describes it", cmd->name,
                    cmd->arguments, cmd->name);
        return PARSE_ERROR;
    }
    return PARSE_RUN;
}

const char *options_kinds(unsigned set)
{
    static const char *const names[] = {
        [MODEL_MASKED] = "masked diffusion",
        [MODEL_CAUSAL] = "plain autoregressive",
        [MODEL_L2D] = "L2D",
        [MODEL_MASKED | MODEL_L2D] = "masked diffusion and L2D",
        [MODEL_CAUSAL | MODEL_L2D] = "autoregressive",
        [MODEL_MASKED | MODEL_CAUSAL] = "masked diffusion and plain autoregressive",
    };
    return set < sizeof names / sizeof *names && names[set] ? names[set] : "all";
}

static bool fits(const option_spec *spec, unsigned kind)
{
    return !spec->fits || (spec->fits & kind);
}

/* "--sampler, --steps": the options of the groups that matter which a model of this kind takes. */
static void describe_fitting(const command *cmd, unsigned kind, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (const option_group *const *group = cmd->groups; *group; group++) {
        for (size_t i = 0; (*group)->fits_model && i < (*group)->n_specs && used < size; i++) {
            const option_spec *spec = &(*group)->specs[i];
            if (!fits(spec, kind) || spec->absent)
                continue;
            int n = snprintf(text + used, size - used, "%s--%s", used ? ", " : "", spec->name);
            used += n > 0 ? (size_t)n : 0;
        }
    }
}

/* The first option that was given and does not fit, NULL when all do. */
static const option_spec *find_misfit(const command *cmd, const void *values, unsigned kind)
{
    for (const option_group *const *group = cmd->groups; *group; group++) {
        for (size_t i = 0; i < (*group)->n_specs; i++) {
            const option_spec *spec = &(*group)->specs[i];
            const option_value *value = (const void *)((const char *)values + spec->offset);
            if (fits(spec, kind) || !value->given)
                continue;
            if (kind == MODEL_CAUSAL && spec->base_value && !strcmp(spec->base_value, value->text))
                continue;
            return spec;
        }
    }
    return NULL;
}

vkdlm_status options_check_model(const command *cmd, const void *values, const option_parse *parse,
                                 enum model_kind kind, const char *model, const char *description,
                                 vkdlm_error *err)
{
    char fit[640];
    const option_spec *misfit = find_misfit(cmd, values, kind);
    if (misfit) {
        describe_fitting(cmd, kind, fit, sizeof fit);
        return message_set(
            err, VKDLM_INVALID_ARGUMENT,
            "'--%s' belongs to %s models and does not fit '%.200s' (%s), which takes %s%s", misfit->name,
            options_kinds(misfit->fits), model, description, fit,
            kind == MODEL_CAUSAL && (misfit->fits & MODEL_L2D) ? "; '--l2d PATH' adds a diffusion path" : "");
    }
    if (!parse->foreign)
        return VKDLM_OK;
    const option_value *value = (const void *)((const char *)values + parse->foreign->offset);
    describe_choices(parse->foreign->choices, fit, sizeof fit);
    return message_set(err, VKDLM_INVALID_ARGUMENT,
                       "'--%s %s' belongs to %s models and does not fit '%.200s' (%s), which takes %s",
                       parse->foreign->name, value->text, parse->foreign->family, model, description, fit);
}

/* Command line options: one table per command gives parsing, checks and the help text. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vkdlm/status.h>

/* Kinds of models, as the members of a set. */
enum model_kind {
    MODEL_MASKED = 1, /* masked diffusion */
    MODEL_CAUSAL = 2, /* autoregressive, without a diffusion path */
    MODEL_L2D = 4,    /* autoregressive, with a diffusion path */
};

typedef enum option_kind {
    OPTION_FLAG,   /* present or not */
    OPTION_TEXT,   /* any text */
    OPTION_COUNT,  /* a whole number, least .. most */
    OPTION_NUMBER, /* a finite number in an interval */
    OPTION_CHOICE, /* one of a list of names */
} option_kind;

/* What the command line gave for one option, or its default. */
typedef struct option_value {
    bool given;       /* on the command line */
    const char *text; /* as written; NULL: neither given nor a default */
    uint64_t count;   /* OPTION_COUNT */
    double number;    /* OPTION_NUMBER */
    size_t choice;    /* OPTION_CHOICE: index in choices */
} option_value;

/* Where an OPTION_NUMBER lies; infinite bounds are absent ones. */
typedef struct option_interval {
    double low, high;
    bool low_open, high_open;
} option_interval;

typedef struct option_spec {
    const char *name; /* without the dashes */
    char key;         /* letter of the short form, 0: none */
    option_kind kind;
    size_t offset;         /* of the option_value in the command's values */
    const char *argument;  /* what stands for the value in the help, NULL for a flag */
    const char *help;      /* a phrase; for a table of several lines, '\n' */
    const char *unit;      /* of the value, NULL: none */
    const char *initial;   /* default, read like a value; NULL: none */
    const char *initially; /* how the help words a default that is no value */
    uint64_t least, most;  /* OPTION_COUNT */
    option_interval interval;
    const char *const *choices; /* ends with NULL */
    unsigned fits;              /* set of model_kind that take the option; 0: all */
    const char *base_value;     /* the value that asks for the base alone, which MODEL_CAUSAL takes too */
    /* Names that only kinds of models take that this version does not run, ends with NULL; and those models.
     */
    const char *const *foreign_choices;
    const char *family;
    const char *absent; /* not part of this version: the subject of the sentence that says so */
} option_spec;

typedef struct option_group {
    const char *title;
    const option_spec *specs;
    size_t n_specs;
    bool fits_model; /* named when an option does not fit the model */
} option_group;

#define OPTION_MAX_ARGUMENTS 2

struct option_parse;

typedef struct command {
    const char *name;
    const char *summary;   /* a sentence */
    const char *arguments; /* "FILE", shown in the usage line; "" for none */
    size_t least_arguments, most_arguments;
    const option_group *const *groups; /* ends with NULL */
    const char *notes;                 /* paragraphs after the options, NULL: none */
    size_t values_size;                /* of the struct of option_values, which begins with a common_values */
    /* Returns the exit status. */
    int (*run)(const struct command *command, void *values, const struct option_parse *parse);
    const char *absent; /* the command is not part of this version: the sentence that says so */
} command;

typedef enum parse_outcome {
    PARSE_RUN,     /* go on */
    PARSE_HELP,    /* -h or --help was met */
    PARSE_VERSION, /* --version was met */
    PARSE_ERROR,   /* err says what is wrong */
} parse_outcome;

typedef struct option_parse {
    const char *arguments[OPTION_MAX_ARGUMENTS]; /* what is no option */
    size_t n_arguments;
    const option_spec *foreign; /* the first option with a foreign choice */
} option_parse;

/* What every command takes. */
typedef struct common_values {
    option_value device, memory_limit, json, quiet, verbose, help, version;
} common_values;

extern const option_group options_common;

/* Reads argv[0 .. argc-1] (the words behind the command's name) into values (zeroed, values_size bytes).
 * `--name value`, `--name=value`, `-k value`, `-kvalue`, and flags joined as in `-qv`; `--` ends the options;
 * a lone
 * `-` is an argument. A value that is itself the name of an option is taken for a missing value
 * (`--name=--value` gives such a text). The last of repeated options counts. */
parse_outcome options_parse(const command *cmd, int argc, const char *const *argv, void *values,
                            option_parse *out, vkdlm_error *err);

/* The command's help. The caller frees it; NULL when out of memory. */
char *options_help(const command *cmd);

/* Checks that each option that was given fits a model of this kind; the sentence of a failure names the
 * model, what it is ("mdlm", "llama without a diffusion path"), and the options that fit it.
 * INVALID_ARGUMENT. */
vkdlm_status options_check_model(const command *cmd, const void *values, const option_parse *parse,
                                 enum model_kind kind, const char *model, const char *description,
                                 vkdlm_error *err);

/* "masked diffusion", "autoregressive", "masked diffusion and L2D": the models of a set, for a sentence. */
const char *options_kinds(unsigned set);

/* Nearest of names (n_names strings, each may be NULL) to `word`, NULL when none is near. */
const char *options_nearest(const char *word, const char *const *names, size_t n_names);

/* Whole numbers, digits only. False when the text is anything else or above 2^64 - 1. */
bool options_read_count(const char *text, uint64_t *out);

/* A finite number. False when the text is anything else. */
bool options_read_number(const char *text, double *out);

#endif

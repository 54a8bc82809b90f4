/* From a path to a session: what generate, score and forward do first. */
#ifndef CLI_ENGINE_H
#define CLI_ENGINE_H

#include <vkdlm/session.h>

#include "options.h"
#include "progress.h"

/* -m, --model, --tokenizer and --l2d of every command that takes a model. */
#define ENGINE_MODEL_OPTION(field_offset)                                                                   \
    {                                                                                                       \
        "model", 'm', OPTION_TEXT, field_offset, "MODEL",                                                   \
            "model: a Hugging Face directory, a .safetensors file beside its config.json, a GGUF file, or " \
            "the name of a bundled model (kjv-mdlm-q8_0.gguf, kjv-mdlm, kjv-llama)",                        \
            .initially = "the bundled kjv-mdlm-q8_0.gguf"                                                   \
    }
#define ENGINE_TOKENIZER_OPTION(field_offset)                                                          \
    {                                                                                                  \
        "tokenizer", 0, OPTION_TEXT, field_offset, "PATH",                                             \
            "tokenizer: a tokenizer.json, a vocab.json with merges.txt beside it, or their directory", \
            .initially = "the model's"                                                                 \
    }
#define ENGINE_L2D_OPTION(field_offset)                                                                \
    {                                                                                                  \
        "l2d", 0, OPTION_TEXT, field_offset, "PATH",                                                   \
            "diffusion path (L2D) for an autoregressive model: a directory with l2d.json and "         \
            "l2d.safetensors, that .safetensors file, a GGUF file, or the name of a bundled path "     \
            "(kjv-l2d)",                                                                               \
            .initially = "the one in the model's directory, if any", .fits = MODEL_CAUSAL | MODEL_L2D, \
    }

/* Opens the description of a model, with a diffusion path unless l2d is NULL (or the model takes none). */
vkdlm_status engine_describe(const char *path, const char *l2d, vkdlm_checkpoint **out, vkdlm_error *err);

/* The kind of a model that can be run. */
enum model_kind engine_kind(const vkdlm_checkpoint_info *info);

/* What the command line names; each may be NULL. */
typedef struct engine_names {
    const char *model, *tokenizer, *l2d;
} engine_names;

typedef struct engine {
    const common_values *common;
    char *path;           /* of the model */
    char *l2d;            /* of the diffusion path that was named, NULL: none was */
    char *tokenizer_path; /* named, or the model's; NULL: none */
    enum model_kind kind;
    /* After engine_open. */
    vkdlm_device *device;
    vkdlm_model *model;
    vkdlm_session *session;
    vkdlm_model_info info;
    vkdlm_device_info device_info;
    const vkdlm_tokenizer *tokenizer; /* NULL: the model has none */
    progress bar;
    bool verbose;
} engine;

/* Finds out what the model is, without a device, and fills path .. kind. Refuses a model that cannot be run
 * and options that do not fit it. values: those of the command. After a failure engine_close still has to be
 * called. */
vkdlm_status engine_find(engine *e, const command *cmd, const void *values, const option_parse *parse,
                         const engine_names *names, vkdlm_error *err);

/* Opens device, model and session. After a failure engine_close still has to be called. CANCELLED: a signal
 * arrived. */
vkdlm_status engine_open(engine *e, vkdlm_error *err);
void engine_close(engine *e);

/* What every run ends with: takes the bar away, prints err unless status is OK, and returns the exit status.
 */
int engine_finish(engine *e, vkdlm_status status, const vkdlm_error *err);

#endif

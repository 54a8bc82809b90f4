/* From a path to a session: what generate, score and forward do first. */
#ifndef CLI_ENGINE_H
#define CLI_ENGINE_H

#include <vkdlm/session.h>

#include "options.h"
#include "progress.h"

/* -m, --model and --tokenizer of every command that takes a model. */
#define ENGINE_MODEL_OPTION(field_offset)                                                     \
    {                                                                                         \
        "model", 'm', OPTION_TEXT, field_offset, "MODEL",                                     \
            "model: a Hugging Face directory, or a .safetensors file beside its config.json", \
            .initially = "the bundled kjv-mdlm"                                               \
    }
#define ENGINE_TOKENIZER_OPTION(field_offset)                                                          \
    {                                                                                                  \
        "tokenizer", 0, OPTION_TEXT, field_offset, "PATH",                                             \
            "tokenizer: a tokenizer.json, a vocab.json with merges.txt beside it, or their directory", \
            .initially = "the model's"                                                                 \
    }
#define ENGINE_L2D_OPTION(field_offset)                                                                      \
    {                                                                                                        \
        "l2d", 0, OPTION_TEXT, field_offset, "PATH", "diffusion path added to a base model", .family = "L2D" \
    }

/* Where the model is: `given`, or the bundled one when that is NULL. Errors: NOT_FOUND (names the places
 * searched), OUT_OF_HOST_MEMORY. The caller frees *path. */
vkdlm_status engine_locate(const char *given, char **path, vkdlm_error *err);

typedef struct engine {
    char *path;
    vkdlm_device *device;
    vkdlm_model *model;
    vkdlm_session *session;
    vkdlm_model_info info;
    vkdlm_device_info device_info;
    const vkdlm_tokenizer *tokenizer; /* NULL: the model has none */
    progress bar;
    bool verbose;
} engine;

/* Opens device, model and session. A model that cannot be run, or an option that does not fit it, is found
 * before the device is touched. After a failure engine_close still has to be called. CANCELLED: a signal
 * arrived. */
vkdlm_status engine_open(engine *e, const command *cmd, const option_parse *parse,
                         const common_values *common, const char *model, const char *tokenizer,
                         vkdlm_error *err);
void engine_close(engine *e);

/* What every run ends with: takes the bar away, prints err unless status is OK, and returns the exit status.
 */
int engine_finish(engine *e, vkdlm_status status, const vkdlm_error *err);

#endif

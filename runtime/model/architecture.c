#include "model/architecture.h"

#include <string.h>

#include "base/error.h"
#include "model/l2d_checkpoint.h"

/* As GGUF files and configurations spell them. */
static const char *const planned[] = {"llada", "dream", "Dream"};

vkdlm_status architecture_refuse(const checkpoint *ck, const char *found, vkdlm_error *err)
{
    bool is_planned = false;
    for (size_t i = 0; i < sizeof planned / sizeof *planned; i++)
        is_planned = is_planned || strcmp(planned[i], found) == 0;
    return error_set(
        err, VKDLM_UNSUPPORTED,
        "'%s': %s: expected an architecture that this version runs (mdlm, llama, qwen2), found '%.100s'%s",
        ck->config_path, ck->metadata ? "general.architecture" : "model_type", found,
        is_planned                             ? ", which is planned and not part of this version"
        : strcmp(found, L2D_ARCHITECTURE) == 0 ? ", a diffusion path, which runs beside its base model"
                                               : "");
}

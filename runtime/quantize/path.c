/* Tensors and metadata of diffusion paths. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "model/l2d_checkpoint.h"
#include "model/l2d_config.h"
#include "model/l2d_tensors.h"
#include "quantize.h"

/* Strings, booleans and numbers; what is inside an object has its name before its own. Others mean nothing
 * to a path. */
static void put_scalars(gguf_writer *w, const char *prefix, const json_t *object)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        char key[256];
        snprintf(key, sizeof key, "%s%s", prefix, name);
        if (json_is_string(value)) {
            gguf_writer_put_string(w, key, json_string_value(value));
        } else if (json_is_boolean(value)) {
            gguf_writer_put_bool(w, key, json_is_true(value));
        } else if (json_is_integer(value) && json_integer_value(value) >= 0 &&
                   json_integer_value(value) <= UINT32_MAX) {
            gguf_writer_put_u32(w, key, (uint32_t)json_integer_value(value));
        } else if (json_is_number(value)) {
            gguf_writer_put_f64(w, key, json_number_value(value));
        } else if (json_is_object(value) && strcmp(prefix, L2D_KEY_PREFIX) == 0) {
            snprintf(key, sizeof key, "%s%.100s.", prefix, name);
            put_scalars(w, key, value);
        }
    }
}

vkdlm_status quantize_plan_path(checkpoint *ck, quantize_plan *plan, gguf_writer *w,
                                const char **architecture, vkdlm_error *err)
{
    l2d_config config;
    vkdlm_status status = l2d_config_read(ck, &config, err);
    if (status)
        return status;
    *architecture = L2D_ARCHITECTURE;
    quantize_put_general(w, ck, L2D_ARCHITECTURE);
    put_scalars(w, L2D_KEY_PREFIX, checkpoint_config(ck).object);
    for (size_t i = 0; i < vkdlm_tensors_count(ck->tensors) && !status; i++) {
        const vkdlm_tensor *source = vkdlm_tensors_at(ck->tensors, i);
        char name[64];
        if (l2d_tensor_is_repeated(source->name))
            continue;
        if (!l2d_tensor_gguf_name(source->name, name))
            return error_set(err, VKDLM_MALFORMED,
                             "'%s': tensor '%.200s': expected one of a diffusion path, found another name",
                             source->file, source->name);
        status = quantize_add(plan, source, name, QUANTIZE_NO_BLOCK, 0, err);
    }
    return status;
}

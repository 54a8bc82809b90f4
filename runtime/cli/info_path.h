/* What `info` shows of tensors, and of a diffusion path. */
#ifndef CLI_INFO_PATH_H
#define CLI_INFO_PATH_H

#include <jansson.h>
#include <vkdlm/model.h>

/* A diffusion path, as its files say. A zeroed struct is none. */
typedef struct info_path {
    const char *place;            /* directory or file */
    json_t *config;               /* what l2d.json says, an object */
    const vkdlm_tensors *tensors; /* owned by the checkpoint, as is the place */
} info_path;

/* Takes what the checkpoint's diffusion path says of itself; none leaves p zeroed. Errors:
 * OUT_OF_HOST_MEMORY. */
vkdlm_status info_path_open(info_path *p, const vkdlm_checkpoint *checkpoint, vkdlm_error *err);
void info_path_close(info_path *p);

/* As JSON, null for none; as lines, none for none. */
json_t *info_path_json(const info_path *p);
vkdlm_status info_path_report(const info_path *p, vkdlm_error *err);

json_t *info_list_tensors(const vkdlm_tensors *tensors);
vkdlm_status info_report_tensors(const vkdlm_tensors *tensors, vkdlm_error *err);

/* One line "name value", safe for a terminal whatever the file says. */
vkdlm_status info_report_field(const char *name, const char *value, vkdlm_error *err);

#endif

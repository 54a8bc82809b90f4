/* Unicode normalization of text before it is cut into words. */
#ifndef TEXT_NORMALIZE_H
#define TEXT_NORMALIZE_H

#include <vkdlm/status.h>

#include "text/buffer.h"

typedef enum normal_form {
    NORMAL_FORM_C,
    NORMAL_FORM_D,
    NORMAL_FORM_KC,
    NORMAL_FORM_KD,
} normal_form;

#define NORMALIZER_MAX_STEPS 8

/* A zeroed struct leaves text as it is. */
typedef struct normalizer {
    normal_form steps[NORMALIZER_MAX_STEPS];
    size_t n_steps;
} normalizer;

/* Errors: UNSUPPORTED when there are too many steps. */
vkdlm_status normalizer_add(normalizer *z, normal_form form, vkdlm_error *err);

/* Normalizes n bytes of well-formed UTF-8. *out is text itself where nothing changes, else it points
 * into buffer. Time is linear but for a sort of each run of combining marks. Errors:
 * OUT_OF_HOST_MEMORY. */
vkdlm_status normalizer_run(const normalizer *z, const char *text, size_t n, text_bytes *buffer,
                            const char **out, size_t *out_size, vkdlm_error *err);

#endif

/* Architectures that no model of this version runs. */
#ifndef MODEL_ARCHITECTURE_H
#define MODEL_ARCHITECTURE_H

#include "format/checkpoint.h"

/* UNSUPPORTED with a sentence that names the file, the key, what runs, and `found`; of families that are
 * planned it says so. */
vkdlm_status architecture_refuse(const checkpoint *ck, const char *found, vkdlm_error *err);

#endif

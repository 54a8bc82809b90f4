/* The files of a diffusion path: l2d.json and l2d.safetensors, or one GGUF file of architecture "l2d". */
#ifndef MODEL_L2D_CHECKPOINT_H
#define MODEL_L2D_CHECKPOINT_H

#include "format/checkpoint.h"

#define L2D_ARCHITECTURE "l2d"
/* A GGUF file has what is a key of l2d.json behind this prefix, and what is a key of an object in it behind
 * the object's name and a point: "l2d.ode_kwargs.rtol". */
#define L2D_KEY_PREFIX "l2d."

/* Opens a path: `given`, a directory with l2d.json and l2d.safetensors, that .safetensors file, or a GGUF
 * file; or, when it is NULL, those in the base model's directory if they are there. checkpoint_config is
 * l2d.json, of a GGUF file what its keys say in the same form. *out is NULL when there is no path, and on
 * failure. Errors: NOT_FOUND, UNSUPPORTED (a GGUF file of another architecture), MALFORMED, and those of
 * checkpoint_open_files. */
vkdlm_status l2d_checkpoint_open(const char *given, const char *base_directory, checkpoint **out,
                                 vkdlm_error *err);

/* Whether that is what somebody means who names `path` as a model: a directory with l2d.json but no
 * config.json, or its l2d.safetensors, whatever lies beside it. False when out of memory. */
bool l2d_checkpoint_probe(const char *path);

#endif

/* What a compute shader's SPIR-V says about its interface. */
#ifndef GPU_SPIRV_H
#define GPU_SPIRV_H

#include <vkdlm/status.h>

#define SPIRV_MAX_BINDINGS     12
#define SPIRV_MAX_CAPABILITIES 32

/* How a binding sees its buffer. */
enum spirv_kind {
    SPIRV_STORAGE,      /* a storage buffer */
    SPIRV_TEXELS_FLOAT, /* textureBuffer: texels of four floats */
    SPIRV_TEXELS_UINT,  /* utextureBuffer: texels of four unsigned integers */
};

typedef struct spirv_binding {
    bool used; /* the shader has this binding of set 0 */
    enum spirv_kind kind;
    bool reads, writes; /* false where it is declared writeonly (readonly) */
} spirv_binding;

typedef struct spirv_info {
    spirv_binding bindings[SPIRV_MAX_BINDINGS];
    uint32_t n_bindings; /* one more than the highest binding used */
    uint32_t push_bytes; /* size of the push-constant block, 0 without */
    uint32_t local_size[3];
    uint32_t capabilities[SPIRV_MAX_CAPABILITIES];
    uint32_t n_capabilities;
} spirv_info;

/* Reads the interface. n_spec specialisation values (constant id = index) replace the module's defaults where
 * the workgroup size depends on them. MALFORMED names the kernel and what is wrong with it: a module that is
 * truncated, has a descriptor that is not a storage or texel buffer of set 0, or a workgroup size that
 * is computed. */
vkdlm_status spirv_reflect(const char *name, const uint32_t *words, size_t n_words, const uint32_t *spec,
                           uint32_t n_spec, spirv_info *out, vkdlm_error *err);

#endif

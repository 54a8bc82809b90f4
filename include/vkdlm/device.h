/* Vulkan devices.
 *
 * Thread rules: a device may be shared by models and sessions on different threads. */
#ifndef VKDLM_DEVICE_H
#define VKDLM_DEVICE_H

#include <vkdlm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vkdlm_device vkdlm_device;

/* X(suffix, text); the default choice prefers the earlier. */
#define VKDLM_DEVICE_TYPE_LIST(X)   \
    X(DISCRETE, "discrete GPU")     \
    X(INTEGRATED, "integrated GPU") \
    X(VIRTUAL, "virtual GPU")       \
    X(CPU, "CPU")                   \
    X(OTHER, "other")

typedef enum vkdlm_device_type {
#define VKDLM_DEVICE_TYPE_ENUM(suffix, text) VKDLM_DEVICE_##suffix,
    VKDLM_DEVICE_TYPE_LIST(VKDLM_DEVICE_TYPE_ENUM)
#undef VKDLM_DEVICE_TYPE_ENUM
} vkdlm_device_type;

VKDLM_API const char *vkdlm_device_type_name(vkdlm_device_type type);

/* What a device is and offers. */
typedef struct vkdlm_device_info {
    char name[256];
    char driver[256]; /* name and version of the driver */
    char api_version[24];
    vkdlm_device_type type;
    uint64_t memory_bytes;            /* largest device-local heap */
    uint64_t max_storage_range_bytes; /* larger tensors are bound in slices */
    uint64_t max_allocation_bytes;
    uint32_t max_shared_bytes;
    uint32_t max_invocations;
    uint32_t subgroup_size, min_subgroup_size, max_subgroup_size;
    bool is_default; /* the one chosen when nothing is asked for */
    /* Optional features found, as names separated by spaces: "subgroup-shuffle f16 storage-16bit ...". */
    char features[512];
} vkdlm_device_info;

/* X(suffix, name): what is known of a variant of a kernel on a device and its driver. Not used are those that
 * compute wrong numbers, that fail, and that are right but round differently from the preferred one: the
 * choice of a variant never changes results. */
#define VKDLM_VARIANT_STATE_LIST(X) \
    X(UNTRIED, "untried")           \
    X(RIGHT, "right")               \
    X(TIMED, "timed")               \
    X(OTHER_BITS, "other bits")     \
    X(WRONG, "wrong")               \
    X(FAILED, "failed")

typedef enum vkdlm_variant_state {
#define VKDLM_VARIANT_STATE_ENUM(suffix, text) VKDLM_VARIANT_##suffix,
    VKDLM_VARIANT_STATE_LIST(VKDLM_VARIANT_STATE_ENUM)
#undef VKDLM_VARIANT_STATE_ENUM
} vkdlm_variant_state;

VKDLM_API const char *vkdlm_variant_state_name(vkdlm_variant_state state);

typedef struct vkdlm_kernel_variant {
    const char *name; /* static text */
    vkdlm_variant_state state;
    double microseconds; /* VKDLM_VARIANT_TIMED: of a small problem of the class; else 0 */
} vkdlm_kernel_variant;

#define VKDLM_MAX_VARIANTS 16

/* One kernel group, one class of its problems, and the variant that it takes on a device. */
typedef struct vkdlm_kernel_choice {
    const char *group;   /* "matmul", ...: static text */
    char problem[48];    /* the class: "F16, 1 row" */
    const char *variant; /* static text; "none" when every one is wrong: such a kernel is refused */
    bool measured;       /* checked and chosen by timing on this device; false: by its features */
    uint32_t n_variants;
    vkdlm_kernel_variant variants[VKDLM_MAX_VARIANTS]; /* in the order that the features suggest */
} vkdlm_kernel_choice;

/* Describes every usable device in the order of their index. On success *infos is an array that the caller
 * frees with vkdlm_devices_free. Errors: NO_DEVICE (no loader, driver or device: the sentence says what to
 * install). */
VKDLM_API vkdlm_status vkdlm_devices_enumerate(vkdlm_device_info **infos, uint32_t *count, vkdlm_error *err);
VKDLM_API void vkdlm_devices_free(vkdlm_device_info *infos);

/* The variants that device `index` would take, from what was measured before (the file of choices in the
 * default cache directory). Fills at most `capacity` entries and returns how many there are (0 when the index
 * does not exist). */
VKDLM_API uint32_t vkdlm_device_kernels(uint32_t index, vkdlm_kernel_choice *choices, uint32_t capacity);

/* A zeroed struct is the default. */
typedef struct vkdlm_device_options {
    const char *select; /* index or part of a name (case ignored); NULL: discrete, integrated, virtual, CPU */
    const char *cache_dir; /* of compiled pipelines and choices of variants; NULL: $XDG_CACHE_HOME/vkdlm or
                              ~/.cache/vkdlm; "": none */
    uint64_t memory_limit_bytes; /* take no more device memory than this; 0: what the device has */
    /* Validation: loads VK_LAYER_KHRONOS_validation with synchronisation checks; every message goes to
     * on_message, from any thread but one at a time. */
    bool validation;
    void (*on_message)(void *user, const char *message);
    void *user;
} vkdlm_device_options;

/* options may be NULL. *out is NULL on failure. */
VKDLM_API vkdlm_status vkdlm_device_open(const vkdlm_device_options *options, vkdlm_device **out,
                                         vkdlm_error *err);

/* Every model and session of the device must be closed before. NULL is allowed. */
VKDLM_API void vkdlm_device_close(vkdlm_device *device);

VKDLM_API void vkdlm_device_get_info(const vkdlm_device *device, vkdlm_device_info *info);

/* The variants that an open device takes now. Fills at most `capacity` entries and returns how many there
 * are. */
VKDLM_API uint32_t vkdlm_device_choices(const vkdlm_device *device, vkdlm_kernel_choice *choices,
                                        uint32_t capacity);

/* Called before each class of problems is measured; done of total are behind it. False ends the measurement.
 */
typedef bool (*vkdlm_tune_fn)(void *user, const char *group, const char *problem, uint32_t done,
                              uint32_t total);

/* Measures every variant of every kernel group anew and keeps the choices in the cache directory, as happens
 * for the classes that a model needs when it first runs, within a second or two. On a CPU this takes minutes,
 * as each variant is compiled. Results do not change with the choices. May be called while sessions run
 * (whose load spoils the times). progress may be NULL. Errors: OUT_OF_HOST_MEMORY. */
VKDLM_API vkdlm_status vkdlm_device_tune(vkdlm_device *device, vkdlm_tune_fn progress, void *user,
                                         vkdlm_error *err);

/* The most device memory held at once so far, in bytes. */
VKDLM_API uint64_t vkdlm_device_peak_bytes(const vkdlm_device *device);

#ifdef __cplusplus
}
#endif

#endif

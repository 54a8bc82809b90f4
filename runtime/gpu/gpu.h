/* The Vulkan layer: devices, buffers, pipelines, command recording. It knows no tensors.
 * Only this folder includes Vulkan headers.
 *
 * Thread rules: a gpu_device may be shared (pipeline creation, memory accounting and queue submission are
 * locked inside); buffers, uploads and command recorders belong to one thread at a time. */
#ifndef GPU_GPU_H
#define GPU_GPU_H

#include <vkdlm/status.h>

#include "base/size.h"
#include "kernels.h" /* generated from shaders/kernels.cmake: enum gpu_kernel, GPU_KERNEL_COUNT */

/* ---- devices ---------------------------------------------------------------------------------- */

typedef struct gpu_device gpu_device;

enum gpu_type { GPU_TYPE_DISCRETE, GPU_TYPE_INTEGRATED, GPU_TYPE_VIRTUAL, GPU_TYPE_CPU, GPU_TYPE_OTHER };

/* What a device offers. Everything below `device_memory_bytes` may be missing: no code path requires it. */
typedef struct gpu_caps {
    char name[256];
    char driver[256];     /* driver name and its own version text */
    uint32_t api_version; /* VK_MAKE_API_VERSION encoding */
    uint32_t driver_version;
    uint32_t vendor_id, device_id;
    uint8_t pipeline_cache_uuid[16];
    enum gpu_type type;

    uint64_t max_storage_range_bytes; /* largest range of one storage-buffer binding */
    uint64_t max_allocation_bytes;
    uint64_t storage_alignment_bytes; /* offsets of bindings are multiples of this */
    uint32_t max_shared_bytes;
    uint32_t max_invocations; /* of a workgroup */
    uint32_t max_workgroup_size_x;
    uint32_t max_workgroups[3];
    uint32_t max_push_bytes;
    uint32_t max_storage_buffers; /* per stage */
    bool texel_buffers;           /* whatever can be bound as a storage buffer can be bound as texels */
    uint64_t device_memory_bytes; /* of the largest device-local heap */

    uint32_t subgroup_size;                        /* default size */
    uint32_t min_subgroup_size, max_subgroup_size; /* equal to subgroup_size without size control */
    bool subgroup_basic, subgroup_shuffle, subgroup_arithmetic; /* usable in compute shaders */
    bool subgroup_size_control;                                 /* a required size can be set per pipeline */
    bool f16_arithmetic, storage_16bit, storage_8bit, int8, int16, int64;
    bool integer_dot_product, cooperative_matrix;
    bool timestamps;
    double timestamp_ns; /* nanoseconds per tick */
    bool memory_budget, pipeline_executable_properties, subgroup_uniform_control_flow;
} gpu_caps;

/* Receives every validation message of the device's lifetime when validation is on, from any thread but one
 * at a time. */
typedef void (*gpu_message_fn)(void *user, const char *message);

typedef struct gpu_options {
    const char
        *select; /* index (below 100), or part of the device's name (case ignored); NULL: the best device */
    const char *cache_dir; /* directory of the pipeline cache file; NULL: no file is read or written */
    bool validation; /* VK_LAYER_KHRONOS_validation with synchronisation checks; UNSUPPORTED if absent */
    gpu_message_fn message;
    void *message_user;
    /* Restrictions for tests: behave like a lesser device (0 / false: none). */
    uint64_t limit_storage_range_bytes;
    uint64_t limit_memory_bytes; /* gpu_buffer_create fails beyond this much in all */
    bool forbid_subgroups;
    /* Nothing is executed: buffers have no memory, what is recorded is checked and dropped, and every
     * pipeline keeps what the compiler says of it (gpu_compiled_get). For drivers that compile without
     * hardware, which offer no memory. UNSUPPORTED where the driver tells nothing. */
    bool compile_only;
} gpu_options;

/* Describes every physical device of Vulkan 1.1 or newer with a compute queue. *caps is a malloc'd array
 * (free it with free); NO_DEVICE when there is no loader, driver or device. Order = index of `select`. */
vkdlm_status gpu_enumerate(gpu_caps **caps, uint32_t *count, vkdlm_error *err);

/* Which device of the array `select` names (the rule of gpu_options.select; the best: discrete, integrated,
 * virtual, CPU, other; among equals the most memory, then the first). INVALID_ARGUMENT names what exists. */
vkdlm_status gpu_choose(const gpu_caps *caps, uint32_t count, const char *select, uint32_t *index,
                        vkdlm_error *err);

/* Opens a device. options NULL means all defaults. Errors: NO_DEVICE, INVALID_ARGUMENT, UNSUPPORTED,
 * OUT_OF_*. */
vkdlm_status gpu_device_open(const gpu_options *options, gpu_device **out, vkdlm_error *err);

/* Writes the pipeline cache back (temporary name and rename; failures are ignored) and frees everything.
 * Every object of the device must have been destroyed before. NULL is allowed. */
void gpu_device_close(gpu_device *device);

const gpu_caps *gpu_device_caps(const gpu_device *device);

/* Bytes of device memory held by buffers now, and the most so far. */
uint64_t gpu_device_bytes(const gpu_device *device);
uint64_t gpu_device_peak_bytes(const gpu_device *device);

/* Bytes that can still be allocated: the heap's size (for a CPU device half of the host's memory) less what
 * this device object already holds, and no more than the budget where the driver reports one. */
uint64_t gpu_device_available_bytes(const gpu_device *device);

/* Device pipelines asked for so far, and how many bytes of a cache file were accepted (0: cold). */
uint32_t gpu_device_pipelines(const gpu_device *device);
size_t gpu_device_cache_bytes(const gpu_device *device);

/* Where something about a device and its driver is kept between runs:
 * "<cache_dir>/<kind>-<vendor>-<device>-<driver version>-<uuid><suffix>". The caller frees it; NULL when out
 * of memory. */
char *gpu_cache_path(const gpu_caps *caps, const char *cache_dir, const char *kind, const char *suffix);

/* A hash of every kernel's code: what was learned with another one is out of date. */
uint64_t gpu_shader_hash(void);

/* One object of a higher layer that lives as long as the device: attached once, before the device is shared;
 * destroyed by gpu_device_close before anything else. */
void gpu_device_attach(gpu_device *device, void *object, void (*destroy)(void *object));
void *gpu_device_attached(const gpu_device *device);

/* ---- buffers ---------------------------------------------------------------------------------- */

enum gpu_memory {
    GPU_MEMORY_DEVICE, /* device-local; not mapped */
    GPU_MEMORY_UPLOAD, /* host-visible and coherent, written by the host, read by kernels or copies; mapped */
    GPU_MEMORY_READBACK, /* host-visible and coherent (cached where possible), written by kernels; mapped */
};

typedef struct gpu_buffer {
    gpu_device *device;
    void *handle, *memory; /* VkBuffer, VkDeviceMemory */
    uint64_t size_bytes;
    void *mapped; /* NULL for GPU_MEMORY_DEVICE */
} gpu_buffer;

/* Creates a storage and texel buffer (also source and target of copies). size_bytes 0 is rounded up to 16. A
 * buffer may be larger than max_storage_range_bytes (it is then bound in slices) but not than
 * max_allocation_bytes. Contents are undefined. OUT_OF_DEVICE_MEMORY says what (`what`: "activations", ...),
 * how much is needed and how much there is. */
vkdlm_status gpu_buffer_create(gpu_device *device, enum gpu_memory memory, uint64_t size_bytes,
                               const char *what, gpu_buffer *out, vkdlm_error *err);

/* Frees and zeroes; a zeroed buffer is allowed. No submission may still use it. */
void gpu_buffer_destroy(gpu_buffer *buffer);

/* A range of a buffer, as kernels see it. bytes is at most max_storage_range_bytes, offset_bytes a multiple
 * of storage_alignment_bytes. */
typedef struct gpu_view {
    const gpu_buffer *buffer;
    uint64_t offset_bytes;
    uint64_t bytes;
} gpu_view;

/* The whole buffer. */
static inline gpu_view gpu_view_all(const gpu_buffer *buffer)
{
    gpu_view view = {buffer, 0, buffer->size_bytes};
    return view;
}

/* Rows first .. first+n-1 of a view of rows of row_bytes, cut at the view's end. */
static inline gpu_view gpu_view_rows(gpu_view view, uint64_t first, uint64_t n, uint64_t row_bytes)
{
    uint64_t at = u64_min(first * row_bytes, view.bytes);
    gpu_view rows = {view.buffer, view.offset_bytes + at, u64_min(n * row_bytes, view.bytes - at)};
    return rows;
}

/* ---- pipelines -------------------------------------------------------------------------------- */

typedef struct gpu_pipeline gpu_pipeline;

#define GPU_MAX_SPEC     12
#define GPU_MAX_BINDINGS 12

/* Values of the specialisation constants 0 .. n-1 (all are 32-bit; floats by their bits). When the shader
 * takes its workgroup size from specialisation constants, they are resolved through these. */
typedef struct gpu_spec {
    uint32_t n;
    uint32_t value[GPU_MAX_SPEC];
    uint32_t subgroup_size; /* required size where subgroup_size_control exists; 0: the driver's choice */
} gpu_spec;

/* The pipeline of a kernel with these constants, made when it is first asked for and kept by the device.
 * Bindings, their access (readonly/writeonly in GLSL) and the push-constant size are read from the SPIR-V,
 * and held against the device's limits; the driver then compiles it on a thread of the device while the
 * caller goes on, and gpu_submit_wait waits for those that its recording needs (and reports those that the
 * driver cannot create). spec may be NULL. */
vkdlm_status gpu_pipeline_get(gpu_device *device, enum gpu_kernel kernel, const gpu_spec *spec,
                              const gpu_pipeline **out, vkdlm_error *err);

/* For tests: pipelines of the kernel that are created from now on get another value for one of their
 * constants than was asked for, as if the driver had compiled the kernel wrongly. */
void gpu_device_spoil(gpu_device *device, enum gpu_kernel kernel, uint32_t constant, uint32_t value);

const char *gpu_kernel_name(enum gpu_kernel kernel);

/* Whether the build has code for the kernel: false when the shader compiler lacked an extension it needs. */
bool gpu_kernel_built(enum gpu_kernel kernel);

/* The workgroup size with the pipeline's specialisation constants applied. */
void gpu_pipeline_local_size(const gpu_pipeline *pipeline, uint32_t size[3]);

/* One number that the driver tells of a compiled pipeline; names are its own ("VGPRs"). */
typedef struct gpu_statistic {
    char name[48];
    double value;
} gpu_statistic;

#define GPU_MAX_STATISTICS 48

typedef struct gpu_compiled {
    enum gpu_kernel kernel;
    gpu_spec spec;
    uint32_t subgroup_size; /* that the compiler took */
    uint32_t n_statistics;
    gpu_statistic statistics[GPU_MAX_STATISTICS];
} gpu_compiled;

/* What the compiler says of a pipeline of a compile-only device; number: 0 .. gpu_device_pipelines() - 1, in
 * order of creation. */
vkdlm_status gpu_compiled_get(gpu_device *device, uint32_t number, gpu_compiled *out, vkdlm_error *err);

/* ---- commands --------------------------------------------------------------------------------- */

/* Records dispatches and copies, submits them once, waits. Memory dependencies between the recorded commands
 * are found from the views and the kernels' declared access: a barrier is placed exactly where a later
 * command touches a range that an earlier one wrote (or writes one that an earlier one read). */
typedef struct gpu_commands gpu_commands;

vkdlm_status gpu_commands_create(gpu_device *device, gpu_commands **out, vkdlm_error *err);
void gpu_commands_destroy(gpu_commands *commands);

/* Starts a new recording; what was recorded before must have completed. */
vkdlm_status gpu_commands_begin(gpu_commands *commands, vkdlm_error *err);

/* Records one dispatch. views[i] is binding i of set 0; push holds push_bytes of push constants. groups are
 * asserted against the device's limits. A failure is remembered and reported by submit, so that recording
 * code needs no check per dispatch. A zero group count records nothing. */
void gpu_dispatch(gpu_commands *commands, const gpu_pipeline *pipeline, const gpu_view *views,
                  uint32_t n_views, const void *push, uint32_t push_bytes, uint32_t groups_x,
                  uint32_t groups_y, uint32_t groups_z);

/* Remembers a failure of the code that records (a pipeline that could not be created); the first one wins and
 * submit reports it instead of submitting. */
void gpu_commands_fail(gpu_commands *commands, const vkdlm_error *err);

/* Memory of the recorder's own, in which an operation hands numbers from one dispatch to the next: up to
 * GPU_SCRATCH_BYTES (less on devices whose bindings are smaller), contents undefined. It is made when it is
 * first asked for and kept until the recorder is destroyed. */
#define GPU_SCRATCH_BYTES (2u << 20)
vkdlm_status gpu_commands_scratch(gpu_commands *commands, gpu_view *out, vkdlm_error *err);

void gpu_copy(gpu_commands *commands, const gpu_buffer *from, uint64_t from_offset, const gpu_buffer *to,
              uint64_t to_offset, uint64_t bytes);
/* Fills with a repeated 32-bit value; offset and bytes are multiples of 4. */
void gpu_fill(gpu_commands *commands, const gpu_buffer *buffer, uint64_t offset, uint64_t bytes,
              uint32_t value);

/* Marks the time on the device here; at most GPU_MAX_MARKS a recording; ignored without timestamps. */
#define GPU_MAX_MARKS 64
void gpu_mark(gpu_commands *commands);

/* Submits and waits until everything is complete and visible to the host. After it, n_marks-1 intervals
 * between marks can be read with gpu_mark_ns. */
vkdlm_status gpu_submit_wait(gpu_commands *commands, vkdlm_error *err);

/* Device time between mark i and mark i+1 of the last submission, in ns; 0 without timestamps. */
uint64_t gpu_mark_ns(const gpu_commands *commands, uint32_t interval);

/* Dispatches and barriers of the recording so far (for tests and benchmarks). */
uint32_t gpu_commands_dispatches(const gpu_commands *commands);
uint32_t gpu_commands_barriers(const gpu_commands *commands);

/* ---- uploads ---------------------------------------------------------------------------------- */

/* A ring of staging memory (two halves of half_bytes): the host fills one half while the device copies the
 * other. */
typedef struct gpu_upload gpu_upload;

vkdlm_status gpu_upload_create(gpu_device *device, uint64_t half_bytes, gpu_upload **out, vkdlm_error *err);
/* Waits for what is in flight. NULL is allowed. */
void gpu_upload_destroy(gpu_upload *upload);

/* The largest piece that gpu_upload_reserve gives. */
uint64_t gpu_upload_max_bytes(const gpu_upload *upload);

/* Reserves `bytes` (<= max) of staging memory to be filled by the caller, whose contents go to `to` at
 * to_offset (multiple of 4). *out is valid until the next reserve or flush. */
vkdlm_status gpu_upload_reserve(gpu_upload *upload, const gpu_buffer *to, uint64_t to_offset, uint64_t bytes,
                                void **out, vkdlm_error *err);
/* Completes every copy. */
vkdlm_status gpu_upload_flush(gpu_upload *upload, vkdlm_error *err);

#endif

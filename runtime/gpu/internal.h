/* What the files of gpu/ share. Nothing outside this folder includes it. */
#ifndef GPU_INTERNAL_H
#define GPU_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <volk.h>

#include "base/error.h"
#include "gpu/gpu.h"
#include "gpu/spirv.h"

/* ---- results (result.c) ------------------------------------------------------------------------- */

/* The status that stands for a VkResult, with the sentence "<what>: <why> (<VkResult>)". */
vkdlm_status result_set(vkdlm_error *err, VkResult result, const char *what);

/* ---- instance (instance.c) ---------------------------------------------------------------------- */

/* Instance functions, loaded per instance so that no thread changes another's. */
#define INSTANCE_FUNCTIONS(X)                 \
    X(DestroyInstance)                        \
    X(EnumeratePhysicalDevices)               \
    X(EnumerateDeviceExtensionProperties)     \
    X(GetPhysicalDeviceProperties)            \
    X(GetPhysicalDeviceProperties2)           \
    X(GetPhysicalDeviceFeatures2)             \
    X(GetPhysicalDeviceMemoryProperties)      \
    X(GetPhysicalDeviceMemoryProperties2)     \
    X(GetPhysicalDeviceQueueFamilyProperties) \
    X(CreateDevice)

typedef struct instance {
    const gpu_options *options;   /* the caller's; only its message function is used */
    pthread_mutex_t message_lock; /* one message at a time */
    VkInstance handle;
    uint32_t api_version;      /* the version asked for: what devices may use at most */
    VkPhysicalDevice *devices; /* those with Vulkan 1.1 and a compute queue */
    uint32_t n_devices;
#define INSTANCE_MEMBER(name) PFN_vk##name name;
    INSTANCE_FUNCTIONS(INSTANCE_MEMBER)
#undef INSTANCE_MEMBER
} instance;

/* Creates an instance and lists its usable devices (at least one). options may be NULL; they live as long as
 * the instance, which must not be moved. *out must be zeroed; instance_destroy frees it after success and
 * after failure. */
vkdlm_status instance_create(const gpu_options *options, instance *out, vkdlm_error *err);
void instance_destroy(instance *instance);

/* The queue family to use: compute without graphics where there is one (its watchdog is more patient and the
 * desktop stays smooth), else any with compute; UINT32_MAX when there is none. */
uint32_t instance_queue_family(const instance *instance, VkPhysicalDevice physical, uint32_t *timestamp_bits);

/* ---- capabilities (caps.c) ---------------------------------------------------------------------- */

/* VK_KHR_cooperative_matrix is younger than the headers of Debian 12. */
#ifndef VK_KHR_cooperative_matrix
#define VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR ((VkStructureType)1000506000)
typedef struct VkPhysicalDeviceCooperativeMatrixFeaturesKHR {
    VkStructureType sType;
    void *pNext;
    VkBool32 cooperativeMatrix;
    VkBool32 cooperativeMatrixRobustBufferAccess;
} VkPhysicalDeviceCooperativeMatrixFeaturesKHR;
#endif

#define CAPS_MAX_EXTENSIONS 16

/* Features and extensions to enable: exactly those that caps reports. `features` heads the chain given to
 * vkCreateDevice; the struct must not be moved once filled. */
typedef struct caps_enable {
    const char *extensions[CAPS_MAX_EXTENSIONS];
    uint32_t n_extensions;
    VkPhysicalDeviceFeatures2 features;
    VkPhysicalDevice16BitStorageFeatures storage_16bit;
    VkPhysicalDevice8BitStorageFeatures storage_8bit;
    VkPhysicalDeviceShaderFloat16Int8Features float16_int8;
    VkPhysicalDeviceSubgroupSizeControlFeatures subgroup_size;
    VkPhysicalDeviceShaderSubgroupUniformControlFlowFeaturesKHR subgroup_flow;
    VkPhysicalDeviceShaderIntegerDotProductFeatures integer_dot;
    VkPhysicalDeviceVulkanMemoryModelFeatures memory_model;
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR cooperative_matrix;
} caps_enable;

/* Describes a device; enable may be NULL. OUT_OF_HOST_MEMORY or a driver's failure. */
vkdlm_status caps_query(const instance *instance, VkPhysicalDevice physical, gpu_caps *caps,
                        caps_enable *enable, vkdlm_error *err);

/* Lowers caps as the test restrictions of options say. */
void caps_restrict(gpu_caps *caps, const gpu_options *options);

/* ---- threads that create pipelines (compiler.c) -------------------------------------------------- */

enum { COMPILER_MAX_THREADS = 16 };

/* Created with a device. Its threads start when pipelines are queued, as many as the machine has processors
 * for, and wait for more until the device is closed. */
typedef struct compiler {
    pthread_mutex_t lock; /* of everything below, and of the states of pipelines */
    pthread_cond_t work;  /* there is something in the queue, or the device closes */
    pthread_cond_t done;  /* some pipeline was created, or could not be */
    gpu_pipeline *first, *last;
    uint32_t n_queued;
    pthread_t threads[COMPILER_MAX_THREADS];
    uint32_t n_threads, max_threads, n_idle;
    bool stopping;
} compiler;

void compiler_init(compiler *compiler);
void compiler_deinit(compiler *compiler);

/* Queues a new pipeline and returns at once. */
void compiler_add(gpu_device *device, gpu_pipeline *pipeline);

/* Returns when the pipeline's handle can be used, creating what is queued meanwhile. What failed is tried
 * once more by each caller, who gets the driver's answer. */
vkdlm_status compiler_wait(gpu_device *device, gpu_pipeline *pipeline, vkdlm_error *err);

/* Ends the threads after what they are creating; what is queued stays uncreated. */
void compiler_stop(gpu_device *device);

/* ---- device (device.c) -------------------------------------------------------------------------- */

struct gpu_device {
    gpu_options options; /* a copy: the messenger points at it */
    instance instance;
    VkPhysicalDevice physical;
    VkDevice handle;
    struct VolkDeviceTable vk;
    VkQueue queue;
    uint32_t queue_family;
    gpu_caps caps;
    VkPhysicalDeviceMemoryProperties memory;
    compiler compiler;

    pthread_mutex_t queue_lock;
    pthread_mutex_t lock; /* of everything below */
    uint64_t bytes, peak_bytes;
    gpu_pipeline *pipelines[GPU_KERNEL_COUNT + 1]; /* a list per kernel */
    struct {
        enum gpu_kernel kernel;
        uint32_t constant, value;
        bool active;
    } spoiled; /* gpu_device_spoil */
    uint32_t n_pipelines;
    VkPipelineCache cache;
    char *cache_path; /* NULL: none */
    size_t cache_bytes;
    uint64_t cache_checksum; /* of the bytes accepted from the file */

    void *attached; /* set before the device is shared */
    void (*destroy_attached)(void *object);
};

/* Submits one command buffer and signals the fence. */
VkResult device_submit(gpu_device *device, VkCommandBuffer commands, VkFence fence);

/* Waits for a fence, patiently but not for ever. */
vkdlm_status device_wait(gpu_device *device, VkFence fence, vkdlm_error *err);

/* ---- pipelines (pipeline.c) --------------------------------------------------------------------- */

enum pipeline_state { PIPELINE_QUEUED, PIPELINE_CREATING, PIPELINE_READY, PIPELINE_FAILED };

/* Everything but the driver's pipeline is there from the start and does not change. */
struct gpu_pipeline {
    gpu_pipeline *next;
    uint32_t number; /* in order of creation */
    enum gpu_kernel kernel;
    gpu_spec spec;
    spirv_info info;
    uint32_t n_bindings; /* used bindings; the highest of them is info.max_binding */
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;

    gpu_pipeline *next_queued;
    enum pipeline_state state;
    atomic_bool ready; /* PIPELINE_READY: the handle does not change any more */
    VkPipeline handle;
};

static inline VkDescriptorType binding_type(const spirv_binding *binding)
{
    return binding->kind == SPIRV_STORAGE ? VK_DESCRIPTOR_TYPE_STORAGE_BUFFER
                                          : VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER;
}

/* Has the driver create the handle. */
vkdlm_status pipeline_compile(gpu_device *device, gpu_pipeline *pipeline, vkdlm_error *err);

void pipeline_destroy_all(gpu_device *device);

/* ---- descriptors (descriptors.c) ------------------------------------------------------------------ */

/* The descriptor sets of one recording at a time. A zeroed struct is empty. */
typedef struct descriptors {
    VkDescriptorPool *pools;
    uint32_t n_pools, n_used;             /* the last of the used ones is not full yet */
    uint32_t sets_left, descriptors_left; /* of it */
    VkBufferView *texel_views;
    uint32_t n_texel_views, texel_views_room;
} descriptors;

void descriptors_deinit(descriptors *descriptors, gpu_device *device);

/* Starts a recording: no set of an earlier one may be in use any more. */
VkResult descriptors_reset(descriptors *descriptors, gpu_device *device);

/* A set with the used bindings of a pipeline; views[i] is binding i. */
vkdlm_status descriptors_write(descriptors *descriptors, gpu_device *device, const gpu_pipeline *pipeline,
                               const gpu_view *views, VkDescriptorSet *out, vkdlm_error *err);

/* Destroys the views of texels, when what was recorded is complete. */
void descriptors_drop_texels(descriptors *descriptors, gpu_device *device);

/* ---- pipeline cache file (cache.c) -------------------------------------------------------------- */

/* Creates device->cache, from the file in cache_dir when there is a sound one (cache_dir NULL: no file).
 * Fails only when the driver cannot create an empty cache. */
vkdlm_status cache_open(gpu_device *device, const char *cache_dir, vkdlm_error *err);

/* Writes the cache back when it changed, and destroys it. */
void cache_close(gpu_device *device);

#endif

#include "gpu/internal.h"

static const struct {
    VkResult result;
    vkdlm_status status;
    const char *name, *why;
} results[] = {
#define ROW(name, status, why) {name, VKDLM_##status, #name, why},
    ROW(VK_NOT_READY, INTERNAL, "the result is not ready") ROW(VK_TIMEOUT, DEVICE_LOST,
                                                               "the device did not finish in time")
        ROW(VK_INCOMPLETE, INTERNAL, "the driver's answer is incomplete")
            ROW(VK_ERROR_OUT_OF_HOST_MEMORY, OUT_OF_HOST_MEMORY, "the driver is out of host memory") ROW(
                VK_ERROR_OUT_OF_DEVICE_MEMORY, OUT_OF_DEVICE_MEMORY, "the device is out of memory")
                ROW(VK_ERROR_INITIALIZATION_FAILED, NO_DEVICE, "the driver could not be initialised") ROW(
                    VK_ERROR_DEVICE_LOST, DEVICE_LOST,
                    "the driver lost the device (a crash, a reset or the watchdog)")
                    ROW(VK_ERROR_MEMORY_MAP_FAILED, OUT_OF_HOST_MEMORY, "device memory could not be mapped")
                        ROW(VK_ERROR_LAYER_NOT_PRESENT, UNSUPPORTED, "a layer is not installed")
                            ROW(VK_ERROR_EXTENSION_NOT_PRESENT, UNSUPPORTED, "the driver lacks an extension")
                                ROW(VK_ERROR_FEATURE_NOT_PRESENT, UNSUPPORTED, "the driver lacks a feature")
                                    ROW(VK_ERROR_INCOMPATIBLE_DRIVER, NO_DEVICE,
                                        "no compatible driver is installed")
                                        ROW(VK_ERROR_TOO_MANY_OBJECTS, OUT_OF_DEVICE_MEMORY,
                                            "the driver allows no more allocations")
                                            ROW(VK_ERROR_FRAGMENTED_POOL, OUT_OF_DEVICE_MEMORY,
                                                "a descriptor pool is fragmented")
                                                ROW(VK_ERROR_OUT_OF_POOL_MEMORY, OUT_OF_DEVICE_MEMORY,
                                                    "a descriptor pool is full")
                                                    ROW(VK_ERROR_INVALID_SHADER_NV, INTERNAL,
                                                        "the driver rejected a shader")
                                                        ROW(VK_ERROR_UNKNOWN, INTERNAL,
                                                            "the driver failed for a reason of its own")
#undef ROW
};

vkdlm_status result_set(vkdlm_error *err, VkResult result, const char *what)
{
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        if (results[i].result == result)
            return error_set(err, results[i].status, "%s: %s (%s)", what, results[i].why, results[i].name);
    return error_set(err, VKDLM_INTERNAL, "%s: the driver failed (VkResult %d)", what, (int)result);
}

/* Loader, instance, validation, and the choice of a device. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/internal.h"

#define NO_DRIVER_ADVICE \
    "install mesa-vulkan-drivers (any GPU, or none: it has a CPU driver) or the GPU vendor's driver"

/* volk keeps the loader's entry points in process-wide variables: they are filled once, here, and only read
 * afterwards. Instance functions are the loader's trampolines, the same for every instance. */
static pthread_mutex_t loader_lock = PTHREAD_MUTEX_INITIALIZER;
static enum { LOADER_UNTRIED, LOADER_READY, LOADER_MISSING } loader_state;
static bool loader_has_device_functions;

static bool loader_init(void)
{
    pthread_mutex_lock(&loader_lock);
    if (loader_state == LOADER_UNTRIED)
        loader_state = volkInitialize() == VK_SUCCESS ? LOADER_READY : LOADER_MISSING;
    bool ready = loader_state == LOADER_READY;
    pthread_mutex_unlock(&loader_lock);
    return ready;
}

static void loader_complete(VkInstance handle)
{
    pthread_mutex_lock(&loader_lock);
    if (!loader_has_device_functions)
        volkLoadInstanceOnly(handle);
    loader_has_device_functions = true;
    pthread_mutex_unlock(&loader_lock);
}

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT types,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data, void *user)
{
    (void)severity;
    (void)types;
    instance *in = user;
    pthread_mutex_lock(&in->message_lock);
    in->options->message(in->options->message_user, data->pMessage ? data->pMessage : "(no text)");
    pthread_mutex_unlock(&in->message_lock);
    return VK_FALSE;
}

static bool has_instance_extension(const char *layer, const char *name)
{
    uint32_t n = 0;
    if (vkEnumerateInstanceExtensionProperties(layer, &n, NULL) != VK_SUCCESS || n == 0)
        return false;
    VkExtensionProperties *all = calloc(n, sizeof *all);
    bool found = false;
    if (all && vkEnumerateInstanceExtensionProperties(layer, &n, all) >= 0)
        for (uint32_t i = 0; i < n; i++)
            found = found || strcmp(all[i].extensionName, name) == 0;
    free(all);
    return found;
}

static bool has_layer(const char *name)
{
    uint32_t n = 0;
    if (vkEnumerateInstanceLayerProperties(&n, NULL) != VK_SUCCESS || n == 0)
        return false;
    VkLayerProperties *all = calloc(n, sizeof *all);
    bool found = false;
    if (all && vkEnumerateInstanceLayerProperties(&n, all) >= 0)
        for (uint32_t i = 0; i < n; i++)
            found = found || strcmp(all[i].layerName, name) == 0;
    free(all);
    return found;
}

static vkdlm_status create_handle(const gpu_options *options, instance *in, vkdlm_error *err)
{
    static const char *const layer = "VK_LAYER_KHRONOS_validation";
    bool validation = options && options->validation;
    if (validation && !has_layer(layer))
        return error_set(
            err, VKDLM_UNSUPPORTED,
            "validation was asked for but the layer %s is not installed (package vulkan-validationlayers)",
            layer);

    const char *extensions[2];
    uint32_t n_extensions = 0;
    VkInstanceCreateFlags flags = 0;
    if (has_instance_extension(NULL, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME)) {
        extensions[n_extensions++] = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
        flags = VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR;
    }

    static const VkValidationFeatureEnableEXT enables[] = {
        VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
    VkValidationFeaturesEXT features = {
        .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
        .enabledValidationFeatureCount = 1,
        .pEnabledValidationFeatures = enables,
    };
    VkDebugUtilsMessengerCreateInfoEXT messenger = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .pNext = &features,
        .messageSeverity =
            VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType =
            VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
        .pfnUserCallback = on_message,
        .pUserData = in,
    };
    bool listen =
        validation && options->message && has_instance_extension(layer, VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
    if (listen)
        extensions[n_extensions++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;

    in->api_version =
        VK_API_VERSION_1_3 < volkGetInstanceVersion() ? VK_API_VERSION_1_3 : volkGetInstanceVersion();
    if (in->api_version < VK_API_VERSION_1_1)
        return error_set(err, VKDLM_NO_DEVICE,
                         "the Vulkan loader is of version 1.0, 1.1 is needed: install a newer libvulkan1");
    VkApplicationInfo app = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pApplicationName = "vkdlm",
        .pEngineName = "vkdlm",
        .apiVersion = in->api_version,
    };
    VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pNext = listen       ? (const void *)&messenger
                 : validation ? (const void *)&features
                              : NULL,
        .flags = flags,
        .pApplicationInfo = &app,
        .enabledLayerCount = validation ? 1 : 0,
        .ppEnabledLayerNames = &layer,
        .enabledExtensionCount = n_extensions,
        .ppEnabledExtensionNames = extensions,
    };
    VkResult result = vkCreateInstance(&info, NULL, &in->handle);
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER) {
        in->handle = NULL;
        return error_set(err, VKDLM_NO_DEVICE, "no Vulkan driver was found: " NO_DRIVER_ADVICE);
    }
    if (result != VK_SUCCESS) {
        in->handle = NULL;
        return result_set(err, result, "cannot create a Vulkan instance");
    }
    return VKDLM_OK;
}

/* Keeps the devices of Vulkan 1.1 or newer that have a compute queue. */
static vkdlm_status list_devices(instance *in, vkdlm_error *err)
{
    uint32_t n = 0;
    VkResult result = in->EnumeratePhysicalDevices(in->handle, &n, NULL);
    if (result == VK_SUCCESS && n > 0) {
        in->devices = calloc(n, sizeof *in->devices);
        if (!in->devices)
            return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for the list of %u devices", n);
        result = in->EnumeratePhysicalDevices(in->handle, &n, in->devices);
    }
    if (result < 0 && result != VK_ERROR_INITIALIZATION_FAILED)
        return result_set(err, result, "cannot list the Vulkan devices");
    for (uint32_t i = 0; result >= 0 && i < n; i++) {
        VkPhysicalDeviceProperties properties;
        in->GetPhysicalDeviceProperties(in->devices[i], &properties);
        uint32_t bits;
        if (properties.apiVersion >= VK_API_VERSION_1_1 &&
            instance_queue_family(in, in->devices[i], &bits) != UINT32_MAX)
            in->devices[in->n_devices++] = in->devices[i];
    }
    if (in->n_devices == 0)
        return error_set(err, VKDLM_NO_DEVICE,
                         n == 0 ? "the Vulkan drivers offer no device: " NO_DRIVER_ADVICE
                                : "no Vulkan device has version 1.1 and a compute queue: " NO_DRIVER_ADVICE);
    return VKDLM_OK;
}

uint32_t instance_queue_family(const instance *in, VkPhysicalDevice physical, uint32_t *timestamp_bits)
{
    VkQueueFamilyProperties families[16];
    uint32_t n = sizeof families / sizeof *families;
    in->GetPhysicalDeviceQueueFamilyProperties(physical, &n, families);
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < n; i++) {
        if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) || families[i].queueCount == 0)
            continue;
        if (best == UINT32_MAX || ((families[best].queueFlags & VK_QUEUE_GRAPHICS_BIT) &&
                                   !(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT)))
            best = i;
    }
    *timestamp_bits = best == UINT32_MAX ? 0 : families[best].timestampValidBits;
    return best;
}

vkdlm_status instance_create(const gpu_options *options, instance *out, vkdlm_error *err)
{
    out->options = options;
    pthread_mutex_init(&out->message_lock, NULL);
    if (!loader_init())
        return error_set(
            err, VKDLM_NO_DEVICE,
            "the Vulkan loader (libvulkan.so.1) was not found: install libvulkan1, and " NO_DRIVER_ADVICE);
    vkdlm_status status = create_handle(options, out, err);
    if (status)
        return status;
    loader_complete(out->handle);
#define LOAD(name) out->name = (PFN_vk##name)vkGetInstanceProcAddr(out->handle, "vk" #name);
    INSTANCE_FUNCTIONS(LOAD)
#undef LOAD
    return list_devices(out, err);
}

void instance_destroy(instance *in)
{
    if (in->handle)
        in->DestroyInstance(in->handle, NULL);
    free(in->devices);
    pthread_mutex_destroy(&in->message_lock);
    memset(in, 0, sizeof *in);
}

vkdlm_status gpu_enumerate(gpu_caps **caps, uint32_t *count, vkdlm_error *err)
{
    *caps = NULL;
    *count = 0;
    instance in = {0};
    gpu_caps *all = NULL;
    vkdlm_status status = instance_create(NULL, &in, err);
    if (status)
        goto fail;
    all = calloc(in.n_devices, sizeof *all);
    if (!all) {
        status =
            error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for the list of %u devices", in.n_devices);
        goto fail;
    }
    for (uint32_t i = 0; i < in.n_devices && !status; i++)
        status = caps_query(&in, in.devices[i], &all[i], NULL, err);
    if (status)
        goto fail;
    *caps = all;
    *count = in.n_devices;
    all = NULL;
fail:
    free(all);
    instance_destroy(&in);
    return status;
}

static bool contains_ignoring_case(const char *text, const char *part)
{
    size_t n = strlen(part);
    for (; *text; text++) {
        size_t i = 0;
        while (i < n && text[i] && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i]))
            i++;
        if (i == n)
            return true;
    }
    return false;
}

/* Writes "0: name, 1: name" as far as it fits. */
static void list_names(const gpu_caps *caps, uint32_t count, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < count && used < size; i++) {
        int n = snprintf(text + used, size - used, "%s%u: %s", i ? ", " : "", i, caps[i].name);
        used += n > 0 ? (size_t)n : 0;
    }
}

vkdlm_status gpu_choose(const gpu_caps *caps, uint32_t count, const char *select, uint32_t *index,
                        vkdlm_error *err)
{
    if (count == 0)
        return error_set(err, VKDLM_NO_DEVICE, "there is no Vulkan device to choose from");
    /* Longer numbers are parts of names: "4090". */
    bool is_index = select && *select && strlen(select) < 3 && strspn(select, "0123456789") == strlen(select);
    uint32_t number = is_index ? (uint32_t)strtoul(select, NULL, 10) : UINT32_MAX;
    if (is_index && number < count) {
        *index = number;
        return VKDLM_OK;
    }
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        if (is_index || (select && (!*select || !contains_ignoring_case(caps[i].name, select))))
            continue;
        if (best == UINT32_MAX || caps[i].type < caps[best].type ||
            (caps[i].type == caps[best].type && caps[i].device_memory_bytes > caps[best].device_memory_bytes))
            best = i;
    }
    if (best == UINT32_MAX) {
        char names[700];
        list_names(caps, count, names, sizeof names);
        return error_set(err, VKDLM_INVALID_ARGUMENT, "device '%s' matches none of the %u found (%s)", select,
                         count, names);
    }
    *index = best;
    return VKDLM_OK;
}

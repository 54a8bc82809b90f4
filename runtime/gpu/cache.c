/* The file that keeps compiled pipelines between runs.
 *
 * <cache_dir>/pipelines-<vendor>-<device>-<driver version>-<uuid>.bin: a header of ours (struct file_header,
 * host byte order), then what vkGetPipelineCacheData gave. A file that is damaged, of other shaders or of
 * another driver is ignored and replaced at close; it is never half written (base/file.h), so that
 * processes that close at the same time leave one of their files. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "gpu/internal.h"

#define MAX_FILE_BYTES ((size_t)256 << 20)

typedef struct file_header {
    char magic[8];
    uint32_t version;
    uint32_t zero;
    uint64_t shader_hash; /* of every kernel's SPIR-V */
    uint64_t data_bytes;
    uint64_t data_checksum;
} file_header;

static const char file_magic[8] = "vkdlmPC";
enum { FILE_VERSION = 1 };

/* FNV-1a over 64-bit words (the tail byte by byte). */
static uint64_t hash_bytes(uint64_t hash, const void *data, size_t n)
{
    const unsigned char *bytes = data;
    const uint64_t prime = 0x100000001b3u;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        hash = (hash ^ word) * prime;
        hash ^= hash >> 29;
    }
    for (; i < n; i++)
        hash = (hash ^ bytes[i]) * prime;
    return hash;
}

#define HASH_START 0xcbf29ce484222325u

uint64_t gpu_shader_hash(void)
{
    uint64_t hash = HASH_START;
    for (int i = 0; i < GPU_KERNEL_COUNT; i++)
        hash = hash_bytes(hash, gpu_kernel_codes[i].words, gpu_kernel_codes[i].n_words * sizeof(uint32_t));
    return hash;
}

char *gpu_cache_path(const gpu_caps *caps, const char *dir, const char *kind, const char *suffix)
{
    char uuid[2 * sizeof caps->pipeline_cache_uuid + 1];
    for (size_t i = 0; i < sizeof caps->pipeline_cache_uuid; i++)
        snprintf(uuid + 2 * i, 3, "%02x", caps->pipeline_cache_uuid[i]);
    const size_t room = strlen(dir) + strlen(kind) + strlen(suffix) + 80;
    char *path = malloc(room);
    if (path)
        snprintf(path, room, "%s/%s-%04x-%04x-%08x-%s%s", dir, kind, caps->vendor_id, caps->device_id,
                 caps->driver_version, uuid, suffix);
    return path;
}

/* The whole file, malloc'd, or NULL when it is not there, unreadable or absurd. */
static unsigned char *read_file(const char *path, size_t *n_bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct stat info;
    unsigned char *data = NULL;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0 &&
        (uint64_t)info.st_size <= MAX_FILE_BYTES) {
        size_t size = (size_t)info.st_size, used = 0;
        data = malloc(size);
        while (data && used < size) {
            ssize_t n = read(fd, data + used, size - used);
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                break;
            used += (size_t)n;
        }
        *n_bytes = used;
    }
    close(fd);
    return data;
}

/* Whether the file's bytes are a cache of these shaders for this device, unharmed. */
static bool is_sound(const gpu_caps *caps, const unsigned char *file, size_t n_bytes)
{
    file_header header;
    VkPipelineCacheHeaderVersionOne driver;
    if (n_bytes < sizeof header + sizeof driver)
        return false;
    memcpy(&header, file, sizeof header);
    memcpy(&driver, file + sizeof header, sizeof driver);
    const unsigned char *data = file + sizeof header;
    return memcmp(header.magic, file_magic, sizeof file_magic) == 0 && header.version == FILE_VERSION &&
           header.zero == 0 && header.shader_hash == gpu_shader_hash() &&
           header.data_bytes == n_bytes - sizeof header &&
           header.data_checksum == hash_bytes(HASH_START, data, n_bytes - sizeof header) &&
           driver.headerVersion == VK_PIPELINE_CACHE_HEADER_VERSION_ONE &&
           driver.vendorID == caps->vendor_id && driver.deviceID == caps->device_id &&
           memcmp(driver.pipelineCacheUUID, caps->pipeline_cache_uuid, sizeof caps->pipeline_cache_uuid) == 0;
}

vkdlm_status cache_open(gpu_device *d, const char *cache_dir, vkdlm_error *err)
{
    unsigned char *file = NULL;
    size_t n_bytes = 0;
    d->cache_path = cache_dir && *cache_dir ? gpu_cache_path(&d->caps, cache_dir, "pipelines", ".bin") : NULL;
    if (d->cache_path)
        file = read_file(d->cache_path, &n_bytes);
    bool sound = file && is_sound(&d->caps, file, n_bytes);
    VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
    if (sound) {
        info.pInitialData = file + sizeof(file_header);
        info.initialDataSize = n_bytes - sizeof(file_header);
    }
    VkResult result = d->vk.vkCreatePipelineCache(d->handle, &info, NULL, &d->cache);
    if (result == VK_SUCCESS && sound) {
        d->cache_bytes = info.initialDataSize;
        d->cache_checksum = hash_bytes(HASH_START, info.pInitialData, info.initialDataSize);
    }
    if (result != VK_SUCCESS && sound) {
        info.pInitialData = NULL;
        info.initialDataSize = 0;
        result = d->vk.vkCreatePipelineCache(d->handle, &info, NULL, &d->cache);
    }
    free(file);
    return result == VK_SUCCESS ? VKDLM_OK : result_set(err, result, "cannot create a pipeline cache");
}

/* Failures are not told: the next start compiles again. */
static void write_file(const char *path, const void *data, size_t n)
{
    file_header header = {.version = FILE_VERSION,
                          .shader_hash = gpu_shader_hash(),
                          .data_bytes = n,
                          .data_checksum = hash_bytes(HASH_START, data, n)};
    memcpy(header.magic, file_magic, sizeof file_magic);
    file_make_parents(path);
    file_output *output;
    if (file_output_create(path, &output, NULL))
        return;
    if (file_output_write(output, &header, sizeof header, NULL) || file_output_write(output, data, n, NULL))
        file_output_abort(output);
    else
        file_output_commit(output, false, NULL);
}

/* The driver's cache data, malloc'd; NULL when it cannot be had or is not worth a file. */
static void *get_data(gpu_device *d, size_t *n)
{
    *n = 0;
    if (d->vk.vkGetPipelineCacheData(d->handle, d->cache, n, NULL) != VK_SUCCESS || *n == 0 ||
        *n > MAX_FILE_BYTES / 2)
        return NULL;
    void *data = malloc(*n);
    if (data && d->vk.vkGetPipelineCacheData(d->handle, d->cache, n, data) != VK_SUCCESS) {
        free(data);
        data = NULL;
    }
    return data;
}

void cache_close(gpu_device *d)
{
    if (d->cache && d->cache_path && d->n_pipelines > 0) {
        size_t n;
        void *data = get_data(d, &n);
        if (data && (n != d->cache_bytes || hash_bytes(HASH_START, data, n) != d->cache_checksum))
            write_file(d->cache_path, data, n);
        free(data);
    }
    if (d->cache)
        d->vk.vkDestroyPipelineCache(d->handle, d->cache, NULL);
    free(d->cache_path);
    d->cache = VK_NULL_HANDLE;
    d->cache_path = NULL;
}

/* Status codes and error reports shared by every public function.
 *
 * Thread rules: these functions touch no shared state. */
#ifndef VKDLM_STATUS_H
#define VKDLM_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define VKDLM_API
#else
#define VKDLM_API __attribute__((visibility("default")))
#endif

/* The one list of status codes: X(suffix, text). */
#define VKDLM_STATUS_LIST(X)                        \
    X(OK, "success")                                \
    X(CANCELLED, "cancelled by the caller")         \
    X(INVALID_ARGUMENT, "invalid argument")         \
    X(NOT_FOUND, "not found")                       \
    X(IO, "input/output error")                     \
    X(MALFORMED, "malformed file")                  \
    X(UNSUPPORTED, "unsupported")                   \
    X(OUT_OF_HOST_MEMORY, "out of host memory")     \
    X(OUT_OF_DEVICE_MEMORY, "out of device memory") \
    X(NO_DEVICE, "no usable Vulkan device")         \
    X(DEVICE_LOST, "device lost")                   \
    X(INTERNAL, "internal error")

typedef enum vkdlm_status {
#define VKDLM_STATUS_ENUM(name, text) VKDLM_##name,
    VKDLM_STATUS_LIST(VKDLM_STATUS_ENUM)
#undef VKDLM_STATUS_ENUM
} vkdlm_status;

/* Filled by a failing function: one sentence that says what, where, expected and found.
 * A function that succeeds leaves it untouched. Always NUL-terminated, valid UTF-8. */
typedef struct vkdlm_error {
    vkdlm_status status;
    char message[1024];
} vkdlm_error;

/* Static text of a status; "unknown status" for a value outside the list. */
VKDLM_API const char *vkdlm_status_text(vkdlm_status status);

/* Version of the library, "MAJOR.MINOR.PATCH". */
VKDLM_API const char *vkdlm_version(void);

#ifdef __cplusplus
}
#endif

#endif

#include <cairo.h>

#include "bench.h"
#include "message.h"

const char *bench_plot_absent(void)
{
    return NULL;
}

vkdlm_status bench_plot(const char *path, const bench_picture *picture, vkdlm_error *err)
{
    (void)picture;
    return message_set(err, VKDLM_IO, "cannot write '%.400s'", path);
}

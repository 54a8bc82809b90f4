/* Stands in for bench_plot.c in a build without cairo. */
#include "bench.h"
#include "message.h"

vkdlm_status bench_plot_check(const char *path, vkdlm_error *err)
{
    (void)path;
    return message_set(
        err, VKDLM_UNSUPPORTED,
        "'--png' is not part of this build: it was made without cairo (package libcairo2-dev)");
}

vkdlm_status bench_plot(const char *path, const bench_picture *picture, vkdlm_error *err)
{
    (void)picture;
    return bench_plot_check(path, err);
}

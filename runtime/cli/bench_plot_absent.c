/* Stands in for bench_plot.c in a build without cairo. */
#include "bench.h"
#include "message.h"

const char *bench_plot_absent(void)
{
    return "'--png' is not part of this build: it was made without cairo (package libcairo2-dev)";
}

vkdlm_status bench_plot(const char *path, const bench_picture *picture, vkdlm_error *err)
{
    (void)path, (void)picture;
    return message_set(err, VKDLM_UNSUPPORTED, "%s", bench_plot_absent());
}

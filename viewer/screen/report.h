/* What the viewer tells programs that watch it: where things lie, what is chosen, and how long frames take.
 */
#ifndef VIEWER_REPORT_H
#define VIEWER_REPORT_H

#include <string>

#include "panels/scene.h"

namespace viewer
{

/* Writes where each token of the last frame is and how it is filled, as JSON. False with a sentence in
 * error. */
bool write_layout(const std::string &path, const scene &s, std::string &error);

/* `--report`: after every frame that differs from the one before, a file that tells about it, replaced as a
 * whole. Writing takes none of the time that is told of a frame. */
class reporter
{
  public:
    /* "": off; then nothing is measured either. */
    void open(std::string path)
    {
        path_ = std::move(path);
    }
    /* Around what a frame computes and draws. */
    void begin_frame();
    void end_frame();
    /* Writes when anything but the times changed since the last call, or `always`. False with a sentence in
     * error. */
    bool write(const scene &s, bool always, std::string &error);

  private:
    std::string path_, written_;
    uint64_t n_frames_ = 0, worst_frame_ = 0, n_slow_ = 0;
    double begun_ms_ = 0, cpu_begun_ms_ = 0;
    double last_ms_ = 0, worst_ms_ = 0, cpu_worst_ms_ = 0, sum_ms_ = 0, cpu_sum_ms_ = 0;
};

} // namespace viewer

#endif

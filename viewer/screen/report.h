/* What the viewer tells programs that watch it: where things lie, what is chosen, and how long frames take.
 */
#ifndef VIEWER_REPORT_H
#define VIEWER_REPORT_H

#include <string>

#include "panels/scene.h"
#include "screen/painter.h"

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
    /* A frame begins with what the panels compute; then there may be a wait for the display, which does not
     * count, until it is drawn. One that is not ended was not shown, and does not count either. */
    void begin_frame();
    void begin_present();
    void begin_drawing();
    void end_frame(const effort &drawn);
    /* Writes when anything but the times changed since the last call, or `always`. False with a sentence in
     * error. */
    bool write(const scene &s, bool always, std::string &error);

  private:
    std::string path_, written_;
    /* Time, and processor time of all threads. */
    struct moment_ms {
        double real, cpu;
    };
    static moment_ms now();

    uint64_t n_frames_ = 0, worst_frame_ = 0, n_slow_ = 0;
    moment_ms begun_ = {}, presented_ = {}, drawing_ = {};
    moment_ms last_ = {}, worst_ = {}, sum_ = {}, sum_of_panels_ = {};
    effort most_ = {};
};

} // namespace viewer

#endif

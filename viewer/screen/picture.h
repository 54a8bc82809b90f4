/* Pictures as files. */
#ifndef VIEWER_PICTURE_H
#define VIEWER_PICTURE_H

#include <memory>

#include "screen/offscreen.h"

namespace viewer
{

/* Files appear whole: they are written under a temporary name beside the target. False with a sentence in
 * error. */
bool write_png(const std::string &path, const picture &p, std::string &error);

/* An animation, frame after frame. */
class gif_writer
{
  public:
    virtual ~gif_writer() = default;
    /* `hundredths` of a second that the frame stays. */
    virtual bool add(const picture &p, int hundredths, std::string &error) = 0;
    virtual bool finish(std::string &error) = 0;
};
std::unique_ptr<gif_writer> create_gif(const std::string &path, uint32_t width, uint32_t height,
                                       std::string &error);

} // namespace viewer

#endif

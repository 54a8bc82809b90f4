/* The command line of vkdlm-view. `vkdlm view` has the same options, tells of them and checks them first. */
#ifndef VIEWER_OPTIONS_H
#define VIEWER_OPTIONS_H

#include <string>
#include <vector>

#include "run/quantity.h"

namespace viewer
{

struct options {
    std::vector<std::string> files; /* one or two */
    std::string png, gif, frames, layout, report;
    int64_t step = -1, select = -1; /* -1: not given */
    uint32_t width = 1280, height = 800;
    double scale = 0, speed = 8; /* scale 0: that of the display, or by the picture's size */
    std::string device;          /* index or part of a name; "": chosen */
    quantity shown = quantity::commit_step;
    bool dark = false, guesses = false, help = false;
    /* A live run, of which the model is given in place of files. */
    std::string live, l2d, tokenizer;
    std::string given = "prompt", text, run = "{}", save;
    uint64_t seed = 0;
    uint32_t length = 0; /* 0: as the command line does */

    /* Whether pictures are made, and no window. */
    bool offscreen() const
    {
        return !png.empty() || !gif.empty() || !frames.empty() || !layout.empty();
    }
};

/* False with a sentence in error. */
bool read_options(const std::vector<std::string> &words, options &out, std::string &error);

} // namespace viewer

#endif

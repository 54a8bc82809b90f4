/* Pictures of all steps: drawn by this program started anew, so that the window goes on. */
#ifndef VIEWER_SAVE_H
#define VIEWER_SAVE_H

#include <sys/types.h>

#include "options.h"
#include "panels/scene.h"
#include "state/save_name.h"

namespace viewer
{

/* This program, drawing pictures. */
struct export_job {
    pid_t pid;
    int errors;            /* file that its standard error goes to */
    std::string path;      /* of what it draws */
    std::string temporary; /* recording that is removed when it is done; "": none */
};

/* Starts one. False with a sentence in error. */
bool start_export(scene &s, const options &o, save_kind kind, const std::string &path,
                  std::vector<export_job> &jobs, std::string &error);
/* Tells of those that are done; waits for them where `wait`. */
void poll_exports(scene &s, std::vector<export_job> &jobs, bool wait);

} // namespace viewer

#endif

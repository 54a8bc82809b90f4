/* What can be saved and under which names; pictures of all steps are drawn by this program started anew, so
 * that the window goes on. */
#ifndef VIEWER_SAVE_H
#define VIEWER_SAVE_H

#include <sys/types.h>

#include "options.h"
#include "scene.h"

namespace viewer
{

enum class save_kind { recording, png, gif, frames };
constexpr int n_save_kinds = 4;

/* By the ending of the name; a folder's otherwise. */
save_kind kind_of_name(const std::string &name);
/* The same name with the ending of another kind. */
std::string name_of_kind(const std::string &name, save_kind kind);
/* From a run's name: "run.safetensors" at step 3 gives "run-step3.png", "run.gif". */
std::string default_name(const std::string &run_name, save_kind kind, uint32_t step);
/* "~/" is the home of the user. */
std::string full_path(const std::string &name);

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

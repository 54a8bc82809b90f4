/* What can be saved, and under which names. Knows no window. */
#ifndef VIEWER_SAVE_NAME_H
#define VIEWER_SAVE_NAME_H

#include <cstdint>
#include <string>

namespace viewer
{

enum class save_kind { recording, png, gif, frames };
constexpr int n_save_kinds = 4;

/* The same name with the ending of another kind. */
std::string name_of_kind(const std::string &name, save_kind kind);
/* From a run's name: "run.safetensors" at step 3 gives "run-step3.png", "run.gif". */
std::string default_name(const std::string &run_name, save_kind kind, uint32_t step);
/* "~/" is the home of the user. */
std::string full_path(const std::string &name);

} // namespace viewer

#endif

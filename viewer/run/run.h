/* What the panels draw from: a recorded run, and later one that goes on. */
#ifndef VIEWER_RUN_H
#define VIEWER_RUN_H

#include <memory>
#include <string>
#include <string_view>

#include <vkdlm/trajectory.h>

namespace viewer
{

/* Pointers and views that a run hands out live as long as it does. */
class run
{
  public:
    virtual ~run() = default;
    /* To be shown to people. */
    virtual const std::string &name() const = 0;
    virtual const vkdlm_trajectory_info &info() const = 0;
    /* As vkdlm_trajectory_get_step and the others. */
    virtual bool step(uint32_t index, vkdlm_trajectory_step *out) const = 0;
    virtual bool evaluation(uint32_t index, vkdlm_trajectory_evaluation *out) const = 0;
    virtual uint32_t first_evaluation(uint32_t token) const = 0;
    /* The bytes of a token; empty with a NULL pointer when they are not known. */
    virtual std::string_view piece(int32_t id) const = 0;
};

/* Opens a recorded run. NULL on failure, with one sentence in error. */
std::unique_ptr<run> open_file(const std::string &path, std::string &error);

} // namespace viewer

#endif

/* Recorded runs. */
#include "run/text.h"

namespace viewer
{
namespace
{

class file_run final : public run
{
  public:
    file_run(const std::string &path, vkdlm_trajectory *trajectory) : trajectory_(trajectory)
    {
        name_ = one_line(path.substr(path.find_last_of('/') + 1));
        vkdlm_trajectory_get_info(trajectory, &info_);
    }
    ~file_run() override
    {
        vkdlm_trajectory_close(trajectory_);
    }
    file_run(const file_run &) = delete;
    file_run &operator=(const file_run &) = delete;

    const std::string &name() const override
    {
        return name_;
    }
    const vkdlm_trajectory_info &info() const override
    {
        return info_;
    }
    bool step(uint32_t index, vkdlm_trajectory_step *out) const override
    {
        return vkdlm_trajectory_get_step(trajectory_, index, out);
    }
    bool evaluation(uint32_t index, vkdlm_trajectory_evaluation *out) const override
    {
        return vkdlm_trajectory_get_evaluation(trajectory_, index, out);
    }
    uint32_t first_evaluation(uint32_t token) const override
    {
        return vkdlm_trajectory_first_evaluation(trajectory_, token);
    }
    std::string_view piece(int32_t id) const override
    {
        size_t size = 0;
        const char *bytes = vkdlm_trajectory_piece(trajectory_, id, &size);
        return bytes ? std::string_view(bytes, size) : std::string_view();
    }

  private:
    vkdlm_trajectory *trajectory_;
    vkdlm_trajectory_info info_ = {};
    std::string name_;
};

} // namespace

std::unique_ptr<run> open_file(const std::string &path, std::string &error)
{
    vkdlm_trajectory *trajectory = nullptr;
    vkdlm_error err = {};
    if (vkdlm_trajectory_open(path.c_str(), &trajectory, &err) != VKDLM_OK) {
        error = err.message;
        return nullptr;
    }
    return std::make_unique<file_run>(path, trajectory);
}

} // namespace viewer

/* A run in memory. */
#ifndef TESTS_VIEWER_FAKE_RUN_H
#define TESTS_VIEWER_FAKE_RUN_H

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "run/run.h"

/* A masked run of three positions and two steps: "a" is given, " b" comes in step 2, "c" in step 1. Position
 * 1 is looked at in both steps. Mask 9, two candidates. */
class fake_run final : public viewer::run
{
  public:
    fake_run()
    {
        info_.kind = VKDLM_TRAJECTORY_MASKED;
        info_.n_candidates = 2;
        info_.n_steps = 2;
        info_.length = 3;
        info_.mask_id = 9;
        info_.model = info_.sampler = info_.seed = info_.device = info_.prompt = info_.tokenizer = info_.l2d =
            "";
    }
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
        *out = {};
        if (index > 2)
            return false;
        out->tokens = tokens_[index].data();
        out->time = 1 - 0.5F * static_cast<float>(index);
        out->evaluations = static_cast<int32_t>(index);
        if (index) {
            out->previous = tokens_[index - 1].data();
            out->topk_ids = ids_[index - 1].data();
            out->topk_probs = probabilities_[index - 1].data();
            out->entropy = entropy_[index - 1].data();
            out->confidence = confidence_[index - 1].data();
            out->host_ns = 2000000;
        }
        return true;
    }
    bool evaluation(uint32_t, vkdlm_trajectory_evaluation *out) const override
    {
        *out = {};
        return false;
    }
    uint32_t first_evaluation(uint32_t) const override
    {
        return 0;
    }
    std::string_view piece(int32_t id) const override
    {
        auto found = pieces_.find(id);
        return found == pieces_.end() ? std::string_view() : std::string_view(found->second);
    }

  private:
    std::string name_ = "fake";
    vkdlm_trajectory_info info_ = {};
    std::vector<int32_t> tokens_[3] = {{1, 9, 9}, {1, 9, 3}, {1, 2, 3}};
    std::vector<int32_t> ids_[2] = {{-1, -1, 3, 2, 3, -1}, {-1, -1, 2, 3, -1, -1}};
    std::vector<float> probabilities_[2] = {{0, 0, 0.6F, 0.3F, 1, 0}, {0, 0, 0.8F, 0.1F, 0, 0}};
    std::vector<float> entropy_[2] = {{NAN, 2, 0}, {NAN, 1, NAN}};
    std::vector<float> confidence_[2] = {{NAN, 0.6F, 1}, {NAN, 0.8F, NAN}};
    std::map<int32_t, std::string> pieces_ = {{1, "a"}, {2, " b\n"}, {3, "\xC3"}};
};

#endif

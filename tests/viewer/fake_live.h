/* A live run in memory: it notes what it is asked for. */
#ifndef TESTS_VIEWER_FAKE_LIVE_H
#define TESTS_VIEWER_FAKE_LIVE_H

#include "fake_run.h"
#include "state/form.h"

class fake_live final : public viewer::live_run
{
  public:
    fake_live()
    {
        model_.vocab_size = 10;
        info_ = inner_.info();
    }
    const std::string &name() const override
    {
        return inner_.name();
    }
    const vkdlm_trajectory_info &info() const override
    {
        return info_;
    }
    bool step(uint32_t index, vkdlm_trajectory_step *out) const override
    {
        return index <= info_.n_steps && inner_.step(index, out);
    }
    bool evaluation(uint32_t index, vkdlm_trajectory_evaluation *out) const override
    {
        return inner_.evaluation(index, out);
    }
    uint32_t first_evaluation(uint32_t token) const override
    {
        return inner_.first_evaluation(token);
    }
    std::string_view piece(int32_t id) const override
    {
        return inner_.piece(id);
    }
    bool poll() override
    {
        return true;
    }
    viewer::live_phase phase() const override
    {
        return phase_;
    }
    double progress() const override
    {
        return 0.5;
    }
    const std::string &problem() const override
    {
        return problem_;
    }
    const vkdlm_model_info &model() const override
    {
        return model_;
    }
    uint64_t version() const override
    {
        return version_;
    }
    void start(const viewer::live_settings &settings) override
    {
        asked_ += "start ";
        viewer::copy_settings(settings, settings_);
        phase_ = viewer::live_phase::running;
    }
    void pause() override
    {
        asked_ += "pause ";
        phase_ = viewer::live_phase::paused;
    }
    void resume() override
    {
        asked_ += "resume ";
        phase_ = viewer::live_phase::running;
    }
    void single_step() override
    {
        asked_ += "step ";
    }
    void cancel() override
    {
        asked_ += "cancel ";
        phase_ = viewer::live_phase::stopped;
    }
    void edit(uint32_t step, uint32_t position, int32_t token) override
    {
        if (step != edited_step_)
            edits_.clear();
        edited_step_ = step;
        edits_[position] = token;
    }
    void drop_edit(uint32_t position) override
    {
        edits_.erase(position);
    }
    void drop_edits() override
    {
        edits_.clear();
    }
    const std::map<uint32_t, int32_t> &edits() const override
    {
        return edits_;
    }
    uint32_t edited_step() const override
    {
        return edited_step_;
    }
    bool go_on(uint32_t step, const viewer::live_settings &settings) override
    {
        asked_ += "go on from " + std::to_string(step) + " ";
        viewer::copy_settings(settings, settings_);
        if (edits_.empty())
            problem_ = "there is nothing to go on with";
        return !edits_.empty();
    }
    bool tokenize(const std::string &text, std::vector<int32_t> &ids) const override
    {
        ids.clear();
        for (char c : text)
            ids.push_back(c - 'a' + 1);
        return text != "?";
    }
    bool end(double) override
    {
        return true;
    }
    bool save(const std::string &, std::string &error) const override
    {
        error = "no";
        return false;
    }

    std::string asked_, problem_;
    viewer::live_settings settings_;
    viewer::live_phase phase_ = viewer::live_phase::ready;
    vkdlm_trajectory_info info_ = {};
    vkdlm_model_info model_ = {};
    uint64_t version_ = 1;

  private:
    fake_run inner_;
    std::map<uint32_t, int32_t> edits_;
    uint32_t edited_step_ = 0;
};

#endif

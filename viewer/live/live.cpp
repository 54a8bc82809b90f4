/* Runs that the viewer makes: what the window's thread sees of them. */
#include "live/live.h"

#include <algorithm>
#include <cstdlib>
#include <system_error>
#include <unordered_map>

#include "live/live_canvas.h"
#include "live/live_worker.h"
#include "run/text.h"

namespace viewer
{
namespace
{

std::string last_part(const std::string &path)
{
    return one_line(path.substr(path.find_last_of('/') + 1));
}

class live_run_thread final : public live_run
{
  public:
    live_run_thread(const live_source &source, std::unique_ptr<run> from);

    const std::string &name() const override
    {
        return name_;
    }
    const vkdlm_trajectory_info &info() const override
    {
        return steps_.info();
    }
    bool step(uint32_t index, vkdlm_trajectory_step *out) const override
    {
        return steps_.step(index, out);
    }
    bool evaluation(uint32_t index, vkdlm_trajectory_evaluation *out) const override
    {
        return steps_.evaluation(index, out);
    }
    uint32_t first_evaluation(uint32_t token) const override
    {
        return steps_.first_evaluation(token);
    }
    std::string_view piece(int32_t id) const override;

    bool poll() override;
    live_phase phase() const override;
    double progress() const override
    {
        return progress_;
    }
    const std::string &problem() const override
    {
        return problem_;
    }
    const vkdlm_model_info &model() const override
    {
        return model_.info;
    }
    uint64_t version() const override
    {
        return version_;
    }

    void start(const live_settings &settings) override;
    void pause() override;
    void resume() override;
    void single_step() override;
    void cancel() override;

    void edit(uint32_t step, uint32_t position, int32_t token) override;
    void drop_edit(uint32_t position) override;
    void drop_edits() override;
    const std::map<uint32_t, int32_t> &edits() const override
    {
        return edits_;
    }
    uint32_t edited_step() const override
    {
        return edited_step_;
    }
    bool go_on(uint32_t step, const live_settings &settings) override;

    bool tokenize(const std::string &text, std::vector<int32_t> &ids) const override;
    bool save(const std::string &path, std::string &error) const override;
    bool end(double seconds) override
    {
        return !worker_ || worker_->end(seconds);
    }

  private:
    bool refuse(std::string sentence);
    bool is_active() const;
    bool may_edit(uint32_t step, uint32_t position, int32_t token, std::string &error) const;
    bool find_prompt(std::string &error);
    void opened();
    void post(live_task task);
    void begin(live_news &news);
    void take_steps(live_news &news);

    std::unique_ptr<run> from_; /* what was shown first; its pieces */
    std::string name_, problem_;
    step_store steps_;
    std::optional<step_store> held_; /* the steps that were there before a run of which none has come */

    live_model model_;
    double progress_ = 0;
    uint64_t version_ = 0;
    model_state open_ = model_state::opening;
    task_state state_ = task_state::none; /* of the task that was posted last */
    bool pausing_ = false;
    live_task task_; /* that was posted last */

    std::map<uint32_t, int32_t> edits_;
    uint32_t edited_step_ = 0;
    mutable std::unordered_map<int32_t, std::string> pieces_;

    std::unique_ptr<live_worker> worker_; /* its end comes first: it is the thread's */
};

live_run_thread::live_run_thread(const live_source &source, std::unique_ptr<run> from)
    : from_(std::move(from))
{
    name_ = from_ ? from_->name() : last_part(source.model);
    if (from_)
        steps_ = step_store(*from_);
    try {
        worker_ = std::make_unique<live_worker>(source);
    } catch (const std::system_error &) {
        open_ = model_state::failed;
        problem_ = "no thread could be started to run the model";
    }
}

std::string_view live_run_thread::piece(int32_t id) const
{
    std::string_view known = from_ ? from_->piece(id) : std::string_view();
    if (known.data() || !model_.tokenizer)
        return known;
    auto found = pieces_.find(id);
    if (found == pieces_.end()) {
        vkdlm_text text = {};
        vkdlm_error err;
        std::string bytes;
        if (vkdlm_tokenizer_piece(model_.tokenizer, id, &text, &err) == VKDLM_OK)
            bytes.assign(text.bytes ? text.bytes : "", text.size);
        vkdlm_text_free(&text);
        found = pieces_.emplace(id, std::move(bytes)).first;
    }
    return found->second.empty() ? std::string_view() : std::string_view(found->second);
}

/* ---- what the thread has done ----------------------------------------------------------------------- */

live_phase live_run_thread::phase() const
{
    if (open_ != model_state::open)
        return open_ == model_state::opening ? live_phase::loading : live_phase::failed;
    switch (state_) {
    case task_state::going:
        return pausing_ ? live_phase::pausing : live_phase::running;
    case task_state::waiting:
        return live_phase::paused;
    case task_state::finished:
        return live_phase::finished;
    case task_state::stopped:
        return live_phase::stopped;
    case task_state::failed:
        return live_phase::failed;
    default:
        return live_phase::ready;
    }
}

bool live_run_thread::is_active() const
{
    return state_ == task_state::going || state_ == task_state::waiting;
}

void live_run_thread::opened()
{
    model_ = worker_->model();
    if (!from_)
        name_ = last_part(model_.path);
    if (steps_.empty())
        steps_.describe(model_);
    version_++;
}

/* The run is as it was told to be: what it begins from is there, and later steps are not. */
void live_run_thread::begin(live_news &news)
{
    held_ = steps_;
    drop_edits();
    if (task_.anew) {
        steps_ = step_store(model_, task_.settings, std::move(news.start));
    } else {
        steps_.resume(model_, task_.settings, task_.from);
    }
    version_++;
}

void live_run_thread::take_steps(live_news &news)
{
    if (news.rows.empty() && news.tokens.empty())
        return;
    for (masked_row &row : news.rows)
        steps_.add(std::move(row));
    for (flow_token &token : news.tokens)
        steps_.add(std::move(token));
    held_.reset();
    version_++;
}

bool live_run_thread::poll()
{
    live_news news;
    if (!worker_ || !worker_->take(news))
        return false;
    progress_ = news.progress;
    const bool was_open = open_ != model_state::opening;
    open_ = news.model;
    if (!was_open && open_ == model_state::open)
        opened();
    if (!was_open && open_ == model_state::failed)
        problem_ = news.problem;
    /* What comes of a task that another has followed is not wanted any more. */
    if (!task_.ticket || news.ticket != task_.ticket)
        return true;
    if (news.begun)
        begin(news);
    take_steps(news);
    state_ = news.state;
    pausing_ = news.pausing;
    if (state_ == task_state::failed) {
        problem_ = news.problem;
        if (held_) {
            steps_ = std::move(*held_);
            version_++;
        }
    }
    if (!is_active())
        held_.reset();
    return true;
}

/* ---- commands --------------------------------------------------------------------------------------- */

bool live_run_thread::refuse(std::string sentence)
{
    problem_ = std::move(sentence);
    return false;
}

void live_run_thread::post(live_task task)
{
    task.ticket = task_.ticket + 1;
    task_ = task;
    state_ = task_state::going;
    pausing_ = false;
    problem_.clear();
    drop_edits();
    worker_->post(std::move(task));
}

void live_run_thread::start(const live_settings &settings)
{
    if (open_ == model_state::failed)
        return;
    live_task task;
    task.settings = settings;
    post(std::move(task));
}

void live_run_thread::pause()
{
    if (state_ != task_state::going)
        return;
    pausing_ = true;
    worker_->pause();
}

void live_run_thread::resume()
{
    if (!is_active())
        return;
    pausing_ = false;
    state_ = task_state::going;
    worker_->resume();
}

void live_run_thread::single_step()
{
    if (!is_active())
        return;
    pausing_ = false;
    state_ = task_state::going;
    worker_->single_step();
}

void live_run_thread::cancel()
{
    if (is_active())
        worker_->cancel(task_.ticket);
}

/* ---- edits ------------------------------------------------------------------------------------------ */

bool live_run_thread::may_edit(uint32_t step, uint32_t position, int32_t token, std::string &error) const
{
    const vkdlm_trajectory_info &info = steps_.info();
    if (open_ != model_state::open)
        error = "tokens can be edited when the model is open";
    else if (steps_.is_staged())
        error = "the tokens of a semi-autoregressive run cannot be edited, as it cannot go on from them";
    else if (steps_.empty() || step > steps_.n_steps())
        error = "there is no step " + std::to_string(step) + " to be edited";
    else if (!steps_.is_flow() && position >= info.length)
        error = "the canvas has " + std::to_string(info.length) + " positions, so there is none at " +
                std::to_string(position);
    else if (token != masked_again && (token < 0 || static_cast<uint32_t>(token) >= model_.info.vocab_size))
        error = "the model's ids are 0 to " + std::to_string(model_.info.vocab_size - 1) + ", not " +
                std::to_string(token);
    return error.empty();
}

void live_run_thread::edit(uint32_t step, uint32_t position, int32_t token)
{
    std::string error;
    if (!may_edit(step, position, token, error)) {
        problem_ = error;
        return;
    }
    pause();
    if (step != edited_step_)
        edits_.clear();
    edited_step_ = step;
    if (token == steps_.info().mask_id)
        token = masked_again;
    edits_[position] = token;
    /* One that changes nothing is none. */
    if (!steps_.is_flow()) {
        int32_t now = steps_.row(step).tokens[position];
        if (token == (now == steps_.info().mask_id ? masked_again : now))
            edits_.erase(position);
    }
}

void live_run_thread::drop_edit(uint32_t position)
{
    edits_.erase(position);
}

void live_run_thread::drop_edits()
{
    edits_.clear();
}

/* Of a recording that keeps the prompt as a text alone. */
bool live_run_thread::find_prompt(std::string &error)
{
    live_settings settings;
    std::vector<int32_t> prompt;
    if (!steps_.is_flow() || !steps_.prompt().empty())
        return true;
    if (!from_ || !read_settings(*from_, settings, error) || !make_start(settings, model_, prompt, error))
        return false;
    steps_.set_prompt(std::move(prompt));
    return true;
}

bool live_run_thread::go_on(uint32_t step, const live_settings &settings)
{
    static const std::map<uint32_t, int32_t> none;
    std::string error;
    live_task task;
    if (open_ != model_state::open)
        return refuse(open_ == model_state::opening ? "the model is not open yet" : problem_);
    if (steps_.empty() || step > steps_.n_steps())
        return refuse("there is no step " + std::to_string(step) + " to go on from");
    if (steps_.is_staged() || settings.masked.stride || settings.masked.strides)
        return refuse("a semi-autoregressive run cannot go on from its steps");
    if (!fits_model(steps_, model_.info, error) || !find_prompt(error))
        return refuse(error);
    const auto &edits = step == edited_step_ ? edits_ : none;
    task.anew = false;
    task.settings = settings;
    bool good = steps_.is_flow() ? resume_flow(steps_, step, edits, settings, model_.info, task.from, error)
                                 : resume_masked(steps_, step, edits, settings, task.from, error);
    if (!good)
        return refuse(error);
    /* A run keeps as many candidates of every step. */
    task.settings.masked.n_candidates = task.settings.causal.n_candidates = steps_.info().n_candidates;
    post(std::move(task));
    return true;
}

/* ---- text and files --------------------------------------------------------------------------------- */

bool live_run_thread::tokenize(const std::string &text, std::vector<int32_t> &ids) const
{
    vkdlm_ids found = {};
    vkdlm_error err;
    if (!model_.tokenizer || vkdlm_tokenize(model_.tokenizer, text.data(), text.size(),
                                            VKDLM_TOKENIZE_NO_SPECIAL, &found, &err) != VKDLM_OK)
        return false;
    ids.assign(found.ids, found.ids + found.count);
    vkdlm_ids_free(&found);
    return true;
}

bool live_run_thread::save(const std::string &path, std::string &error) const
{
    if (open_ != model_state::open) {
        error = "the model is not open, and its tokenizer is needed for the text of a recording";
        return false;
    }
    return steps_.save(path, model_, error);
}

} // namespace

std::unique_ptr<live_run> live_run::create(const live_source &source, std::unique_ptr<run> from)
{
    return std::make_unique<live_run_thread>(source, std::move(from));
}

} // namespace viewer

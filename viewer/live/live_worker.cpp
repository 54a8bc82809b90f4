#include "live/live_worker.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <new>

#include "live/live_canvas.h"

extern "C" {
#include "cli/locate.h"
}

namespace viewer
{
namespace
{

const char *text_or_null(const std::string &text)
{
    return text.empty() ? nullptr : text.c_str();
}

vkdlm_status locate(const std::string &given, std::string &path, vkdlm_error *err)
{
    char *found = nullptr;
    vkdlm_status status = locate_model(text_or_null(given), &found, err);
    if (!status)
        path = found;
    free(found);
    return status;
}

/* What the description of a model tells of its tokenizer. */
vkdlm_status find_tokenizer(live_model &m, vkdlm_error *err)
{
    vkdlm_checkpoint *checkpoint = nullptr;
    vkdlm_checkpoint_info info;
    vkdlm_status status = vkdlm_checkpoint_open(m.path.c_str(), &checkpoint, err);
    if (status)
        return status;
    vkdlm_checkpoint_get_info(checkpoint, &info);
    if (info.tokenizer)
        m.tokenizer_path = info.tokenizer;
    vkdlm_checkpoint_close(checkpoint);
    return VKDLM_OK;
}

} // namespace

/* A task while it runs. */
struct live_worker::task_run {
    live_worker *worker;
    const live_task *task;
    std::vector<int32_t> start;
    std::vector<flow_look> looks; /* of the token that is on its way */
    bool out_of_memory = false;
};

live_worker::live_worker(live_source source) : source_(std::move(source)), thread_([this] { work(); })
{
}

live_worker::~live_worker()
{
    end(0);
    thread_.join();
}

/* ---- for the window's thread -------------------------------------------------------------------------- */

bool live_worker::take(live_news &out)
{
    std::lock_guard<std::mutex> lock(mutex_);
    if (!changed_)
        return false;
    changed_ = false;
    news_.pausing = paused_;
    out = std::move(news_);
    news_.problem = out.problem;
    news_.begun = false;
    news_.start.clear();
    news_.rows.clear();
    news_.tokens.clear();
    return true;
}

void live_worker::post(live_task task)
{
    {
        std::lock_guard<std::mutex> lock(mutex_);
        cancelled_ = task.ticket - 1;
        paused_ = false;
        n_single_ = 0;
        next_ = std::move(task);
    }
    wake_.notify_all();
}

void live_worker::cancel(uint64_t ticket)
{
    {
        std::lock_guard<std::mutex> lock(mutex_);
        cancelled_ = ticket;
    }
    wake_.notify_all();
}

void live_worker::pause()
{
    std::lock_guard<std::mutex> lock(mutex_);
    paused_ = changed_ = true;
    n_single_ = 0;
}

void live_worker::resume()
{
    keep_going(0);
}

void live_worker::single_step()
{
    keep_going(1);
}

void live_worker::keep_going(uint32_t n_steps)
{
    {
        std::lock_guard<std::mutex> lock(mutex_);
        paused_ = false;
        changed_ = true;
        n_single_ = n_steps;
        if (news_.state == task_state::waiting)
            news_.state = task_state::going;
    }
    wake_.notify_all();
}

bool live_worker::end(double seconds)
{
    std::unique_lock<std::mutex> lock(mutex_);
    quit_ = true;
    wake_.notify_all();
    return over_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return closed_; });
}

/* ---- the thread ------------------------------------------------------------------------------------- */

bool live_worker::told_to_stop(uint64_t ticket) const
{
    return quit_ || ticket <= cancelled_;
}

bool live_worker::keeps_on(uint64_t ticket)
{
    std::lock_guard<std::mutex> lock(mutex_);
    return !told_to_stop(ticket);
}

/* Waits behind the step while the run is paused, but for the last, behind which it is over. False: stop. */
template <typename T>
bool live_worker::publish(uint64_t ticket, std::vector<T> live_news::*list, T step, bool last)
{
    std::unique_lock<std::mutex> lock(mutex_);
    (news_.*list).push_back(std::move(step));
    changed_ = true;
    if (n_single_ && !--n_single_)
        paused_ = true;
    while (paused_ && !last && !told_to_stop(ticket)) {
        news_.state = task_state::waiting;
        changed_ = true;
        wake_.wait(lock);
    }
    news_.state = task_state::going;
    return !told_to_stop(ticket);
}

bool live_worker::on_upload(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
    live_worker *w = static_cast<live_worker *>(user);
    std::lock_guard<std::mutex> lock(w->mutex_);
    w->news_.progress = total_bytes ? static_cast<double>(done_bytes) / static_cast<double>(total_bytes) : 1;
    w->changed_ = true;
    return !w->quit_;
}

bool live_worker::open(std::string &error)
{
    vkdlm_error err = {};
    live_model &m = model_;
    vkdlm_device_options device = {};
    vkdlm_model_options options = {};
    vkdlm_device_info device_info;
    vkdlm_status status = locate(source_.model, m.path, &err);
    if (!status && !source_.l2d.empty())
        status = locate(source_.l2d, m.l2d, &err);
    if (!status)
        status = source_.tokenizer.empty() ? find_tokenizer(m, &err)
                                           : locate(source_.tokenizer, m.tokenizer_path, &err);
    device.select = text_or_null(source_.device);
    if (!status)
        status = vkdlm_device_open(&device, &device_, &err);
    options.progress = on_upload;
    options.user = this;
    options.tokenizer = text_or_null(m.tokenizer_path);
    options.l2d = text_or_null(m.l2d);
    if (!status && keeps_on(UINT64_MAX))
        status = vkdlm_model_open(device_, m.path.c_str(), &options, &weights_, &err);
    if (!status && keeps_on(UINT64_MAX))
        status = vkdlm_session_create(weights_, &session_, &err);
    if (status || !session_) {
        error = err.message;
        return false;
    }
    vkdlm_device_get_info(device_, &device_info);
    m.device = device_info.name;
    vkdlm_model_get_info(weights_, &m.info);
    m.tokenizer = vkdlm_model_tokenizer(weights_);
    return true;
}

void live_worker::close()
{
    vkdlm_session_destroy(session_);
    vkdlm_model_close(weights_);
    vkdlm_device_close(device_);
}

void live_worker::work()
{
    std::string error;
    bool opened = false;
    try {
        opened = open(error);
    } catch (const std::bad_alloc &) {
        error = "not enough memory to open the model";
    }
    std::unique_lock<std::mutex> lock(mutex_);
    news_.model = opened ? model_state::open : model_state::failed;
    news_.problem = error;
    changed_ = true;
    while (opened && !quit_) {
        if (!next_) {
            wake_.wait(lock);
            continue;
        }
        live_task task = std::move(*next_);
        next_.reset();
        news_ = {};
        news_.model = model_state::open;
        news_.progress = 1;
        news_.ticket = task.ticket;
        news_.state = task_state::going;
        changed_ = true;
        lock.unlock();
        run(task);
        lock.lock();
    }
    lock.unlock();
    close();
    lock.lock();
    closed_ = true;
    over_.notify_all();
}

void live_worker::end_task(uint64_t ticket, task_state state, const std::string &problem)
{
    std::lock_guard<std::mutex> lock(mutex_);
    news_.ticket = ticket;
    news_.state = state;
    news_.problem = problem;
    changed_ = true;
}

void live_worker::run(const live_task &task)
{
    task_run r = {this, &task, {}, {}, false};
    std::string problem;
    vkdlm_error err = {};
    try {
        r.start = task.from.tokens;
        if (task.anew && !make_start(task.settings, model_, r.start, problem))
            return end_task(task.ticket, task_state::failed, problem);
        std::vector<int32_t> shown = r.start;
        if (task.anew && model_.info.family == VKDLM_FAMILY_MASKED)
            /* What later stages fill is masked from the beginning. */
            shown.resize(shown.size() + std::min<uint64_t>(uint64_t{task.settings.masked.strides} *
                                                               task.settings.masked.stride,
                                                           1U << 24),
                         model_.info.mask_id);
        std::lock_guard<std::mutex> lock(mutex_);
        news_.begun = !told_to_stop(task.ticket);
        news_.start = std::move(shown);
        changed_ = true;
    } catch (const std::bad_alloc &) {
        return end_task(task.ticket, task_state::failed, "not enough memory for what the run begins from");
    }
    vkdlm_status status = keeps_on(task.ticket) ? VKDLM_OK : VKDLM_CANCELLED;
    if (!status && !session_)
        status = vkdlm_session_create(weights_, &session_, &err);
    if (!status)
        status = model_.info.family == VKDLM_FAMILY_CAUSAL ? complete(r, &err) : generate(r, &err);
    if (r.out_of_memory)
        return end_task(task.ticket, task_state::failed, "not enough memory for the steps of the run");
    if (status == VKDLM_OK)
        return end_task(task.ticket, task_state::finished, "");
    if (status == VKDLM_CANCELLED)
        return end_task(task.ticket, task_state::stopped, "");
    if (status != VKDLM_INVALID_ARGUMENT) {
        /* The next run has a session that nothing has gone wrong with. */
        vkdlm_session_destroy(session_);
        session_ = nullptr;
    }
    end_task(task.ticket, task_state::failed, err.message);
}

vkdlm_status live_worker::generate(task_run &r, vkdlm_error *err)
{
    vkdlm_generate_options o = masked_options(r.task->settings);
    const vkdlm_canvas canvas = {r.start.data(), static_cast<uint32_t>(r.start.size())};
    o.canvases = &canvas;
    o.n_canvases = 1;
    o.first_step = r.task->from.first_step;
    o.first_time = r.task->from.first_time;
    o.on_step = on_step;
    o.user = &r;
    return vkdlm_generate(session_, &o, nullptr, err);
}

vkdlm_status live_worker::complete(task_run &r, vkdlm_error *err)
{
    vkdlm_complete_options o = causal_options(r.task->settings);
    const vkdlm_canvas prompt = {r.start.data(), static_cast<uint32_t>(r.start.size())};
    o.prompts = &prompt;
    o.n_prompts = 1;
    o.first_token = r.task->from.first_token;
    o.on_flow_step = on_flow_step;
    o.on_token = on_token;
    o.user = &r;
    return vkdlm_complete(session_, &o, nullptr, err);
}

bool live_worker::on_step(void *user, const vkdlm_step *step)
{
    task_run *r = static_cast<task_run *>(user);
    try {
        return r->worker->publish(r->task->ticket, &live_news::rows,
                                  make_row(*step, r->task->from.evaluations), step->n_masked == 0);
    } catch (const std::bad_alloc &) {
        r->out_of_memory = true;
        return false;
    }
}

bool live_worker::on_flow_step(void *user, const vkdlm_flow_step *step)
{
    task_run *r = static_cast<task_run *>(user);
    try {
        r->looks.push_back(make_look(*step));
    } catch (const std::bad_alloc &) {
        r->out_of_memory = true;
        return false;
    }
    return r->worker->keeps_on(r->task->ticket);
}

bool live_worker::on_token(void *user, const vkdlm_token_step *step)
{
    task_run *r = static_cast<task_run *>(user);
    const vkdlm_model_info &info = r->worker->model_.info;
    const int32_t *end = info.end_ids + info.n_end_ids;
    const bool last =
        step->index + 1 >= step->max_tokens ||
        (!r->task->settings.causal.ignore_end && std::find(info.end_ids, end, step->token) != end);
    try {
        flow_token token = {step->token, std::move(r->looks)};
        r->looks.clear();
        return r->worker->publish(r->task->ticket, &live_news::tokens, std::move(token), last);
    } catch (const std::bad_alloc &) {
        r->out_of_memory = true;
        return false;
    }
}

} // namespace viewer

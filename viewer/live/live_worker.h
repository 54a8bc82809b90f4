/* The thread that opens the model and runs it. Tasks go in, what came of them is taken out; nothing else is
 * shared but the model, which does not change once it is open. */
#ifndef VIEWER_LIVE_WORKER_H
#define VIEWER_LIVE_WORKER_H

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "live/live_resume.h"

namespace viewer
{

/* A run that is asked for. */
struct live_task {
    uint64_t ticket = 0; /* ascending from 1 */
    live_settings settings;
    bool anew = true;  /* begins from what the settings give */
    resume_point from; /* otherwise */
};

enum class task_state {
    none,
    going,
    waiting, /* paused */
    finished,
    stopped,
    failed,
};

enum class model_state { opening, open, failed };

/* What has come since the last time. */
struct live_news {
    model_state model = model_state::opening;
    double progress = 0;
    uint64_t ticket = 0;        /* of the task that the rest is of */
    bool begun = false;         /* it has, with `start` */
    std::vector<int32_t> start; /* of a task that begins anew */
    std::vector<masked_row> rows;
    std::vector<flow_token> tokens;
    task_state state = task_state::none;
    bool pausing = false;
    std::string problem; /* of the model that was not opened, or the task that failed */
};

class live_worker
{
  public:
    explicit live_worker(live_source source);
    ~live_worker(); /* end(), however long it takes */
    live_worker(const live_worker &) = delete;
    live_worker &operator=(const live_worker &) = delete;

    /* False when there is nothing new. */
    bool take(live_news &out);
    /* Of an open model, when take() has told of it. */
    const live_model &model() const
    {
        return model_;
    }

    /* Cancels what is run. */
    void post(live_task task);
    void cancel(uint64_t ticket);
    /* Each for the task that was posted last. */
    void pause();
    void resume();
    void single_step();
    /* Stops what is run, and closes the model. False: it is not over within so many seconds. */
    bool end(double seconds);

  private:
    struct task_run;

    void keep_going(uint32_t n_steps); /* 0: until it is told otherwise */
    void work();
    bool open(std::string &error);
    void run(const live_task &task);
    vkdlm_status generate(task_run &r, vkdlm_error *err);
    vkdlm_status complete(task_run &r, vkdlm_error *err);
    void close();

    bool told_to_stop(uint64_t ticket) const; /* under the mutex */
    bool keeps_on(uint64_t ticket);
    template <typename T> bool publish(uint64_t ticket, std::vector<T> live_news::*list, T step, bool last);
    void end_task(uint64_t ticket, task_state state, const std::string &problem);

    static bool on_upload(void *user, uint64_t done_bytes, uint64_t total_bytes);
    static bool on_step(void *user, const vkdlm_step *step);
    static bool on_flow_step(void *user, const vkdlm_flow_step *step);
    static bool on_token(void *user, const vkdlm_token_step *step);

    const live_source source_;
    live_model model_;
    vkdlm_device *device_ = nullptr;
    vkdlm_model *weights_ = nullptr;
    vkdlm_session *session_ = nullptr;

    std::mutex mutex_; /* of all below */
    std::condition_variable wake_, over_;
    live_news news_;
    bool changed_ = true;
    std::optional<live_task> next_;
    uint64_t cancelled_ = 0; /* tasks up to this ticket */
    bool quit_ = false, closed_ = false, paused_ = false;
    uint32_t n_single_ = 0; /* steps until it pauses by itself, 0: it does not */

    std::thread thread_;
};

} // namespace viewer

#endif

/* A run that the viewer makes itself: generation in a thread of its own, which never holds up the window.
 *
 * Everything here is for the window's thread. What the generating thread has done is seen after poll(), and
 * only then: what the run tells stays the same between two calls. */
#ifndef VIEWER_LIVE_H
#define VIEWER_LIVE_H

#include <map>
#include <string>
#include <vector>

#include <vkdlm/complete.h>

#include "run/run.h"

namespace viewer
{

/* Where the model is, as on the command line. Empty: what belongs to the model, or chosen. */
struct live_source {
    std::string model, l2d, tokenizer, device;
};

/* What people change between runs. Bounds are checked by the run, whose sentence then is the problem. */
struct live_settings {
    enum class given { prompt, masks, ids } kind = given::prompt; /* masks: a template with [MASK] in it */
    std::string text;
    uint32_t length = 0; /* of the canvas, or new tokens at most; 0: as the command line does */
    /* All other options, for a masked model and for a causal one; canvases, prompts, callbacks and what
     * tells where a run goes on are not looked at. causal.flow.temperature is `temperature` or NULL. */
    vkdlm_generate_options masked = {};
    vkdlm_complete_options causal = {};
    char temperature[VKDLM_TEMPERATURE_BYTES] = "";
};

/* Those of a recorded run: by which its last steps were made, or by which it began. A prompt in a chat's
 * template is given as ids. Of a recording that does not say what its prompt is, what has [MASK in it is
 * taken for a template, and more than one number for ids. False with a sentence in error. */
enum class part_of_run { end, beginning };
bool read_settings(const run &r, live_settings &out, std::string &error, part_of_run part = part_of_run::end);

enum class live_phase {
    loading, /* the model; progress() tells how far */
    ready,   /* nothing was run yet */
    running,
    pausing, /* asked to, but the evaluation is not over */
    paused,
    finished,
    stopped, /* cancelled */
    failed,  /* problem() tells why; without a model nothing can be run */
};

class live_run : public run
{
  public:
    /* Opens the model in the thread. `from`, a recorded run or NULL, is what is shown first: its steps are
     * this run's, and it can be gone on with. */
    static std::unique_ptr<live_run> create(const live_source &source, std::unique_ptr<run> from);

    /* Takes over what the thread has done; true when anything changed. */
    virtual bool poll() = 0;
    virtual live_phase phase() const = 0;
    virtual double progress() const = 0;            /* of loading, 0 .. 1 */
    virtual const std::string &problem() const = 0; /* of the last thing that failed; "" */
    /* Zeroed until the model is open. */
    virtual const vkdlm_model_info &model() const = 0;
    /* Changes whenever what step(), evaluation() or info() tell has: steps came, or others were dropped. */
    virtual uint64_t version() const = 0;

    /* Each is ignored where it makes no sense (pause of a run that is over). None of them waits. */
    virtual void start(const live_settings &settings) = 0; /* anew; a run that is going is cancelled */
    virtual void pause() = 0;
    virtual void resume() = 0;
    virtual void single_step() = 0; /* one more step, then paused; of a flow's run: one more token */
    virtual void cancel() = 0;

    /* Edits wait until go_on(). They belong to a step: the first after another step was chosen drops those of
     * before. A masked run takes any position; of a flow's run all tokens behind the first edited one are
     * dropped. A run that is going is paused. */
    static constexpr int32_t masked_again = -1;
    virtual void edit(uint32_t step, uint32_t position, int32_t token) = 0;
    virtual void drop_edit(uint32_t position) = 0;
    virtual void drop_edits() = 0;
    virtual const std::map<uint32_t, int32_t> &edits() const = 0;
    virtual uint32_t edited_step() const = 0;
    /* Continues from the state behind `step` with the edits made: later steps are dropped. Behind the last
     * step of a masked run, where no steps are left, it goes on at the step at which as many positions as are
     * masked now would be. False when there is nothing to go on with; why is the problem. */
    virtual bool go_on(uint32_t step, const live_settings &settings) = 0;

    /* Ids of a text as it would stand in the middle of another; false without a tokenizer. */
    virtual bool tokenize(const std::string &text, std::vector<int32_t> &ids) const = 0;

    /* Writes the steps that are there as a recording. */
    virtual bool save(const std::string &path, std::string &error) const = 0;

    /* Tells the thread to end, and waits for it. False: after so many seconds it is still at something that
     * cannot be interrupted, such as kernels that the driver compiles. Nothing but the end of the program, or
     * of this object, which waits, may follow. */
    virtual bool end(double seconds) = 0;
};

} // namespace viewer

#endif

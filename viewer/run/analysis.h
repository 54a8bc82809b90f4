/* What a run tells of its positions and steps, the same for both kinds of runs.
 *
 * A step of a masked run is an evaluation of the whole canvas; a step of a flow's run is a new token, and
 * what was evaluated for it are the looks at its position. Step 0 is the start. */
#ifndef VIEWER_ANALYSIS_H
#define VIEWER_ANALYSIS_H

#include <map>
#include <vector>

#include "run/run.h"

namespace viewer
{

/* One evaluation of one position. */
struct look {
    uint32_t step;      /* 1 .. n_steps */
    float time;         /* t */
    float entropy;      /* nats; NaN when not recorded */
    const int32_t *ids; /* [n_candidates], -1: fewer; NULL when none were recorded */
    const float *probabilities;
};

/* A position after a step. */
struct moment {
    int32_t token; /* -1: masked, or not reached yet */
    bool given;    /* part of what the run began from */
    bool changed;  /* took its token in this step */
};

/* A quantity over the steps. values[0 .. n_steps]; NaN: nothing to tell. */
struct series {
    const char *name, *unit;
    std::vector<float> values;
    float most; /* of the finite values, 0 when there are none */
};

class analysis
{
  public:
    explicit analysis(const run &r);

    /* Reads the steps that came since the run was read last; all of them where others were dropped. Returns
     * the first that was read. */
    uint32_t update();
    /* Steps that the run is expected to take in all; what is drawn over steps has room for them. */
    void expect(uint32_t steps)
    {
        expected_ = steps;
    }
    uint32_t span() const
    {
        return n_steps_ > expected_ ? n_steps_ : expected_;
    }
    /* Changes with every update that found something new. */
    uint64_t version() const
    {
        return version_;
    }

    const run &source() const
    {
        return *run_;
    }
    bool is_flow() const
    {
        return flow_;
    }
    uint32_t n_steps() const
    {
        return n_steps_;
    }
    uint32_t length() const
    {
        return length_;
    }
    uint32_t n_candidates() const
    {
        return n_candidates_;
    }

    moment at(uint32_t step, uint32_t position) const;
    /* Token at the end of the run, -1 when it stayed masked. */
    int32_t final_token(uint32_t position) const
    {
        return final_[position];
    }
    /* Step after which the position kept its token: 0: given, -1: never. */
    int32_t committed(uint32_t position) const
    {
        return committed_[position];
    }
    /* What people did last to the position until a step, and behind which one: `step` of a flow is the
     * token's own. NULL: nothing. */
    struct hand {
        uint32_t step;
        vkdlm_trajectory_edit edit;
    };
    const hand *edited(uint32_t step, uint32_t position) const;
    bool has_edits() const
    {
        return !hands_.empty();
    }
    /* Whether people put the token there that the position has at the end. */
    bool by_hand(uint32_t position) const
    {
        return by_hand_[position];
    }
    /* Of the token when it was committed; NaN when it was not recorded. */
    float commit_probability(uint32_t position) const
    {
        return probability_[position];
    }

    /* The evaluations of a position in order. */
    uint32_t n_looks(uint32_t position) const;
    look get_look(uint32_t position, uint32_t index) const;
    /* Looks at the position that were over after a step: index of the last is this - 1. */
    uint32_t looks_until(uint32_t step, uint32_t position) const;

    /* Entropy of the latest look (of a flow's token: of its first, the base model's), NaN without one. */
    float entropy(uint32_t step, uint32_t position) const;
    /* Most probable token of the latest look (of a flow's token: of its first, the base model's), -1 without
     * one. */
    int32_t candidate(uint32_t step, uint32_t position) const;
    /* Largest finite entropy of the run, at least a small number. */
    float most_entropy() const
    {
        return most_entropy_;
    }

    const std::vector<series> &curves() const
    {
        return curves_;
    }
    uint32_t n_masked(uint32_t step) const;
    double time(uint32_t step) const;
    int64_t evaluations(uint32_t step) const;

  private:
    void clear();
    uint64_t print_of_last() const;
    void read_edits();
    bool is_by_hand(uint32_t step, uint32_t position, int32_t token) const;
    void read_masked();
    void read_flow(uint32_t from);
    void add(size_t curve, float value);

    const run *run_;
    bool flow_ = false;
    uint32_t n_steps_ = 0, length_ = 0, n_candidates_ = 0, expected_ = 0;
    uint64_t version_ = 0;
    uint64_t print_ = 0; /* of the last step that was read */
    std::vector<int32_t> final_, committed_;
    std::vector<float> probability_;
    std::vector<bool> by_hand_;
    std::map<uint32_t, std::vector<hand>> hands_; /* of a position, steps ascending */
    std::vector<std::vector<uint32_t>> looks_;    /* of a position of a masked run: steps */
    std::vector<series> curves_;
    std::vector<uint32_t> masked_;
    float most_entropy_ = 0.01F;
};

} // namespace viewer

#endif

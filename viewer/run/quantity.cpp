#include "run/quantity.h"

#include <cmath>
#include <cstdio>

namespace viewer
{

float quantity_level(const analysis &a, quantity q, uint32_t step, uint32_t position)
{
    switch (q) {
    case quantity::commit_step: {
        int32_t at = a.committed(position);
        return at < 1 ? NAN : static_cast<float>(at) / static_cast<float>(a.span());
    }
    case quantity::commit_probability:
        return a.commit_probability(position);
    case quantity::entropy:
        return a.entropy(step, position) / a.most_entropy();
    case quantity::candidate: {
        int32_t id = a.candidate(step, position);
        return id < 0 ? NAN : id == a.final_token(position) ? 1.0F : 0.0F;
    }
    }
    return NAN;
}

quantity_scale get_scale(const analysis &a, quantity q)
{
    char most[32];
    switch (q) {
    case quantity::commit_step:
        return {"0", std::to_string(a.span())};
    case quantity::commit_probability:
        return {"0", "1"};
    case quantity::entropy:
        snprintf(most, sizeof most, "%.1f nats", static_cast<double>(a.most_entropy()));
        return {"0", most};
    case quantity::candidate:
        return {"differs", "agrees"};
    }
    return {};
}

} // namespace viewer

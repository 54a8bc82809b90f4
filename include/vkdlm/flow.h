/* The diffusion path of an L2D model: how the next token is refined.
 * Cetin, Zhao, Tang, "Large Language Models to Diffusion Finetuning", arXiv 2501.15781. */
#ifndef VKDLM_FLOW_H
#define VKDLM_FLOW_H

#include <vkdlm/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(suffix, name, adaptive). The definitions are those of torchdiffeq 0.2.5. */
#define VKDLM_SOLVER_LIST(X)                \
    X(EULER, "euler", false)                \
    X(MIDPOINT, "midpoint", false)          \
    X(HEUN2, "heun2", false)                \
    X(HEUN3, "heun3", false)                \
    X(RK4, "rk4", false)                    \
    X(DOPRI5, "dopri5", true)               \
    X(BOSH3, "bosh3", true)                 \
    X(FEHLBERG2, "fehlberg2", true)         \
    X(ADAPTIVE_HEUN, "adaptive_heun", true) \
    X(DOPRI8, "dopri8", true)

typedef enum vkdlm_solver {
    VKDLM_SOLVER_DEFAULT, /* the model's, midpoint if it names none */
#define VKDLM_SOLVER_ENUM(suffix, name, adaptive) VKDLM_SOLVER_##suffix,
    VKDLM_SOLVER_LIST(VKDLM_SOLVER_ENUM)
#undef VKDLM_SOLVER_ENUM
        VKDLM_SOLVER_COUNT
} vkdlm_solver;

/* The clean embedding x_hat that the velocity points at: V_y of one token drawn at every evaluation, or the
 * mean of V_y under the distribution. */
typedef enum vkdlm_estimate {
    VKDLM_ESTIMATE_DEFAULT, /* the model's, sample if it names none */
    VKDLM_ESTIMATE_SAMPLE,
    VKDLM_ESTIMATE_AVERAGE,
    VKDLM_ESTIMATE_COUNT
} vkdlm_estimate;

/* dx/dt = (x_hat - x) / (1 - t), or / (1 - t)^2. */
typedef enum vkdlm_velocity {
    VKDLM_VELOCITY_DEFAULT, /* the model's, constant if it names none */
    VKDLM_VELOCITY_CONSTANT,
    VKDLM_VELOCITY_EDM,
    VKDLM_VELOCITY_COUNT
} vkdlm_velocity;

/* Which tokens are refined. A token that is not takes the base model's distribution and costs no evaluation
 * of the diffusion path. Both look at the base distribution at temperature 1. */
typedef enum vkdlm_budget {
    VKDLM_BUDGET_ALL,        /* every token */
    VKDLM_BUDGET_ENTROPY,    /* those whose entropy (nats) is at least the threshold */
    VKDLM_BUDGET_CONFIDENCE, /* those whose most probable token has at most the threshold */
    VKDLM_BUDGET_COUNT
} vkdlm_budget;

/* "midpoint", ...; "" for the default and out of range. */
VKDLM_API const char *vkdlm_solver_name(vkdlm_solver solver);
VKDLM_API bool vkdlm_solver_is_adaptive(vkdlm_solver solver);
VKDLM_API const char *vkdlm_estimate_name(vkdlm_estimate estimate);
VKDLM_API const char *vkdlm_velocity_name(vkdlm_velocity velocity);
VKDLM_API const char *vkdlm_budget_name(vkdlm_budget budget);

/* A zeroed struct takes everything from the model. Without a diffusion path all but `off` must be zero. */
typedef struct vkdlm_flow_options {
    bool off;       /* the base model alone */
    uint32_t steps; /* points of the time grid, 2 .. 10000; 0: the model's, 8 if it names none */
    vkdlm_solver solver;
    double rtol, atol;        /* of adaptive solvers, in (0, 1]; 0: the model's, 1e-5 if it names none */
    uint32_t max_evaluations; /* velocities an adaptive solver may ask for, per token; 0: 1000 */
    double first_step;        /* of adaptive solvers; 0: 0.05 for bosh3, fehlberg2 and adaptive_heun as in the
                                 authors' code, chosen by the solver for the others; negative: chosen by it */
    double end_time;          /* where the integration ends, in (0, 1]; 0: the model's, 1 if it names none */
    vkdlm_velocity velocity;
    vkdlm_estimate estimate;
    /* Temperature of x_hat: a number (0: the most probable token) or a schedule "polynomial_P_END";
     * NULL: the model's, 0 if it names none. */
    const char *temperature;
    bool has_class; /* class_id is given; otherwise the null class of a model with classes */
    uint32_t class_id;
    bool has_guidance; /* classifier-free guidance with weight `guidance`; needs a class */
    double guidance;
    vkdlm_budget budget;
    double budget_threshold;
    /* x_0 of every token instead of seeded draws: [noise_tokens][noise_rows][n] with noise_rows 1 (the same
     * for every sample) or the number of samples; NULL: drawn. Already on the scale of the noise (sigma). */
    const float *noise;
    uint32_t noise_tokens, noise_rows;
} vkdlm_flow_options;

#ifdef __cplusplus
}
#endif

#endif

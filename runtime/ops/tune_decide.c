/* The decision among the candidates of a key, from what their trials say. */
#include <math.h>

#include "ops/tune.h"

enum {
    ROUNDS = 9,       /* of the timing; the best of them counts */
    TRIAL_ROUNDS = 3, /* after which what takes twice as long as the best is given up */
};

void tune_choice_init(tune_choice *choice, tune_key key, const char *const *names, uint32_t n)
{
    *choice = (tune_choice){.key = key, .n = n};
    for (uint32_t i = 0; i < n; i++)
        choice->candidates[i].name = names[i];
}

static bool is_right(const tune_candidate *c)
{
    return c->state == TUNE_RIGHT || c->state == TUNE_TIMED;
}

void tune_settle(tune_choice *choice)
{
    uint32_t first = choice->n, best = choice->n;
    choice->measured = choice->n > 0;
    for (uint32_t i = 0; i < choice->n; i++) {
        const tune_candidate *c = &choice->candidates[i];
        if (c->state == TUNE_UNTRIED)
            choice->measured = false;
        if (first == choice->n && (is_right(c) || c->state == TUNE_UNTRIED))
            first = i;
        if (c->state == TUNE_TIMED &&
            (best == choice->n || c->us < choice->candidates[best].us * (1 - TUNE_MARGIN)))
            best = i;
    }
    /* Times of a few candidates alone say nothing of the others. */
    choice->chosen = choice->measured && best < choice->n ? best : first;
}

static double spend(tune_budget *budget, double since)
{
    double now = budget->now(budget->user);
    budget->left -= now - since;
    return now;
}

/* Missing memory is no fault of a candidate's. */
static bool is_shortage(vkdlm_status status)
{
    return status == VKDLM_OUT_OF_HOST_MEMORY || status == VKDLM_OUT_OF_DEVICE_MEMORY;
}

static vkdlm_status check(tune_choice *choice, uint32_t i, const tune_trial *trial, void *user,
                          uint64_t bits[])
{
    bool right = false;
    vkdlm_status status = trial->check(user, i, &right, &bits[i], NULL);
    choice->candidates[i].state = status ? TUNE_FAILED : right ? TUNE_RIGHT : TUNE_WRONG;
    return is_shortage(status) ? status : VKDLM_OK;
}

/* Whose bits the choice must have: the anchor's, or those of the first right candidate. */
static void compare_bits(tune_choice *choice, const uint64_t bits[], uint64_t anchor)
{
    bool anchored = false;
    uint64_t first = 0;
    for (uint32_t i = choice->n; i-- > 0;)
        if (choice->candidates[i].state == TUNE_RIGHT) {
            anchored |= bits[i] == anchor;
            first = bits[i];
        }
    choice->bits = anchored ? anchor : first;
    for (uint32_t i = 0; i < choice->n; i++)
        if (choice->candidates[i].state == TUNE_RIGHT && bits[i] != choice->bits)
            choice->candidates[i].state = TUNE_OTHER_BITS;
}

/* In turn, so that a drift of the machine's speed touches all alike. */
static vkdlm_status time_all(tune_choice *choice, const tune_trial *trial, void *user)
{
    double best = INFINITY;
    for (int round = 0; round < ROUNDS; round++)
        for (uint32_t i = 0; i < choice->n; i++) {
            tune_candidate *c = &choice->candidates[i];
            double us = 0;
            if (!is_right(c) || (round >= TRIAL_ROUNDS && c->us > 2 * best))
                continue;
            vkdlm_status status = trial->time(user, i, &us, NULL);
            if (is_shortage(status))
                return status;
            if (status || !isfinite(us) || !(us > 0))
                c->state = TUNE_FAILED;
            else if (c->state == TUNE_RIGHT || us < c->us) {
                c->state = TUNE_TIMED;
                c->us = us;
                best = fmin(best, us);
            }
        }
    return VKDLM_OK;
}

static void forget(tune_choice *choice)
{
    for (uint32_t i = 0; i < choice->n; i++)
        choice->candidates[i] = (tune_candidate){.name = choice->candidates[i].name};
    choice->bits = 0;
    tune_settle(choice);
}

vkdlm_status tune_decide(tune_choice *choice, const tune_trial *trial, void *user, uint64_t anchor,
                         tune_budget *budget)
{
    uint64_t bits[TUNE_MAX_CANDIDATES] = {0};
    uint32_t n_right = 0;
    bool found = false;
    vkdlm_status status = VKDLM_OK;
    double now = budget->now(budget->user), slowest = 0;
    forget(choice);
    /* One that may be taken is looked for whatever it costs. Another is likely to take as long as those
     * before it: most of it is compilation. */
    for (uint32_t i = 0; i < choice->n && (!found || budget->left > slowest) && !status; i++) {
        double since = now;
        status = check(choice, i, trial, user, bits);
        now = found ? spend(budget, now) : budget->now(budget->user);
        slowest = fmax(slowest, now - since);
        bool right = choice->candidates[i].state == TUNE_RIGHT;
        n_right += right;
        found |= right && (anchor == 0 || bits[i] == anchor);
    }
    if (!status) {
        compare_bits(choice, bits, anchor);
        tune_settle(choice);
    }
    if (!status && choice->measured && n_right > 1) {
        status = time_all(choice, trial, user);
        spend(budget, now);
        tune_settle(choice);
    }
    if (status)
        forget(choice);
    return status;
}

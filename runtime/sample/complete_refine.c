#include "sample/complete_refine.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/rng.h"
#include "base/size.h"

vkdlm_status token_law_init(token_law *law, bool greedy, double temperature, uint32_t top_k, double top_p,
                            uint32_t vocab_size, vkdlm_error *err)
{
    if (greedy && temperature != 0)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--temperature: expected none for the most probable token, found %g", temperature);
    double t = temperature != 0 ? temperature : 1, p = top_p != 0 ? top_p : 1;
    if (!(t >= 1e-6 && t <= 1e6))
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--temperature: expected a number from 1e-6 to 1e6, found %g", t);
    if (!(p > 0 && p <= 1))
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--top-p: expected a number above 0 and at most 1, found %g", p);
    *law = (token_law){.draw = !greedy,
                       .inv_temperature = (float)(1 / t),
                       .top_k = top_k < vocab_size ? top_k : 0,
                       .top_p = fmaxf((float)p, FLT_MIN)};
    return VKDLM_OK;
}

void flow_counts_add(vkdlm_flow_counts *sum, const vkdlm_flow_counts *more)
{
    sum->main += more->main;
    sum->path += more->path;
    sum->velocity_calls += more->velocity_calls;
    sum->accepted += more->accepted;
    sum->rejected += more->rejected;
    sum->limited += more->limited;
    sum->refined += more->refined;
}

/* ---- the program of a fixed grid ------------------------------------------------------------------- */

static int compare_times(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Lists the times at which the network runs, each once: several calls of heun2 share one. */
static vkdlm_status list_times(refiner *r, vkdlm_error *err)
{
    const flow_grid *grid = &r->grid;
    r->times = calloc((size_t)grid->n_network + 1, sizeof *r->times);
    if (!r->times)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for the times of %u evaluations",
                         grid->n_network + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < grid->n_calls; i++)
        if (grid->calls[i].kind == FLOW_NETWORK)
            r->times[n++] = (float)grid->calls[i].time;
    r->times[n++] = (float)grid->end_time;
    qsort(r->times, n, sizeof *r->times, compare_times);
    for (uint32_t i = 0; i < n; i++)
        if (r->n_times == 0 || r->times[i] != r->times[r->n_times - 1])
            r->times[r->n_times++] = r->times[i];
    return VKDLM_OK;
}

static uint32_t find_time(const refiner *r, double time)
{
    float key = (float)time;
    const float *found = bsearch(&key, r->times, r->n_times, sizeof key, compare_times);
    return (uint32_t)(found - r->times);
}

static float inverse(double tau)
{
    return tau > 0 ? (float)(1 / tau) : 0;
}

static vkdlm_status build_program(refiner *r, vkdlm_error *err)
{
    const flow_settings *flow = r->flow;
    const flow_grid *grid = &r->grid;
    r->steps = calloc(grid->n_calls, sizeof *r->steps);
    if (!r->steps)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for %u velocities of a solver",
                         grid->n_calls);
    for (uint32_t i = 0; i < grid->n_calls; i++) {
        const flow_call *call = &grid->calls[i];
        flow_step *step = &r->steps[i];
        *step = (flow_step){.kind = call->kind,
                            .time = call->kind == FLOW_NETWORK ? find_time(r, call->time) : 0,
                            .inv_temperature = inverse(call->tau),
                            .factor = (float)call->factor,
                            .slope = call->slope,
                            .advance = call->advance};
        for (uint32_t j = 0; j < ODE_MAX_SLOPES; j++)
            step->step[j] = (float)call->step[j];
        step->input_scale = (float)(i + 1 < grid->n_calls ? call[1].input_scale : grid->final_input_scale);
    }
    r->program = (flow_program){.steps = r->steps,
                                .n_steps = grid->n_calls,
                                .n_branches = flow->n_branches,
                                .final_time = find_time(r, grid->end_time),
                                .final_class = flow->final_class,
                                .average = flow->average};
    for (uint32_t b = 0; b < flow->n_branches; b++) {
        r->program.class_slot[b] = flow->branch_class[b];
        r->program.branch_weight[b] = (float)flow->branch_weight[b];
    }
    r->path_rows = (uint64_t)grid->n_network * flow->n_branches + 1;
    return VKDLM_OK;
}

vkdlm_status refiner_init(refiner *r, causal *network, const flow_settings *flow, uint64_t seed,
                          vkdlm_error *err)
{
    *r = (refiner){.network = network, .flow = flow, .seed = seed};
    if (!flow->on || flow->adaptive)
        return VKDLM_OK;
    vkdlm_status status = flow_grid_build(&flow->solve, &r->grid, err);
    if (status == VKDLM_OK)
        status = list_times(r, err);
    if (status == VKDLM_OK)
        status = build_program(r, err);
    return status;
}

void refiner_watch(refiner *r, const refine_watch *watch)
{
    if (r->flow->on)
        r->watch = *watch;
}

void refiner_describe(const refiner *r, causal_capacity *capacity)
{
    const flow_settings *flow = r->flow;
    if (!flow->on)
        return;
    capacity->branches = flow->n_branches;
    capacity->calls = r->grid.n_calls;
    capacity->times = (flow->adaptive ? 1 : r->n_times) * flow->n_classes;
    capacity->average = flow->average;
    capacity->record = r->watch.see != NULL;
    capacity->candidates = r->watch.see ? r->watch.n_candidates : 0;
}

static void *allocate(uint64_t n, uint64_t size)
{
    return n <= SIZE_MAX ? calloc((size_t)n, (size_t)size) : NULL;
}

static bool allocate_adaptive(refiner *r, uint64_t cells)
{
    uint64_t n_points = (uint64_t)r->n_rows * r->flow->n_branches;
    uint64_t n_x = cells * r->flow->n_branches;
    r->index = allocate(r->n_rows, sizeof *r->index);
    r->solvers = allocate(r->n_rows, sizeof *r->solvers);
    r->points = allocate(n_points, sizeof *r->points);
    r->results = allocate(r->n_rows, sizeof *r->results);
    r->x = allocate(n_x, sizeof *r->x);
    r->x_hat = allocate(n_x, sizeof *r->x_hat);
    r->slope = allocate(r->network->flow_dim, sizeof *r->slope);
    return r->index && r->solvers && r->points && r->results && r->x && r->x_hat && r->slope;
}

/* One place for each call of the grid and row; of an adaptive solver, for each point of a round. */
static bool allocate_record(refiner *r)
{
    flow_record *record = &r->record;
    uint64_t calls = (uint64_t)r->grid.n_calls + 1, places = 0, floats = 0, candidates = 0;
    uint64_t rows = (uint64_t)r->n_rows * r->flow->n_branches;
    if (!size_mul(calls, rows, &places) || !size_mul(places, r->network->flow_dim, &floats) ||
        !size_mul(places, r->watch.n_candidates, &candidates) || candidates == UINT64_MAX)
        return false;
    record->n_candidates = r->watch.n_candidates;
    record->x = r->flow->adaptive ? NULL : allocate(floats, sizeof *record->x);
    record->found = allocate(places, sizeof *record->found);
    record->candidates = allocate(candidates + 1, sizeof *record->candidates);
    record->device_ns = allocate(calls, sizeof *record->device_ns);
    r->n_seen = allocate(r->n_rows, sizeof *r->n_seen);
    return (record->x || r->flow->adaptive) && record->found && record->candidates && record->device_ns &&
           r->n_seen;
}

vkdlm_status refiner_reserve(refiner *r, const causal_capacity *capacity, vkdlm_error *err)
{
    r->n_rows = capacity->rows;
    uint64_t cells = (uint64_t)r->n_rows * r->network->flow_dim; /* both are 32 bits */
    r->rows = allocate(r->n_rows, sizeof *r->rows);
    r->refine = allocate(r->n_rows, sizeof *r->refine);
    bool good = r->rows && r->refine;
    if (r->flow->on) {
        r->x0 = allocate(cells, sizeof *r->x0);
        r->normals = allocate(r->network->flow_dim, sizeof *r->normals);
        good = good && r->x0 && r->normals && (!r->flow->adaptive || allocate_adaptive(r, cells)) &&
               (!r->watch.see || allocate_record(r));
    }
    if (!good)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for %u predictions at once",
                         r->n_rows);
    vkdlm_status status = r->network->reserve(r->network->self, capacity, err);
    if (status == VKDLM_OK && r->flow->on && !r->flow->adaptive)
        status = r->network->prepare(r->network->self, r->times, r->n_times, r->flow->classes,
                                     r->flow->n_classes, err);
    return status;
}

void refiner_deinit(refiner *r)
{
    for (uint32_t i = 0; r->solvers && i < r->n_rows; i++)
        ode_adaptive_deinit(&r->solvers[i]);
    free(r->n_seen);
    free(r->record.device_ns);
    free(r->record.candidates);
    free(r->record.found);
    free(r->record.x);
    free(r->slope);
    free(r->normals);
    free(r->x_hat);
    free(r->x);
    free(r->results);
    free(r->points);
    free(r->solvers);
    free(r->index);
    free(r->x0);
    free(r->refine);
    free(r->rows);
    free(r->steps);
    free(r->times);
    flow_grid_deinit(&r->grid);
}

/* ---- running ---------------------------------------------------------------------------------------- */

/* x_0 of a row, on the scale of the noise: [flow_dim]. */
static void starting_state(const refiner *r, const refine_row *row, float *out)
{
    const flow_settings *flow = r->flow;
    uint32_t dim = r->network->flow_dim;
    if (flow->noise) {
        uint64_t noise_row = flow->noise_rows == 1 ? 0 : row->noise_row;
        memcpy(out, flow->noise + (row->noise_token * flow->noise_rows + noise_row) * dim, dim * sizeof *out);
        return;
    }
    rng_normals(r->seed, row->row.counter, rng_counter2(RNG_STATE, 0), row->row.sample, r->normals, dim);
    for (uint32_t i = 0; i < dim; i++)
        out[i] = (float)(flow->solve.sigma * r->normals[i]);
}

static vkdlm_status check_result(const refiner *r, const causal_row *row, const causal_result *result,
                                 vkdlm_error *err)
{
    bool token = result->token >= 0 && (uint32_t)result->token < r->network->vocab_size;
    bool target = row->target < 0 || isfinite(result->target_log_prob);
    if (token && target && isfinite(result->log_prob) && isfinite(result->entropy))
        return VKDLM_OK;
    return error_set(
        err, VKDLM_INTERNAL,
        "the network gave no usable probabilities behind position %u: expected a token from 0 to "
        "%u with a finite log-probability, found token %d with %g",
        row->position, r->network->vocab_size - 1, result->token,
        (double)(target ? result->log_prob : result->target_log_prob));
}

/* One submission of n of the call's rows, listed in r->rows and r->refine, with x_0 in r->x0. */
static vkdlm_status submit(refiner *r, const refine_call *call, uint32_t n, bool refined,
                           causal_result *results, vkdlm_error *err)
{
    causal_work work = {.chunks = call->chunks,
                        .n_chunks = call->n_chunks,
                        .prompt = call->prompt,
                        .rows = r->rows,
                        .n_rows = n,
                        .seed = r->seed,
                        .draw = call->law.draw,
                        .inv_temperature = call->law.inv_temperature,
                        .top_k = call->law.top_k,
                        .top_p = call->law.top_p,
                        .program = refined ? &r->program : NULL,
                        .refine = refined ? r->refine : NULL,
                        .x0 = refined ? r->x0 : NULL,
                        .record = refined && r->watch.see ? &r->record : NULL};
    return r->network->run(r->network, &work, results, err);
}

/* Tells of one place of the record. */
static void see(refiner *r, const refine_row *row, size_t place, const float *x, refine_seen *seen)
{
    seen->x = x;
    seen->found = &r->record.found[place];
    seen->candidates = r->record.candidates + place * r->record.n_candidates;
    r->watch.see(r->watch.user, row, seen);
}

static void see_grid(refiner *r, const refine_call *call)
{
    const flow_grid *grid = &r->grid;
    for (uint32_t i = 0; i < call->n_rows; i++) {
        refine_seen seen = {0};
        for (uint32_t c = 0; c <= grid->n_calls && call->rows[i].refine; c++) {
            size_t place = (size_t)c * call->n_rows + i;
            seen.last = c == grid->n_calls;
            if (!seen.last && grid->calls[c].kind == FLOW_ZERO)
                continue;
            seen.time = seen.last ? grid->end_time : grid->calls[c].time;
            seen.device_ns = r->record.device_ns[c];
            see(r, &call->rows[i], place, r->record.x + place * r->network->flow_dim, &seen);
            seen.index++;
        }
    }
}

static vkdlm_status run_grid(refiner *r, const refine_call *call, causal_result *results,
                             vkdlm_flow_counts *counts, vkdlm_error *err)
{
    uint32_t dim = r->network->flow_dim;
    bool refined = false;
    for (uint32_t i = 0; i < call->n_rows; i++) {
        const refine_row *row = &call->rows[i];
        r->rows[i] = row->row;
        r->refine[i] = row->refine;
        refined = refined || row->refine;
        if (row->refine)
            starting_state(r, row, r->x0 + (size_t)i * dim);
        if (row->refine && counts) {
            counts[i].path += r->path_rows;
            counts[i].velocity_calls += r->grid.n_calls;
            counts[i].refined++;
        }
    }
    vkdlm_status status = submit(r, call, call->n_rows, refined, results, err);
    if (status == VKDLM_OK && refined && r->watch.see)
        see_grid(r, call);
    return status;
}

/* ---- adaptive solvers ------------------------------------------------------------------------------- */

static vkdlm_status begin_solve(refiner *r, uint32_t slot, const refine_row *row, vkdlm_error *err)
{
    const flow_settings *flow = r->flow;
    ode_adaptive *solver = &r->solvers[slot];
    starting_state(r, row, r->x0);
    for (uint32_t i = 0; i < r->network->flow_dim; i++)
        r->slope[i] = (double)r->x0[i];
    if (solver->memory) {
        ode_adaptive_restart(solver, r->slope);
        return VKDLM_OK;
    }
    const ode_adaptive_options options = {.solver = flow->solve.solver,
                                          .rtol = flow->rtol,
                                          .atol = flow->atol,
                                          .t1 = (double)(float)flow->solve.end_time,
                                          .first_step = flow->first_step,
                                          .max_evaluations = flow->max_evaluations};
    return ode_adaptive_begin(solver, &options, r->slope, r->network->flow_dim, err);
}

/* The next velocity that needs the network; those from t = 1 on are 0. NULL when the solve is over. */
static const ode_request *next_request(refiner *r, ode_adaptive *solver)
{
    const ode_request *request;
    while ((request = ode_adaptive_next(solver)) && request->time >= 1) {
        memset(r->slope, 0, r->network->flow_dim * sizeof *r->slope);
        ode_adaptive_supply(solver, r->slope);
    }
    return request;
}

/* Lists one point for each branch of a velocity. */
static void add_points(refiner *r, const causal_row *row, const ode_adaptive *solver,
                       const ode_request *request, uint32_t n)
{
    const flow_settings *flow = r->flow;
    flow_call call = flow_call_at(&flow->solve, request->time);
    uint32_t dim = r->network->flow_dim;
    for (uint32_t b = 0; b < flow->n_branches; b++) {
        r->points[n + b] = (flow_point){
            .row = *row,
            .t = (float)request->time,
            .class_id = flow->classes[flow->branch_class[b]],
            .step = flow_draw_step((uint32_t)solver->n_calls, b),
            .draw = !flow->average && call.tau > 0,
            .inv_temperature = flow->average || call.tau > 0 ? inverse(call.tau) : 1,
        };
        for (uint32_t i = 0; i < dim; i++)
            r->x[(size_t)(n + b) * dim + i] = (float)request->state[i];
    }
}

static void supply_velocity(refiner *r, ode_adaptive *solver, const ode_request *request, uint32_t n)
{
    const flow_settings *flow = r->flow;
    double factor = flow_call_at(&flow->solve, request->time).factor;
    uint32_t dim = r->network->flow_dim;
    memset(r->slope, 0, dim * sizeof *r->slope);
    for (uint32_t b = 0; b < flow->n_branches; b++)
        for (uint32_t i = 0; i < dim; i++)
            r->slope[i] +=
                flow->branch_weight[b] * factor * (r->x_hat[(size_t)(n + b) * dim + i] - request->state[i]);
    ode_adaptive_supply(solver, r->slope);
}

/* What is asked of an evaluation for those who look on. */
static void ask_record(const refiner *r, flow_request *evaluation)
{
    if (!r->watch.see)
        return;
    evaluation->found = r->record.found;
    evaluation->n_candidates = r->record.n_candidates;
    evaluation->candidates = r->record.candidates;
    evaluation->device_ns = r->record.device_ns;
}

/* Point `point` of the last evaluation belongs to solve s. */
static void see_point(refiner *r, const refine_call *call, uint32_t s, uint32_t point, double time, bool last)
{
    refine_seen seen = {
        .index = r->n_seen[s]++, .last = last, .time = time, .device_ns = r->record.device_ns[0]};
    see(r, &call->rows[r->index[s]], point, r->x + (size_t)point * r->network->flow_dim, &seen);
}

/* One velocity for each solve that is not over; *n_points 0 when all are. */
static vkdlm_status run_round(refiner *r, const refine_call *call, uint32_t n_solves,
                              vkdlm_flow_counts *counts, uint32_t *n_points, vkdlm_error *err)
{
    const flow_settings *flow = r->flow;
    uint32_t n = 0;
    for (uint32_t s = 0; s < n_solves; s++) {
        const ode_request *request = next_request(r, &r->solvers[s]);
        if (!request)
            continue;
        add_points(r, &call->rows[r->index[s]].row, &r->solvers[s], request, n);
        n += flow->n_branches;
        if (counts && request->time > 0)
            counts[r->index[s]].path += flow->n_branches;
    }
    *n_points = n;
    if (n == 0)
        return VKDLM_OK;
    flow_request evaluation = {.points = r->points,
                               .n_points = n,
                               .x = r->x,
                               .seed = r->seed,
                               .top_p = 1,
                               .average = flow->average,
                               .x_hat = r->x_hat};
    ask_record(r, &evaluation);
    vkdlm_status status = r->network->evaluate(r->network, &evaluation, err);
    n = 0;
    for (uint32_t s = 0; s < n_solves && status == VKDLM_OK; s++) {
        const ode_request *request = ode_adaptive_next(&r->solvers[s]);
        if (!request)
            continue;
        if (r->watch.see)
            see_point(r, call, s, n, request->time, false);
        supply_velocity(r, &r->solvers[s], request, n);
        n += flow->n_branches;
    }
    return status;
}

/* The evaluation at the end time that the tokens come from. */
static vkdlm_status run_final(refiner *r, const refine_call *call, uint32_t n_solves, causal_result *results,
                              vkdlm_error *err)
{
    const flow_settings *flow = r->flow;
    uint32_t dim = r->network->flow_dim;
    for (uint32_t s = 0; s < n_solves; s++) {
        r->points[s] = (flow_point){.row = call->rows[r->index[s]].row,
                                    .t = (float)flow->solve.end_time,
                                    .class_id = flow->classes[flow->final_class],
                                    .draw = call->law.draw,
                                    .inv_temperature = call->law.inv_temperature};
        for (uint32_t i = 0; i < dim; i++)
            r->x[(size_t)s * dim + i] = (float)r->solvers[s].state[i];
    }
    flow_request evaluation = {.points = r->points,
                               .n_points = n_solves,
                               .x = r->x,
                               .seed = r->seed,
                               .top_k = call->law.top_k,
                               .top_p = call->law.top_p,
                               .results = r->results};
    ask_record(r, &evaluation);
    vkdlm_status status = r->network->evaluate(r->network, &evaluation, err);
    for (uint32_t s = 0; s < n_solves && status == VKDLM_OK; s++) {
        causal_result *result = &results[r->index[s]];
        *result = r->results[s];
        result->base_entropy = result->entropy;
        if (r->watch.see)
            see_point(r, call, s, s, flow->solve.end_time, true);
    }
    return status;
}

static void count_solves(const refiner *r, uint32_t n_solves, vkdlm_flow_counts *counts)
{
    for (uint32_t s = 0; s < n_solves; s++) {
        const ode_adaptive *solver = &r->solvers[s];
        vkdlm_flow_counts *c = &counts[r->index[s]];
        c->path++;
        c->velocity_calls += solver->n_calls;
        c->accepted += solver->n_accepted;
        c->rejected += solver->n_rejected;
        c->limited += solver->end != ODE_REACHED;
        c->refined++;
    }
}

static vkdlm_status run_adaptive(refiner *r, const refine_call *call, causal_result *results,
                                 vkdlm_flow_counts *counts, vkdlm_error *err)
{
    uint32_t n_plain = 0, n_solves = 0;
    vkdlm_status status = VKDLM_OK;
    for (uint32_t i = 0; i < call->n_rows; i++)
        if (!call->rows[i].refine)
            r->rows[n_plain++] = call->rows[i].row;
    if (n_plain || call->n_chunks)
        status = submit(r, call, n_plain, false, r->results, err);
    n_plain = 0;
    for (uint32_t i = 0; i < call->n_rows && status == VKDLM_OK; i++) {
        if (!call->rows[i].refine) {
            results[i] = r->results[n_plain++];
            continue;
        }
        status = begin_solve(r, n_solves, &call->rows[i], err);
        if (r->watch.see)
            r->n_seen[n_solves] = 0;
        r->index[n_solves++] = i;
    }
    if (n_solves == 0)
        return status;
    uint32_t n_points = 1;
    while (status == VKDLM_OK && n_points)
        status = run_round(r, call, n_solves, counts, &n_points, err);
    if (status == VKDLM_OK)
        status = run_final(r, call, n_solves, results, err);
    if (status == VKDLM_OK && counts)
        count_solves(r, n_solves, counts);
    return status;
}

vkdlm_status refiner_run(refiner *r, const refine_call *call, causal_result *results,
                         vkdlm_flow_counts *counts, vkdlm_error *err)
{
    vkdlm_status status = r->flow->on && r->flow->adaptive ? run_adaptive(r, call, results, counts, err)
                                                           : run_grid(r, call, results, counts, err);
    for (uint32_t i = 0; i < call->n_rows && status == VKDLM_OK; i++)
        status = check_result(r, &call->rows[i].row, &results[i], err);
    return status;
}

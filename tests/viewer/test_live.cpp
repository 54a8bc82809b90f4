/* Runs that the viewer makes, on a device: against what the command line records, and under every command. */
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>

#include <unistd.h>

#include "check.h"
#include "live/live.h"

using namespace viewer;

namespace
{

enum { LENGTH = 24, MASK = 210, STEPS = 10 };

const char *const masked_model = TESTS_DIR "/golden/mdlm/tc";
const char *const flow_model = TESTS_DIR "/golden/l2d/llama-lora";

std::string folder;

std::string path_of(const char *name)
{
    return folder + "/" + name;
}

/* Drivers that compile anew in every process see less. */
bool is_quick()
{
    const char *value = getenv("VKDLM_TEST_QUICK");
    return value && !strcmp(value, "1");
}

/* ---- waiting ---------------------------------------------------------------------------------------- */

void wait_for(live_run &r, const char *what, const std::function<bool()> &come)
{
    for (int i = 0; i < 120000; i++) {
        r.poll();
        if (come())
            return;
        usleep(1000);
    }
    fail_msg("waited for %s in vain; the phase is %d, the problem '%s'", what, static_cast<int>(r.phase()),
             r.problem().c_str());
}

void wait_for_phase(live_run &r, live_phase phase)
{
    static const char *const names[] = {"loading", "ready",    "running", "pausing",
                                        "paused",  "finished", "stopped", "failed"};
    wait_for(r, names[static_cast<int>(phase)], [&] {
        if (phase != live_phase::failed && r.phase() == live_phase::failed)
            fail_msg("it failed: %s", r.problem().c_str());
        return r.phase() == phase;
    });
}

uint32_t n_steps(const live_run &r)
{
    return r.info().kind == VKDLM_TRAJECTORY_FLOW ? r.info().n_tokens : r.info().n_steps;
}

void wait_for_steps(live_run &r, uint32_t n)
{
    wait_for(r, "steps", [&] { return n_steps(r) >= n; });
}

/* One model of each kind stays open for all tests. */
live_run &open_model(std::unique_ptr<live_run> &kept, const char *path)
{
    if (!kept) {
        live_source source;
        source.model = path;
        kept = live_run::create(source, nullptr);
        assert_true(kept->phase() == live_phase::loading);
        wait_for_phase(*kept, live_phase::ready);
        assert_true(n_steps(*kept) == 0 && kept->model().vocab_size > 0);
    }
    return *kept;
}

std::unique_ptr<live_run> kept_masked, kept_flow;

live_run &masked_run()
{
    return open_model(kept_masked, masked_model);
}

live_run &flow_run()
{
    return open_model(kept_flow, flow_model);
}

/* ---- settings ------------------------------------------------------------------------------------------ */

live_settings masked_settings(vkdlm_sampler sampler = VKDLM_SAMPLER_DDPM_CACHE, uint32_t steps = STEPS)
{
    live_settings s;
    s.kind = live_settings::given::ids;
    s.text = "7 210 9";
    s.length = LENGTH;
    s.masked.sampler = sampler;
    s.masked.steps = sampler == VKDLM_SAMPLER_FIRST_HITTING ? 0 : steps;
    s.masked.n_candidates = 3;
    s.masked.evaluate_all = true;
    s.masked.seed = 11;
    return s;
}

live_settings flow_settings(uint32_t length)
{
    live_settings s;
    s.kind = live_settings::given::ids;
    s.text = "5 9 2 7";
    s.length = length;
    s.causal.flow.steps = 4;
    s.causal.ignore_end = true;
    s.causal.n_candidates = 4;
    s.causal.seed = 5;
    s.causal.flow.solver = VKDLM_SOLVER_MIDPOINT;
    strcpy(s.temperature, "0.7");
    s.causal.flow.temperature = s.temperature;
    return s;
}

void run_whole(live_run &r, const live_settings &s)
{
    r.start(s);
    assert_true(r.phase() == live_phase::running);
    wait_for_phase(r, live_phase::finished);
    assert_string_equal(r.problem().c_str(), "");
}

/* ---- comparing ------------------------------------------------------------------------------------------
 */

template <typename T> bool same(const T *a, const T *b, size_t n)
{
    return !a == !b && (!a || !n || !memcmp(a, b, n * sizeof *a));
}

void same_text(const char *a, const char *b)
{
    assert_string_equal(a, b);
}

/* Every field but, where times are of different runs, those. */
void check_same_steps(const run &a, const run &b, uint32_t from, uint32_t to, bool times)
{
    const size_t n = a.info().length, k = a.info().n_candidates;
    for (uint32_t i = from; i <= to; i++) {
        vkdlm_trajectory_step x, y;
        assert_true(a.step(i, &x) && b.step(i, &y));
        assert_true(same(x.tokens, y.tokens, n) && same(x.previous, y.previous, n));
        assert_true(std::isfinite(x.time) && x.time == y.time && x.evaluations == y.evaluations);
        assert_true(same(x.topk_ids, y.topk_ids, n * k) && same(x.topk_probs, y.topk_probs, n * k));
        assert_true(same(x.entropy, y.entropy, n) && same(x.confidence, y.confidence, n));
        if (times)
            assert_true(x.host_ns == y.host_ns && x.device_ns == y.device_ns);
    }
}

void check_same_evaluations(const run &a, const run &b, uint32_t n, bool times)
{
    const size_t k = a.info().n_candidates, dim = a.info().dim;
    for (uint32_t i = 0; i < n; i++) {
        vkdlm_trajectory_evaluation x, y;
        assert_true(a.evaluation(i, &x) && b.evaluation(i, &y));
        assert_true(x.token_index == y.token_index && x.time == y.time && x.xhat_id == y.xhat_id);
        assert_true(same(x.x, y.x, dim) && same(x.topk_ids, y.topk_ids, k) &&
                    same(x.topk_probs, y.topk_probs, k));
        assert_true(same(&x.entropy, &y.entropy, 1) && same(&x.wd_norm, &y.wd_norm, 1));
        if (times)
            assert_true(x.device_ns == y.device_ns);
    }
}

void check_same_run(const run &a, const run &b, bool times)
{
    const vkdlm_trajectory_info &x = a.info(), &y = b.info();
    assert_true(x.kind == y.kind && x.n_candidates == y.n_candidates && x.mask_id == y.mask_id);
    assert_true(x.n_steps == y.n_steps && x.length == y.length);
    assert_true(x.n_tokens == y.n_tokens && x.n_evaluations == y.n_evaluations && x.dim == y.dim);
    assert_true(same(x.tokens, y.tokens, x.n_tokens));
    same_text(x.model, y.model);
    same_text(x.sampler, y.sampler);
    same_text(x.seed, y.seed);
    same_text(x.device, y.device);
    same_text(x.prompt, y.prompt);
    same_text(x.tokenizer, y.tokenizer);
    if (x.kind == VKDLM_TRAJECTORY_MASKED)
        check_same_steps(a, b, 0, x.n_steps, times);
    check_same_evaluations(a, b, x.n_evaluations, times);
    for (uint32_t i = 0; i <= x.n_tokens; i++)
        assert_int_equal(a.first_evaluation(i), b.first_evaluation(i));
    vkdlm_trajectory_step s;
    vkdlm_trajectory_evaluation v;
    assert_false(a.step(x.n_steps + 1, &s));
    assert_false(a.evaluation(x.n_evaluations, &v));
}

std::unique_ptr<run> open_recording(const std::string &path)
{
    std::string error;
    std::unique_ptr<run> r = open_file(path, error);
    if (!r)
        fail_msg("%s", error.c_str());
    return r;
}

/* What the command line records. */
std::unique_ptr<run> record(const char *model, const std::string &options)
{
    const std::string path = path_of("recorded.safetensors");
    const std::string command = std::string(VKDLM_CLI " generate -q -m ") + model + " --trajectory " + path +
                                " " + options + " > /dev/null";
    if (system(command.c_str()) != 0)
        fail_msg("'%s' failed", command.c_str());
    return open_recording(path);
}

/* What is saved is what is there. */
void check_saved(const live_run &r)
{
    std::string error;
    const std::string path = path_of("saved.safetensors");
    if (!r.save(path, error))
        fail_msg("%s", error.c_str());
    check_same_run(r, *open_recording(path), true);
}

std::vector<int32_t> tokens_at(const run &r, uint32_t step)
{
    vkdlm_trajectory_step s;
    assert_true(r.step(step, &s));
    return {s.tokens, s.tokens + r.info().length};
}

std::vector<int32_t> flow_tokens(const run &r)
{
    return {r.info().tokens, r.info().tokens + r.info().n_tokens};
}

/* ---- runs -----------------------------------------------------------------------------------------------
 */

void masked_runs_equal_recordings(void **)
{
    live_run &r = masked_run();
    for (int sampler = 0; sampler < (is_quick() ? 1 : static_cast<int>(VKDLM_SAMPLER_COUNT)); sampler++) {
        const auto kind = static_cast<vkdlm_sampler>(sampler);
        std::string options = "--ids '7 210 9' -n 24 --seed 11 --top 3 --sampler ";
        options += vkdlm_sampler_name(kind);
        if (kind != VKDLM_SAMPLER_FIRST_HITTING)
            options += " --steps 10";
        live_settings s = masked_settings(kind);
        s.masked.evaluate_all = sampler % 2 == 0;
        std::unique_ptr<run> expected =
            record(masked_model, options + (sampler % 2 ? "" : " --every-position"));
        run_whole(r, s);
        check_same_run(r, *expected, false);
        check_saved(r);
    }
}

void flow_runs_equal_recordings(void **)
{
    live_run &r = flow_run();
    std::unique_ptr<run> expected =
        record(flow_model, "--ids '5 9 2 7' -n 3 --seed 5 --top 4 --steps 4 --solver midpoint "
                           "--xhat-temperature 0.7 --ignore-eos");
    run_whole(r, flow_settings(3));
    check_same_run(r, *expected, false);
    check_saved(r);
    live_settings read;
    std::string error;
    assert_true(read_settings(*expected, read, error));
    assert_true(read.kind == live_settings::given::ids && read.length == 3 && read.causal.seed == 5);
    run_whole(r, read);
    check_same_run(r, *expected, false);
}

/* Pausing, single steps and resuming change no token. */
void runs_are_paused(void **)
{
    live_run &r = masked_run();
    live_settings s = masked_settings(VKDLM_SAMPLER_DDPM, 30);
    run_whole(r, s);
    const uint32_t n = n_steps(r);
    const std::vector<int32_t> whole = tokens_at(r, n);
    r.start(s);
    r.pause();
    assert_true(r.phase() == live_phase::pausing);
    wait_for_phase(r, live_phase::paused);
    assert_int_equal(n_steps(r), 1);
    for (int i = 0; i < 100; i++) {
        r.poll();
        usleep(200);
    }
    assert_true(r.phase() == live_phase::paused && n_steps(r) == 1);
    for (uint32_t i = 2; i < 5; i++) {
        uint64_t version = r.version();
        r.single_step();
        assert_true(r.phase() == live_phase::running);
        wait_for_phase(r, live_phase::paused);
        assert_int_equal(n_steps(r), i);
        assert_true(r.version() != version);
        vkdlm_trajectory_step step;
        assert_true(r.step(i, &step) && !r.step(i + 1, &step));
    }
    r.resume();
    assert_true(r.phase() == live_phase::running);
    wait_for_phase(r, live_phase::finished);
    assert_int_equal(n_steps(r), n);
    assert_true(tokens_at(r, n) == whole);
    r.pause();
    r.resume();
    r.single_step();
    r.cancel();
    r.poll();
    assert_true(r.phase() == live_phase::finished);
}

void flows_are_paused_behind_tokens(void **)
{
    live_run &r = flow_run();
    r.start(flow_settings(3));
    r.single_step();
    wait_for_phase(r, live_phase::paused);
    assert_int_equal(n_steps(r), 1);
    assert_true(r.first_evaluation(1) > 0);
    r.single_step();
    wait_for_phase(r, live_phase::paused);
    assert_int_equal(n_steps(r), 2);
    r.resume();
    wait_for_phase(r, live_phase::finished);
    assert_int_equal(n_steps(r), 3);
}

void runs_are_cancelled(void **)
{
    live_run &r = masked_run();
    const live_settings s = masked_settings(VKDLM_SAMPLER_DDPM, 1000);
    r.start(s);
    wait_for_steps(r, 2);
    r.cancel();
    wait_for_phase(r, live_phase::stopped);
    assert_true(n_steps(r) >= 2 && n_steps(r) < 1000);
    check_saved(r);
    /* Also one that waits, */
    r.start(s);
    r.pause();
    wait_for_phase(r, live_phase::paused);
    r.cancel();
    wait_for_phase(r, live_phase::stopped);
    /* and another run in place of one that goes. */
    r.start(s);
    wait_for_steps(r, 1);
    run_whole(r, masked_settings());
    const std::vector<int32_t> last = tokens_at(r, n_steps(r));
    run_whole(r, masked_settings());
    assert_true(tokens_at(r, n_steps(r)) == last);
}

void threads_end_with_their_run(void **)
{
    live_source source;
    source.model = masked_model;
    live_run::create(source, nullptr);
    std::unique_ptr<live_run> r = live_run::create(source, nullptr);
    r->start(masked_settings(VKDLM_SAMPLER_DDPM, 1000)); /* waits for the model */
    assert_true(r->phase() == live_phase::loading);
    wait_for_steps(*r, 2);
    r.reset();
    r = live_run::create(source, nullptr);
    r->start(masked_settings(VKDLM_SAMPLER_DDPM, 1000));
    r->pause();
    wait_for_phase(*r, live_phase::paused);
    r.reset();
}

/* ---- going on --------------------------------------------------------------------------------------- */

void runs_go_on_as_they_went(void **)
{
    live_run &r = masked_run();
    for (int sampler = 0; sampler < VKDLM_SAMPLER_COUNT; sampler++) {
        const auto kind = static_cast<vkdlm_sampler>(sampler);
        const live_settings s = masked_settings(kind);
        run_whole(r, s);
        const std::string path = path_of("whole.safetensors");
        std::string error;
        assert_true(r.save(path, error));
        std::unique_ptr<run> whole = open_recording(path);
        const uint32_t n = n_steps(r);
        for (uint32_t step : {n - 1, n / 2, 0U}) {
            if (!r.go_on(step, s))
                fail_msg("%s", r.problem().c_str());
            wait_for_phase(r, live_phase::finished);
            assert_int_equal(n_steps(r), n);
            if (kind != VKDLM_SAMPLER_FIRST_HITTING) {
                check_same_steps(r, *whole, 0, n, false);
                continue;
            }
            for (uint32_t i = 0; i <= n; i++) {
                vkdlm_trajectory_step a, b;
                assert_true(r.step(i, &a) && whole->step(i, &b));
                assert_true(same(a.tokens, b.tokens, LENGTH) && a.evaluations == b.evaluations);
                assert_true(std::fabs(a.time - b.time) <= 1e-5F * b.time);
            }
        }
        check_saved(r);
    }
}

void finished_canvases_go_on(void **)
{
    live_run &r = masked_run();
    const live_settings s = masked_settings(VKDLM_SAMPLER_DDPM_CACHE, 40);
    run_whole(r, s);
    const uint32_t n = n_steps(r);
    assert_false(r.go_on(n, s));
    assert_true(r.problem().find("nothing to go on with") != std::string::npos);
    const std::vector<int32_t> before = tokens_at(r, n);
    for (uint32_t i = 4; i < 14; i++)
        r.edit(n, i, live_run::masked_again);
    r.edit(n, 0, 99); /* a given one */
    r.edit(n, 20, 98);
    r.edit(n, 21, before[21]); /* no change */
    assert_int_equal(r.edits().size(), 12);
    assert_true(r.edited_step() == n && r.edits().at(4) == live_run::masked_again);
    if (!r.go_on(n, s))
        fail_msg("%s", r.problem().c_str());
    assert_true(r.edits().empty());
    wait_for_phase(r, live_phase::finished);
    assert_true(n_steps(r) > n);
    for (uint32_t i = n; i <= n_steps(r); i++) {
        const std::vector<int32_t> now = tokens_at(r, i);
        for (uint32_t p = 0; p < LENGTH; p++) {
            const int32_t expected = p == 0 ? 99 : p == 20 ? 98 : p >= 4 && p < 14 ? MASK : before[p];
            if (i == n || expected != MASK)
                assert_int_equal(now[p], expected);
            else if (i == n_steps(r))
                assert_int_not_equal(now[p], MASK);
        }
    }
    /* Ten of the 23 positions that may be masked are so at about t = 10/23. */
    vkdlm_trajectory_step last, first;
    assert_true(r.step(n, &last) && r.step(n + 1, &first));
    assert_true(first.time > 0.01F && first.time < 10.0F / 22);
    assert_true(first.evaluations == last.evaluations + 1);
    check_saved(r);
}

void shares_have_times(void **)
{
    vkdlm_noise noise = {};
    vkdlm_error err = {};
    double time = -1;
    for (double expected : {0.0, 0.25, 1.0}) {
        assert_int_equal(vkdlm_noise_time(&noise, 0.999 * expected, &time, &err), VKDLM_OK);
        assert_true(std::fabs(time - expected) < 1e-12);
    }
    assert_true(vkdlm_noise_time(&noise, 7, &time, &err) == VKDLM_OK && time == 1);
    noise.schedule = VKDLM_SCHEDULE_COSINE;
    assert_int_equal(vkdlm_noise_time(&noise, 0.999 * (1 - std::sqrt(0.5)), &time, &err), VKDLM_OK);
    assert_true(std::fabs(time - 0.5) < 1e-9);
    noise.eps = 2;
    assert_int_equal(vkdlm_noise_time(&noise, 0.5, &time, &err), VKDLM_INVALID_ARGUMENT);
}

void edits_belong_to_a_step(void **)
{
    live_run &r = masked_run();
    const live_settings s = masked_settings(VKDLM_SAMPLER_ANALYTIC);
    r.start(s);
    r.single_step();
    wait_for_phase(r, live_phase::paused);
    r.resume();
    r.edit(1, 3, 17); /* pauses, or comes after the end */
    wait_for(r, "a pause",
             [&] { return r.phase() == live_phase::paused || r.phase() == live_phase::finished; });
    assert_int_equal(r.edits().size(), 1);
    r.edit(0, 5, 18);
    r.edit(0, 6, MASK); /* is masked already */
    assert_int_equal(r.edits().size(), 1);
    assert_true(r.edited_step() == 0 && r.edits().at(5) == 18);
    r.drop_edit(5);
    assert_true(r.edits().empty());
    r.edit(0, 5, 18);
    r.drop_edits();
    assert_true(r.edits().empty());
    r.edit(0, LENGTH, 1);
    assert_true(r.problem().find("24 positions") != std::string::npos);
    r.edit(0, 1, MASK + 1);
    assert_true(r.problem().find("0 to 210") != std::string::npos);
    r.edit(1000, 1, 1);
    assert_true(r.edits().empty() && !r.problem().empty());
    /* From the start: what is set is given. */
    r.edit(0, 5, 18);
    assert_true(r.go_on(0, s));
    wait_for_phase(r, live_phase::finished);
    for (uint32_t i = 0; i <= n_steps(r); i++)
        assert_int_equal(tokens_at(r, i)[5], 18);
    check_saved(r);
}

void flows_go_on(void **)
{
    live_run &r = flow_run();
    const live_settings s = flow_settings(4);
    run_whole(r, s);
    const std::vector<int32_t> whole = flow_tokens(r);
    std::string error;
    assert_true(r.save(path_of("whole.safetensors"), error));
    std::unique_ptr<run> recorded = open_recording(path_of("whole.safetensors"));
    for (uint32_t step : {3U, 1U, 0U}) {
        assert_true(r.go_on(step, s));
        wait_for_phase(r, live_phase::finished);
        check_same_run(r, *recorded, false);
    }
    assert_false(r.go_on(4, s));
    assert_true(r.problem().find("greater length") != std::string::npos);
    /* Behind an edited token all are new. */
    r.edit(4, 1, 77);
    assert_true(r.go_on(4, s));
    wait_for_phase(r, live_phase::finished);
    assert_int_equal(n_steps(r), 4);
    assert_true(flow_tokens(r)[0] == whole[0] && flow_tokens(r)[1] == 77);
    assert_true(r.first_evaluation(1) == r.first_evaluation(2) &&
                r.first_evaluation(2) < r.first_evaluation(3));
    check_saved(r);
    const live_settings longer = flow_settings(6);
    r.edit(4, 2, live_run::masked_again);
    assert_true(r.go_on(4, longer));
    wait_for_phase(r, live_phase::finished);
    assert_int_equal(n_steps(r), 6);
    assert_true(flow_tokens(r)[1] == 77);
}

/* A recording of a run by a model that is open, which is as the command line's. */
std::string save_run(live_run &r, const live_settings &s)
{
    const std::string path = path_of("recorded.safetensors");
    std::string error;
    run_whole(r, s);
    assert_true(r.save(path, error));
    return path;
}

void recordings_go_on(void **)
{
    const std::string path = save_run(masked_run(), masked_settings());
    std::unique_ptr<run> recorded = open_recording(path);
    live_settings s;
    std::string error;
    assert_true(read_settings(*recorded, s, error));
    assert_true(s.kind == live_settings::given::ids && s.text == "7 210 9" && s.length == LENGTH);
    assert_true(s.masked.steps == 10 && s.masked.seed == 11 && s.masked.n_candidates == 3);
    live_source source;
    source.model = masked_model;
    std::unique_ptr<live_run> r = live_run::create(source, open_recording(path));
    check_same_run(*r, *recorded, true);
    assert_false(r->go_on(2, s)); /* the model is not open yet */
    wait_for_phase(*r, live_phase::ready);
    check_same_run(*r, *recorded, true);
    check_saved(*r);
    assert_true(r->go_on(2, s));
    wait_for_phase(*r, live_phase::finished);
    check_same_run(*r, *recorded, false);
}

void flow_recordings_go_on(void **)
{
    const std::string path = save_run(flow_run(), flow_settings(3));
    std::unique_ptr<run> recorded = open_recording(path);
    live_settings s;
    std::string error;
    assert_true(read_settings(*recorded, s, error));
    live_source source;
    source.model = flow_model;
    std::unique_ptr<live_run> r = live_run::create(source, open_recording(path));
    wait_for_phase(*r, live_phase::ready);
    assert_true(r->go_on(1, s));
    wait_for_phase(*r, live_phase::finished);
    check_same_run(*r, *recorded, false);

    /* A model of another kind shows it, but cannot go on. */
    source.model = masked_model;
    r = live_run::create(source, open_recording(path));
    wait_for_phase(*r, live_phase::ready);
    check_same_run(*r, *recorded, true);
    assert_false(r->go_on(2, s));
    assert_true(r->problem().find("masked diffusion") != std::string::npos);
}

/* A causal model without a diffusion path has tokens and no evaluations. */
void bases_alone_run(void **)
{
    live_run &r = flow_run();
    live_settings s = flow_settings(5);
    s.causal.flow = {};
    s.causal.flow.off = true;
    run_whole(r, s);
    assert_true(n_steps(r) == 5 && r.info().n_evaluations == 0);
    check_saved(r);
    const std::vector<int32_t> whole = flow_tokens(r);
    assert_true(r.go_on(2, s));
    wait_for_phase(r, live_phase::finished);
    assert_true(flow_tokens(r) == whole);
}

void stages_are_not_edited(void **)
{
    live_run &r = masked_run();
    live_settings s = masked_settings();
    s.masked.stride = 4;
    s.masked.strides = 2;
    run_whole(r, s);
    if (!is_quick())
        check_same_run(r,
                       *record(masked_model,
                               "--ids '7 210 9' -n 24 --seed 11 --top 3 --every-position --steps 10 "
                               "--stride 4 --strides 2"),
                       false);
    check_saved(r);
    r.edit(1, 1, 5);
    assert_true(r.edits().empty() && r.problem().find("semi-autoregressive") != std::string::npos);
    assert_false(r.go_on(1, s));
    run_whole(r, masked_settings());
    r.edit(1, 1, 5);
    assert_int_equal(r.edits().size(), 1);
}

/* ---- failures ---------------------------------------------------------------------------------------- */

void bad_settings_are_refused(void **)
{
    live_run &r = masked_run();
    run_whole(r, masked_settings());
    const uint32_t n = n_steps(r);
    const std::vector<int32_t> last = tokens_at(r, n);
    std::vector<std::pair<live_settings, const char *>> bad(6, {masked_settings(), ""});
    bad[0].first.length = 38;
    bad[0].second = "37";
    bad[1].first.text = "7 211";
    bad[1].second = "211";
    bad[2].first.text = "7 x";
    bad[2].second = "'x'";
    bad[3].first.masked.temperature = -1;
    bad[3].second = "temperature";
    bad[4].first.kind = live_settings::given::prompt;
    bad[4].second = "tokenizer";
    bad[5].first.masked.n_candidates = 5000;
    bad[5].second = "1024";
    for (const auto &[settings, word] : bad) {
        r.start(settings);
        wait_for_phase(r, live_phase::failed);
        if (r.problem().find(word) == std::string::npos)
            fail_msg("'%s' does not tell of %s", r.problem().c_str(), word);
        assert_int_equal(n_steps(r), n);
        assert_true(tokens_at(r, n) == last);
    }
    live_settings hot = masked_settings();
    hot.masked.top_p = 2;
    assert_true(r.go_on(2, hot));
    wait_for_phase(r, live_phase::failed);
    assert_int_equal(n_steps(r), n);
    assert_false(r.go_on(n + 1, masked_settings()));
    run_whole(r, masked_settings());
    live_run &f = flow_run();
    live_settings s = flow_settings(3);
    s.kind = live_settings::given::masks;
    f.start(s);
    wait_for_phase(f, live_phase::failed);
    assert_true(f.problem().find("masks") != std::string::npos);
    std::string error;
    assert_false(r.save(path_of("nowhere/x"), error));
    assert_false(error.empty());
}

void models_that_are_not_there(void **)
{
    live_source source;
    source.model = path_of("nothing");
    std::unique_ptr<live_run> r = live_run::create(source, nullptr);
    r->start(masked_settings());
    wait_for_phase(*r, live_phase::failed);
    assert_true(r->problem().find("nothing") != std::string::npos);
    r->start(masked_settings());
    assert_true(r->phase() == live_phase::failed);
    assert_false(r->go_on(0, masked_settings()));
    std::string error;
    std::vector<int32_t> ids;
    assert_false(r->save(path_of("x"), error) || r->tokenize("a", ids));
}

/* ---- text --------------------------------------------------------------------------------------------- */

void texts_become_canvases(void **)
{
    live_source source;
    source.model = "kjv-mdlm-q8_0.gguf";
    std::unique_ptr<live_run> r = live_run::create(source, nullptr);
    wait_for_phase(*r, live_phase::ready);
    std::vector<int32_t> ids;
    assert_true(r->tokenize(" light", ids) && !ids.empty());
    std::string text;
    for (int32_t id : ids)
        text += r->piece(id);
    assert_string_equal(text.c_str(), " light");
    assert_null(r->piece(r->model().mask_id).data());
    live_settings s;
    s.kind = live_settings::given::masks;
    s.text = "And God said,[MASK:6] light";
    s.masked.steps = 3;
    run_whole(*r, s);
    const std::vector<int32_t> start = tokens_at(*r, 0);
    const std::ptrdiff_t masks = std::count(start.begin(), start.end(), r->info().mask_id);
    assert_true(masks == 6 && std::equal(ids.rbegin(), ids.rend(), start.rbegin()));
    const std::vector<int32_t> end = tokens_at(*r, n_steps(*r));
    text.clear();
    for (int32_t id : end)
        text += r->piece(id);
    assert_true(text.find("And God said,") == 0);
    std::string error;
    assert_true(r->save(path_of("text.safetensors"), error));
    std::unique_ptr<run> saved = open_recording(path_of("text.safetensors"));
    for (int32_t id : end)
        assert_true(saved->piece(id) == r->piece(id) && r->piece(id).data());
    /* A token that no step drew has its text too. */
    std::vector<int32_t> by_hand;
    assert_true(r->tokenize("Jerusalem", by_hand));
    r->edit(0, static_cast<uint32_t>(start.size()) - 8, by_hand[0]);
    r->edit(n_steps(*r), 1, by_hand[0]);
    r->edit(n_steps(*r), 4, live_run::masked_again);
    assert_true(r->go_on(n_steps(*r), s));
    wait_for_phase(*r, live_phase::finished);
    assert_true(r->save(path_of("text.safetensors"), error));
    saved = open_recording(path_of("text.safetensors"));
    assert_true(saved->piece(by_hand[0]) == r->piece(by_hand[0]) && r->piece(by_hand[0]).data());
}

int close_models(void **)
{
    kept_masked.reset();
    kept_flow.reset();
    return system(("rm -rf '" + folder + "'").c_str());
}

} // namespace

int main()
{
    char made[] = "/tmp/vkdlm-live-XXXXXX";
    if (!mkdtemp(made))
        return 1;
    folder = made;
    const CMUnitTest tests[] = {
        cmocka_unit_test(masked_runs_equal_recordings),
        cmocka_unit_test(flow_runs_equal_recordings),
        cmocka_unit_test(runs_are_paused),
        cmocka_unit_test(flows_are_paused_behind_tokens),
        cmocka_unit_test(runs_are_cancelled),
        cmocka_unit_test(threads_end_with_their_run),
        cmocka_unit_test(runs_go_on_as_they_went),
        cmocka_unit_test(finished_canvases_go_on),
        cmocka_unit_test(edits_belong_to_a_step),
        cmocka_unit_test(flows_go_on),
        cmocka_unit_test(recordings_go_on),
        cmocka_unit_test(flow_recordings_go_on),
        cmocka_unit_test(bases_alone_run),
        cmocka_unit_test(stages_are_not_edited),
        cmocka_unit_test(shares_have_times),
        cmocka_unit_test(bad_settings_are_refused),
        cmocka_unit_test(models_that_are_not_there),
        cmocka_unit_test(texts_become_canvases),
    };
    return cmocka_run_group_tests(tests, nullptr, close_models);
}

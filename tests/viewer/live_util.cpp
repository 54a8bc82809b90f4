#include "live_util.h"

#include <cmath>
#include <cstdlib>

#include <unistd.h>

using namespace viewer;

const char *const masked_model = TESTS_DIR "/golden/mdlm/tc", *const flow_model =
                                                                  TESTS_DIR "/golden/l2d/llama-lora";

namespace
{

std::string folder;

} // namespace

std::string path_of(const char *name)
{
    return folder + "/" + name;
}

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

namespace
{

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

} // namespace

live_run &masked_run()
{
    return open_model(kept_masked, masked_model);
}

live_run &flow_run()
{
    return open_model(kept_flow, flow_model);
}

/* ---- settings ------------------------------------------------------------------------------------------ */

live_settings masked_settings(vkdlm_sampler sampler, uint32_t steps)
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

/* ---- comparing ----------------------------------------------------------------------------------------- */

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

static void check_same_evaluations(const run &a, const run &b, uint32_t n, bool times)
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
    assert_string_equal(x.model, y.model);
    assert_string_equal(x.sampler, y.sampler);
    assert_string_equal(x.seed, y.seed);
    assert_string_equal(x.device, y.device);
    assert_string_equal(x.prompt, y.prompt);
    assert_string_equal(x.tokenizer, y.tokenizer);
    if (x.kind == VKDLM_TRAJECTORY_MASKED)
        check_same_steps(a, b, 0, x.n_steps, times);
    check_same_evaluations(a, b, x.n_evaluations, times);
    assert_true(x.prompt_kind == y.prompt_kind && x.n_prompt_ids == y.n_prompt_ids);
    assert_true(same(x.prompt_ids, y.prompt_ids, x.n_prompt_ids));
    for (uint32_t i = 0; i <= x.n_tokens; i++)
        assert_int_equal(a.first_evaluation(i), b.first_evaluation(i));
    vkdlm_trajectory_step s;
    vkdlm_trajectory_evaluation v;
    assert_false(a.step(x.n_steps + 1, &s));
    assert_false(a.evaluation(x.n_evaluations, &v));
}

void check_same_resumptions(const run &a, const run &b)
{
    assert_int_equal(a.info().n_resumptions, b.info().n_resumptions);
    for (uint32_t i = 0; i < a.info().n_resumptions; i++) {
        const vkdlm_trajectory_resumption &x = a.info().resumptions[i], &y = b.info().resumptions[i];
        assert_true(x.step == y.step && x.seed == y.seed && x.n_edits == y.n_edits);
        assert_true(same(x.edits, y.edits, x.n_edits));
        assert_string_equal(x.sampler, y.sampler);
    }
}

std::unique_ptr<run> open_recording(const std::string &path)
{
    std::string error;
    std::unique_ptr<run> r = open_file(path, error);
    if (!r)
        fail_msg("%s", error.c_str());
    return r;
}

std::unique_ptr<run> record(const char *model, const std::string &options)
{
    const std::string path = path_of("recorded.safetensors");
    const std::string command = std::string(VKDLM_CLI " generate -q -m ") + model + " --trajectory " + path +
                                " " + options + " > /dev/null";
    if (system(command.c_str()) != 0)
        fail_msg("'%s' failed", command.c_str());
    return open_recording(path);
}

void check_saved(const live_run &r)
{
    std::string error;
    const std::string path = path_of("saved.safetensors");
    if (!r.save(path, error))
        fail_msg("%s", error.c_str());
    std::unique_ptr<run> saved = open_recording(path);
    check_same_run(r, *saved, true);
    check_same_resumptions(r, *saved);
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

std::string save_run(live_run &r, const live_settings &s)
{
    const std::string path = path_of("recorded.safetensors");
    std::string error;
    run_whole(r, s);
    assert_true(r.save(path, error));
    return path;
}

int run_live_tests(const CMUnitTest *tests, size_t n)
{
    char made[] = "/tmp/vkdlm-live-XXXXXX";
    if (!mkdtemp(made))
        return 1;
    folder = made;
    const int failed = _cmocka_run_group_tests("live", tests, n, nullptr, nullptr);
    kept_masked.reset();
    kept_flow.reset();
    return system(("rm -rf '" + folder + "'").c_str()) || failed;
}

/* Runs that the viewer makes, on a device: against what the command line records, and under every command. */
#include <algorithm>

#include <unistd.h>

#include "live_util.h"

using namespace viewer;

namespace
{

/* ---- runs ---------------------------------------------------------------------------------------------- */

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
void threads_end_when_told(void **)
{
    live_source source;
    source.model = masked_model;
    std::unique_ptr<live_run> r = live_run::create(source, nullptr);
    r->end(0); /* it may be over already */
    assert_true(r->end(100));
    assert_true(r->end(0));
    for (bool paused : {false, true}) {
        r = live_run::create(source, nullptr);
        r->start(masked_settings());
        wait_for(*r, "a step", [&] { return n_steps(*r) > 0; });
        if (paused)
            r->pause();
        assert_true(r->end(100));
        std::string error;
        assert_true(r->save(path_of("ended.safetensors"), error));
    }
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
} // namespace

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(masked_runs_equal_recordings),
        cmocka_unit_test(flow_runs_equal_recordings),
        cmocka_unit_test(runs_are_paused),
        cmocka_unit_test(flows_are_paused_behind_tokens),
        cmocka_unit_test(runs_are_cancelled),
        cmocka_unit_test(threads_end_with_their_run),
        cmocka_unit_test(threads_end_when_told),
        cmocka_unit_test(bad_settings_are_refused),
        cmocka_unit_test(models_that_are_not_there),
        cmocka_unit_test(texts_become_canvases),
    };
    return run_live_tests(tests, sizeof tests / sizeof *tests);
}

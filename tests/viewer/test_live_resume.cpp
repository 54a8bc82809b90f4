/* Runs that go on, on a device: as they went, from edited canvases, and from recordings. */
#include <cmath>

#include "live_util.h"

using namespace viewer;

namespace
{

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
/* ---- what a recording says of it ----------------------------------------------------------------------- */

const vkdlm_trajectory_resumption &resumption_of(const run &r, uint32_t index)
{
    assert_true(index < r.info().n_resumptions);
    return r.info().resumptions[index];
}

bool has_edit(const vkdlm_trajectory_resumption &r, uint32_t index, uint32_t position, int32_t from,
              int32_t to)
{
    return index < r.n_edits && r.edits[index].position == position && r.edits[index].from == from &&
           r.edits[index].to == to;
}

void go_on(live_run &r, uint32_t step, const live_settings &s)
{
    if (!r.go_on(step, s))
        fail_msg("%s (step %u of %u)", r.problem().c_str(), step, n_steps(r));
    wait_for_phase(r, live_phase::finished);
}

/* What the command line prints of a file. */
std::string describe(const std::string &path, const char *option)
{
    const std::string command = std::string(VKDLM_CLI " trajectory info ") + path + option;
    FILE *pipe = popen(command.c_str(), "r");
    assert_non_null(pipe);
    std::string out;
    char block[4096];
    for (size_t n; (n = fread(block, 1, sizeof block, pipe)) > 0;)
        out.append(block, n);
    assert_int_equal(pclose(pipe), 0);
    return out;
}

void check_contains(const std::string &text, const std::string &part)
{
    if (text.find(part) == std::string::npos)
        fail_msg("'%s' is not in:\n%s", part.c_str(), text.c_str());
}

/* A canvas that is edited at its end, and later at an earlier step. */
void edits_are_recorded(void **)
{
    live_run &r = masked_run();
    const live_settings s = masked_settings(VKDLM_SAMPLER_DDPM_CACHE, 20);
    run_whole(r, s);
    assert_int_equal(r.info().n_resumptions, 0);
    const uint32_t n = n_steps(r);
    const std::vector<int32_t> end = tokens_at(r, n);
    live_settings other = s;
    other.masked.seed = 12;
    other.masked.temperature = 0.8;
    r.edit(n, 0, 99);
    r.edit(n, 4, live_run::masked_again);
    r.edit(n, 20, 98);
    go_on(r, n, other);
    check_saved(r);
    const vkdlm_trajectory_resumption &one = resumption_of(r, 0);
    assert_true(one.step == n && one.seed == 12 && one.n_edits == 3);
    assert_true(has_edit(one, 0, 0, end[0], 99) && has_edit(one, 1, 4, end[4], -1) &&
                has_edit(one, 2, 20, end[20], 98));
    check_contains(one.sampler, "\"temperature\":0.8");
    /* The run is still said to begin as it did. */
    assert_true(std::string(r.info().seed) == "11" && !strstr(r.info().sampler, "0.8"));

    const std::string path = path_of("saved.safetensors"), edit = "{\"position\":4,\"from\":";
    const std::string json = describe(path, " --json");
    check_contains(json,
                   "\"resumptions\":[{\"step\":" + std::to_string(n) + ",\"seed\":\"12\",\"sampler\":{");
    check_contains(json, edit + std::to_string(end[4]) + ",\"to\":null");
    const std::string lines = describe(path, "");
    check_contains(lines, "from step " + std::to_string(n) + " with 3 edits, seed 12");
    check_contains(lines, "position 4: " + std::to_string(end[4]));
    check_contains(lines, "-> masked again");

    /* From the recording the same edits, and options of the end. */
    live_settings read;
    std::string error;
    std::unique_ptr<run> saved = open_recording(path);
    assert_true(read_settings(*saved, read, error));
    assert_true(read.masked.seed == 12 && read.masked.temperature == 0.8 && read.masked.first_step == 0);
    assert_true(read_settings(*saved, read, error, part_of_run::beginning) && read.masked.seed == 11);

    /* What was edited and has no step left is one with what is edited then; later ones are gone. */
    r.edit(n, 0, 97);
    r.edit(n, 4, end[4]);
    for (uint32_t i = 5; i < 15; i++)
        r.edit(n, i, live_run::masked_again);
    go_on(r, n, s);
    assert_int_equal(r.info().n_resumptions, 1);
    const vkdlm_trajectory_resumption &two = resumption_of(r, 0);
    assert_true(two.seed == 11 && two.n_edits == 12 && has_edit(two, 0, 0, end[0], 97) &&
                has_edit(two, 1, 5, end[5], -1) && has_edit(two, 11, 20, end[20], 98));
    /* It goes on where ten masks are usual, not at the end, where the one of before was left. */
    assert_true(n_steps(r) > n + 1);
    go_on(r, n + 1, s);
    assert_true(r.info().n_resumptions == 2 && resumption_of(r, 1).n_edits == 0);
    check_saved(r);
    go_on(r, 2, s);
    assert_true(r.info().n_resumptions == 1 && resumption_of(r, 0).step == 2);
    run_whole(r, s);
    assert_int_equal(r.info().n_resumptions, 0);
}

/* A recording with edits is gone on with as the run itself would be. */
void edited_recordings_go_on(void **)
{
    live_run &r = masked_run();
    live_settings s = masked_settings();
    run_whole(r, s);
    s.masked.seed = 13;
    r.edit(4, 7, 17);
    r.edit(4, 1, live_run::masked_again);
    go_on(r, 4, s);
    std::string error;
    const std::string path = path_of("edited.safetensors");
    assert_true(r.save(path, error));
    live_source source;
    source.model = masked_model;
    std::unique_ptr<live_run> again = live_run::create(source, open_recording(path));
    wait_for_phase(*again, live_phase::ready);
    check_saved(*again);
    live_settings read;
    assert_true(read_settings(*open_recording(path), read, error));
    go_on(*again, 6, read);
    assert_int_equal(again->info().n_resumptions, 2);
    check_same_steps(*again, r, 0, n_steps(r), false);
    go_on(*again, 4, read);
    check_same_run(*again, *open_recording(path), false);
    check_same_resumptions(*again, *open_recording(path));
}

void edits_of_flows_are_recorded(void **)
{
    live_run &r = flow_run();
    const live_settings s = flow_settings(4);
    run_whole(r, s);
    const std::vector<int32_t> whole = flow_tokens(r);
    assert_true(r.info().n_prompt_ids == 4 && r.info().prompt_ids[1] == 9);
    r.edit(4, 1, 77);
    r.edit(4, 2, 78);
    go_on(r, 4, s);
    check_saved(r);
    const vkdlm_trajectory_resumption &one = resumption_of(r, 0);
    assert_true(one.step == 3 && has_edit(one, 0, 1, whole[1], 77) && has_edit(one, 1, 2, whole[2], 78));
    check_contains(one.sampler, "\"first_token\":3");
    /* One of the two stays when the other is drawn anew. */
    r.edit(4, 2, live_run::masked_again);
    go_on(r, 4, s);
    check_saved(r);
    assert_int_equal(r.info().n_resumptions, 1);
    const vkdlm_trajectory_resumption &two = resumption_of(r, 0);
    assert_true(two.step == 2 && two.n_edits == 2 && has_edit(two, 0, 1, whole[1], 77) &&
                has_edit(two, 1, 2, 78, -1));
    check_contains(describe(path_of("saved.safetensors"), ""), "-> drawn anew");
    go_on(r, 0, s);
    assert_true(r.info().n_resumptions == 1 && resumption_of(r, 0).n_edits == 0);
    assert_true(flow_tokens(r) == whole);
}

/* The prompt of a chat is more than the text that was given. */
void chats_go_on(void **)
{
    const std::string model = path_of("chat"), config = model + "/tokenizer_config.json";
    const uint32_t n = is_quick() ? 2 : 4;
    assert_int_equal(
        system(("mkdir " + model + " && ln -s " TESTS_DIR "/../models/kjv-llama/* " + model).c_str()), 0);
    FILE *file = fopen(config.c_str(), "w");
    assert_non_null(file);
    fputs(R"({"chat_template":"{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"})", file);
    fclose(file);
    std::unique_ptr<run> recorded =
        record(model.c_str(),
               "--l2d kjv-l2d --chat -p 'And God said' --seed 3 --top 2 --steps 2 -n " + std::to_string(n));
    const vkdlm_trajectory_info &info = recorded->info();
    assert_true(info.prompt_kind == VKDLM_PROMPT_CHAT && !strcmp(info.prompt, "And God said"));
    assert_true(info.n_prompt_ids > 10 && info.n_tokens == n);
    live_settings s;
    std::string error;
    assert_true(read_settings(*recorded, s, error) && s.kind == live_settings::given::ids);
    live_source source;
    source.model = info.model;
    source.l2d = info.l2d;
    std::unique_ptr<live_run> r = live_run::create(source, open_recording(path_of("recorded.safetensors")));
    wait_for_phase(*r, live_phase::ready);
    go_on(*r, 1, s);
    check_same_run(*r, *recorded, false);
    check_saved(*r);
    /* From the start too: by the ids. */
    run_whole(*r, s);
    assert_true(flow_tokens(*r) == flow_tokens(*recorded));
}

} // namespace

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(runs_go_on_as_they_went),
        cmocka_unit_test(finished_canvases_go_on),
        cmocka_unit_test(shares_have_times),
        cmocka_unit_test(edits_are_recorded),
        cmocka_unit_test(edited_recordings_go_on),
        cmocka_unit_test(edits_of_flows_are_recorded),
        cmocka_unit_test(chats_go_on),
        cmocka_unit_test(edits_belong_to_a_step),
        cmocka_unit_test(flows_go_on),
        cmocka_unit_test(recordings_go_on),
        cmocka_unit_test(flow_recordings_go_on),
        cmocka_unit_test(bases_alone_run),
        cmocka_unit_test(stages_are_not_edited),
    };
    return run_live_tests(tests, sizeof tests / sizeof *tests);
}

/* Trajectories without a device: what is recorded is what is read; a run that dies leaves no half file;
 * damaged files are refused in one sentence. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <vkdlm/tensors.h>
#include <vkdlm/trajectory.h>

enum { LENGTH = 5, K = 3, MASK = 40, STEPS = 4, DIM = 3 };

static char path[64];

static int make_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/vkdlm-trajectory-%ld", (long)getpid());
    return 0;
}

static int remove_path(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static const vkdlm_model_info masked_info = {.mask_id = MASK};

static vkdlm_recorder *begin(const vkdlm_recorder_options *options)
{
    vkdlm_recorder *recorder = NULL;
    vkdlm_error err = {0};
    if (vkdlm_recorder_create(path, options, &recorder, &err))
        fail_msg("%s", err.message);
    return recorder;
}

static vkdlm_recorder *begin_masked(void)
{
    const vkdlm_generate_options options = {.steps = STEPS, .seed = 77, .n_candidates = K};
    return begin(&(vkdlm_recorder_options){
        .masked = &options, .info = &masked_info, .sample = 2, .model = "a \\xff model", .prompt = "Grüße"});
}

static void finish(vkdlm_recorder *recorder)
{
    vkdlm_error err = {0};
    if (vkdlm_recorder_finish(recorder, &err))
        fail_msg("%s", err.message);
}

static vkdlm_trajectory *open_file(void)
{
    vkdlm_trajectory *t = NULL;
    vkdlm_error err = {0};
    if (vkdlm_trajectory_open(path, &t, &err))
        fail_msg("%s", err.message);
    return t;
}

/* Step s (from 0) unmasks position s and looks at position s + 1. */
typedef struct made_step {
    int32_t tokens[LENGTH];
    uint32_t changed[2];
    float probability[2], entropy[2];
    int32_t ids[2 * K];
    float probs[2 * K];
    vkdlm_step step;
} made_step;

static void make_step(made_step *m, uint32_t s, uint64_t sample)
{
    for (uint32_t i = 0; i < LENGTH; i++)
        m->tokens[i] = i <= s ? (int32_t)(10 + i) : MASK;
    for (uint32_t i = 0; i < 2; i++) {
        m->changed[i] = s + i;
        m->probability[i] = 0.25f + 0.01f * (float)(s + i);
        m->entropy[i] = 1.5f * (float)(s + 1);
        for (uint32_t k = 0; k < K; k++) {
            m->ids[i * K + k] = k == 2 ? -1 : (int32_t)(20 + s + k);
            m->probs[i * K + k] = k == 2 ? 0 : 0.5f / (float)(k + 1);
        }
    }
    m->step = (vkdlm_step){.sample = sample,
                           .step = s + 1,
                           .n_steps = STEPS,
                           .time = 1 - 0.25 * (s + 1),
                           .evaluations = s + 1,
                           .tokens = m->tokens,
                           .length = LENGTH,
                           .n_masked = LENGTH - 1 - s,
                           .changed = m->changed,
                           .n_changed = 1,
                           .n_evaluated = 2,
                           .probability = m->probability,
                           .entropy = m->entropy,
                           .n_candidates = K,
                           .candidate_ids = m->ids,
                           .candidate_probs = m->probs,
                           .host_ns = 1000 + s,
                           .device_ns = 900 + s};
}

static void check_masked(const vkdlm_trajectory *t, uint32_t n_steps)
{
    vkdlm_trajectory_info info;
    vkdlm_trajectory_step s;
    vkdlm_trajectory_get_info(t, &info);
    assert_int_equal(info.kind, VKDLM_TRAJECTORY_MASKED);
    assert_true(info.n_steps == n_steps && info.length == LENGTH && info.n_candidates == K);
    assert_int_equal(info.mask_id, MASK);
    assert_string_equal(info.seed, "77");
    assert_string_equal(info.prompt, "Grüße");
    assert_non_null(strstr(info.sampler, "\"steps\":4"));
    assert_true(vkdlm_trajectory_get_step(t, 0, &s));
    assert_true(s.time == 1 && s.evaluations == 0 && !s.previous && !s.topk_ids);
    for (uint32_t i = 0; i < LENGTH; i++)
        assert_int_equal(s.tokens[i], MASK);
    for (uint32_t n = 0; n < n_steps; n++) {
        made_step m;
        make_step(&m, n, 2);
        assert_true(vkdlm_trajectory_get_step(t, n + 1, &s));
        assert_memory_equal(s.tokens, m.tokens, sizeof m.tokens);
        assert_true(s.time == (float)m.step.time && s.evaluations == (int32_t)n + 1);
        assert_true(s.host_ns == 1000 + (int64_t)n && s.device_ns == 900 + (int64_t)n);
        for (uint32_t i = 0; i < LENGTH; i++) {
            bool evaluated = i == n || i == n + 1;
            assert_true(evaluated ? s.confidence[i] == m.probability[i - n] : isnan(s.confidence[i]));
            assert_true(evaluated ? s.entropy[i] == m.entropy[i - n] : isnan(s.entropy[i]));
            for (uint32_t k = 0; k < K; k++) {
                assert_int_equal(s.topk_ids[i * K + k], evaluated ? m.ids[(i - n) * K + k] : -1);
                assert_true(s.topk_probs[i * K + k] == (evaluated ? m.probs[(i - n) * K + k] : 0));
            }
        }
    }
    assert_false(vkdlm_trajectory_get_step(t, n_steps + 1, &s));
    vkdlm_trajectory_evaluation v;
    assert_false(vkdlm_trajectory_get_evaluation(t, 0, &v));
}

/* One sample of several, whole and stopped early. */
static void test_masked(void **state)
{
    (void)state;
    for (uint32_t n_steps = 1; n_steps <= STEPS; n_steps++) {
        vkdlm_recorder *recorder = begin_masked();
        for (uint32_t s = 0; s < n_steps; s++)
            for (uint64_t sample = 1; sample < 4; sample++) {
                made_step m;
                make_step(&m, sample == 2 ? s : 0, sample);
                assert_true(vkdlm_recorder_on_step(recorder, &m.step));
            }
        finish(recorder);
        vkdlm_trajectory *t = open_file();
        check_masked(t, n_steps);
        vkdlm_trajectory_close(t);
    }
}

/* A canvas without masks. */
static void test_no_steps(void **state)
{
    (void)state;
    int32_t tokens[LENGTH] = {1, 2, 3, 4, 5};
    vkdlm_recorder *recorder = begin_masked();
    vkdlm_sample sample = {.sample = 2, .tokens = tokens, .length = LENGTH, .complete = true};
    assert_true(vkdlm_recorder_on_sample(recorder, &sample));
    finish(recorder);
    vkdlm_trajectory *t = open_file();
    vkdlm_trajectory_step s;
    assert_true(vkdlm_trajectory_get_step(t, 0, &s));
    assert_memory_equal(s.tokens, tokens, sizeof tokens);
    assert_false(vkdlm_trajectory_get_step(t, 1, &s));
    vkdlm_trajectory_close(t);
    vkdlm_error err = {0};
    unlink(path);
    assert_int_equal(vkdlm_recorder_finish(begin_masked(), &err), VKDLM_INVALID_ARGUMENT);
    assert_int_equal(access(path, F_OK), -1);
}

static void make_flow_step(vkdlm_flow_step *step, uint32_t token, uint32_t index, float x[DIM])
{
    static const int32_t ids[K] = {7, 8, -1};
    static const float probs[K] = {0.5f, 0.25f, 0};
    for (uint32_t i = 0; i < DIM; i++)
        x[i] = (float)(100 * token + 10 * index + i);
    *step = (vkdlm_flow_step){.token_index = token,
                              .index = index,
                              .last = index == 2,
                              .time = 0.5 * index,
                              .x = x,
                              .dim = DIM,
                              .xhat_id = (int32_t)(30 + index),
                              .entropy = 0.5f + (float)index,
                              .n_candidates = K,
                              .candidate_ids = ids,
                              .candidate_probs = probs,
                              .wd_norm = 2 * (float)index,
                              .device_ns = 5 + index};
}

/* The second token is not refined; the evaluations of the last one, which never comes, are left out. */
static void test_flow(void **state)
{
    (void)state;
    const vkdlm_complete_options options = {.n_candidates = K};
    const vkdlm_model_info info = {.mask_id = -1, .flow = {.present = true, .dim = DIM}};
    vkdlm_recorder *recorder = begin(&(vkdlm_recorder_options){.flow = &options, .info = &info});
    vkdlm_flow_step step;
    float x[DIM];
    for (uint32_t token = 0; token < 4; token++) {
        for (uint32_t i = 0; i < 3 && token != 1; i++) {
            make_flow_step(&step, token, i, x);
            assert_true(vkdlm_recorder_on_flow_step(recorder, &step));
        }
        vkdlm_token_step done = {.index = token, .token = (int32_t)(50 + token)};
        if (token < 3)
            assert_true(vkdlm_recorder_on_token(recorder, &done));
    }
    finish(recorder);
    vkdlm_trajectory *t = open_file();
    vkdlm_trajectory_info found;
    vkdlm_trajectory_evaluation v;
    vkdlm_trajectory_get_info(t, &found);
    assert_int_equal(found.kind, VKDLM_TRAJECTORY_FLOW);
    assert_true(found.n_tokens == 3 && found.n_evaluations == 6 && found.dim == DIM &&
                found.n_candidates == K);
    assert_true(found.tokens[0] == 50 && found.tokens[1] == 51 && found.tokens[2] == 52);
    static const uint32_t first[] = {0, 3, 3, 6};
    for (uint32_t token = 0; token < 4; token++)
        assert_int_equal(vkdlm_trajectory_first_evaluation(t, token), first[token]);
    for (uint32_t i = 0; i < 6; i++) {
        make_flow_step(&step, i < 3 ? 0 : 2, i % 3, x);
        assert_true(vkdlm_trajectory_get_evaluation(t, i, &v));
        assert_true(v.token_index == step.token_index && v.time == (float)step.time &&
                    v.xhat_id == step.xhat_id);
        assert_true(v.entropy == step.entropy && v.wd_norm == step.wd_norm &&
                    v.device_ns == (int64_t)step.device_ns);
        assert_memory_equal(v.x, x, sizeof x);
        assert_memory_equal(v.topk_ids, step.candidate_ids, K * sizeof *v.topk_ids);
        assert_memory_equal(v.topk_probs, step.candidate_probs, K * sizeof *v.topk_probs);
    }
    assert_false(vkdlm_trajectory_get_evaluation(t, 6, &v));
    vkdlm_trajectory_close(t);
}

/* The metadata `sampler` are the options of the recorded sample. */
static void check_options(char *expected)
{
    vkdlm_trajectory *t = open_file();
    vkdlm_trajectory_info info;
    vkdlm_trajectory_get_info(t, &info);
    assert_string_equal(info.sampler, expected);
    vkdlm_trajectory_close(t);
    free(expected);
}

/* Runs that go on from where others were stopped: time and tokens are those of the place. */
static void test_resumed(void **state)
{
    (void)state;
    vkdlm_generate_options masked = {
        .steps = STEPS, .end_time = 0.2, .first_step = 3, .n_candidates = K, .first_sample = 5};
    const vkdlm_generate_options hitting = {
        .sampler = VKDLM_SAMPLER_FIRST_HITTING, .first_step = 2, .first_time = 0.7, .n_candidates = K};
    for (int i = 0; i < 2; i++) {
        vkdlm_recorder *recorder = begin(&(vkdlm_recorder_options){
            .masked = i ? &hitting : &masked, .info = &masked_info, .sample = i ? 0 : 2});
        made_step m;
        make_step(&m, 0, i ? 0 : 2);
        assert_true(vkdlm_recorder_on_step(recorder, &m.step));
        finish(recorder);
        vkdlm_trajectory *t = open_file();
        vkdlm_trajectory_step s;
        assert_true(vkdlm_trajectory_get_step(t, 0, &s));
        assert_true(fabs((double)s.time - (i ? 0.7 : 0.4)) < 1e-6);
        vkdlm_trajectory_close(t);
        if (i == 0)
            masked.first_sample = 7;
        check_options(vkdlm_generate_options_write(i ? &hitting : &masked));
    }

    const vkdlm_complete_options flow = {.n_candidates = K, .first_token = 2};
    const vkdlm_model_info info = {.mask_id = -1, .flow = {.present = true, .dim = DIM}};
    vkdlm_recorder *recorder = begin(&(vkdlm_recorder_options){.flow = &flow, .info = &info});
    static const int32_t text[] = {9, 50, 51, 52, 53};
    for (uint32_t token = 2; token < 4; token++) {
        vkdlm_flow_step step;
        float x[DIM];
        make_flow_step(&step, token, 0, x);
        assert_true(vkdlm_recorder_on_flow_step(recorder, &step));
        vkdlm_token_step done = {
            .index = token, .token = text[token + 1], .tokens = text, .length = token + 2};
        assert_true(vkdlm_recorder_on_token(recorder, &done));
    }
    finish(recorder);
    vkdlm_trajectory *t = open_file();
    vkdlm_trajectory_info found;
    vkdlm_trajectory_get_info(t, &found);
    assert_true(found.n_tokens == 4 && found.n_evaluations == 2);
    assert_memory_equal(found.tokens, text + 1, 4 * sizeof *text);
    assert_int_equal(vkdlm_trajectory_first_evaluation(t, 2), 0);
    assert_int_equal(vkdlm_trajectory_first_evaluation(t, 3), 1);
    vkdlm_trajectory_close(t);
    check_options(vkdlm_complete_options_write(&flow, &info.flow));

    /* Tokens that it does not tell. */
    recorder = begin(&(vkdlm_recorder_options){.flow = &flow, .info = &info});
    vkdlm_token_step lost = {.index = 5, .token = 1, .tokens = text, .length = 5};
    assert_false(vkdlm_recorder_on_token(recorder, &lost));
    vkdlm_error err;
    assert_int_equal(vkdlm_recorder_finish(recorder, &err), VKDLM_INVALID_ARGUMENT);
}

/* Steps that do not belong to the run, places that cannot be written. */
static void test_misuse(void **state)
{
    (void)state;
    vkdlm_error err = {0};
    made_step m;
    float x[DIM];
    vkdlm_flow_step flow;
    unlink(path);
    vkdlm_recorder *recorder = begin_masked();
    make_flow_step(&flow, 0, 0, x);
    assert_false(vkdlm_recorder_on_flow_step(recorder, &flow));
    assert_int_equal(vkdlm_recorder_finish(recorder, &err), VKDLM_INVALID_ARGUMENT);
    recorder = begin_masked();
    make_step(&m, 0, 2);
    m.step.n_candidates = 2;
    assert_false(vkdlm_recorder_on_step(recorder, &m.step));
    assert_int_equal(vkdlm_recorder_finish(recorder, &err), VKDLM_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "3 candidates, found 2"));
    recorder = begin_masked();
    make_step(&m, 0, 2);
    assert_true(vkdlm_recorder_on_step(recorder, &m.step));
    m.step.length = LENGTH - 1;
    assert_false(vkdlm_recorder_on_step(recorder, &m.step));
    vkdlm_recorder_abort(recorder);
    assert_int_equal(access(path, F_OK), -1);

    const vkdlm_generate_options options = {0};
    const vkdlm_recorder_options good = {.masked = &options, .info = &masked_info};
    assert_int_equal(vkdlm_recorder_create("/nonexistent/x", &good, &recorder, &err), VKDLM_NOT_FOUND);
    assert_int_equal(
        vkdlm_recorder_create(path, &(vkdlm_recorder_options){.info = &masked_info}, &recorder, &err),
        VKDLM_INVALID_ARGUMENT);
    vkdlm_recorder_abort(NULL);
    vkdlm_trajectory_close(NULL);
}

/* A process that is killed at any moment leaves the old file, or a new one that is whole. */
static void test_kill(void **state)
{
    (void)state;
    uint32_t n_new = 0, random = 12345;
    unlink(path);
    for (int round = 0; round < 60; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            for (uint32_t n = 1;; n = n % STEPS + 1) {
                vkdlm_recorder *recorder = begin_masked();
                for (uint32_t s = 0; s < n; s++) {
                    made_step m;
                    make_step(&m, s, 2);
                    vkdlm_recorder_on_step(recorder, &m.step);
                }
                vkdlm_error err;
                if (vkdlm_recorder_finish(recorder, &err))
                    _exit(1);
            }
        }
        random = random * 1664525u + 1013904223u;
        struct timespec wait = {.tv_nsec = (long)(random >> 8) % 8000000};
        nanosleep(&wait, NULL);
        kill(child, SIGKILL);
        int how;
        assert_int_equal(waitpid(child, &how, 0), child);
        assert_true(WIFSIGNALED(how));
        char left[128];
        for (int i = 0; i < 4; i++) {
            snprintf(left, sizeof left, "/tmp/.vkdlm-%ld-%d.tmp", (long)child, i);
            unlink(left);
        }
        if (access(path, F_OK))
            continue;
        vkdlm_trajectory *t = open_file();
        vkdlm_trajectory_info info;
        vkdlm_trajectory_get_info(t, &info);
        check_masked(t, info.n_steps);
        vkdlm_trajectory_close(t);
        n_new++;
    }
    assert_true(n_new > 0);
}

/* ---- damaged files ------------------------------------------------------------------------------------ */

/* A small good file of either kind, of which a test spoils one thing. */
typedef struct built {
    vkdlm_tensor_spec specs[13];
    const void *data[13];
    const char *metadata[4][2];
} built;

static const int32_t tokens[] = {MASK, MASK, 1, MASK}, nfe[] = {0, 1}, top_ids[] = {1, -1, 2, 3},
                     piece_ids[] = {1, 3}, offsets[] = {0, 1, 3}, index3[] = {0, 0, 2}, ids3[] = {1, 2, 3};
static const float floats[12] = {0};
static const int64_t times[3] = {0};

static built build(bool flow)
{
#define T(name, type, ...)                                               \
    {                                                                    \
        name, VKDLM_DTYPE_##type, sizeof((uint64_t[]){__VA_ARGS__}) / 8, \
        {                                                                \
            __VA_ARGS__                                                  \
        }                                                                \
    }
    built masked = {
        .specs = {T("tokens", I32, 2, 2), T("time", F32, 2), T("nfe", I32, 2), T("topk_ids", I32, 1, 2, 2),
                  T("topk_probs", F32, 1, 2, 2), T("entropy", F32, 1, 2), T("confidence", F32, 1, 2),
                  T("host_ns", I64, 1), T("device_ns", I64, 1), T("piece_ids", I32, 2),
                  T("piece_bytes", U8, 3), T("piece_offsets", I32, 3), T("more", F32, 1)},
        .data = {tokens, floats, nfe, top_ids, floats, floats, floats, times, times, piece_ids, "abc",
                 offsets, floats},
        .metadata = {
            {"format", "denoising-trajectory"}, {"version", "1"}, {"kind", "masked"}, {"mask_id", "40"}}};
    built flowing = {
        .specs = {T("token_index", I32, 3), T("t", F32, 3), T("x", F32, 3, 2), T("xhat_id", I32, 3),
                  T("topk_ids", I32, 3, 1), T("topk_probs", F32, 3, 1), T("entropy", F32, 3),
                  T("wd_norm", F32, 3), T("device_ns", I64, 3), T("tokens", I32, 3), T("piece_ids", I32, 2),
                  T("piece_bytes", U8, 3), T("piece_offsets", I32, 3)},
        .data = {index3, floats, floats, ids3, ids3, floats, floats, floats, times, ids3, piece_ids, "abc",
                 offsets},
        .metadata = {{"format", "denoising-trajectory"}, {"version", "1"}, {"kind", "flow"}, {"prompt", ""}}};
    return flow ? flowing : masked;
#undef T
}

static uint64_t bytes_of(const vkdlm_tensor_spec *spec)
{
    uint64_t n = vkdlm_dtype_size(spec->dtype);
    for (uint32_t d = 0; d < spec->n_dims; d++)
        n *= spec->shape[d];
    return n;
}

static void write_built(const built *b)
{
    vkdlm_tensors_writer *writer;
    vkdlm_error err = {0};
    size_t n = 0;
    while (n < 13 && b->specs[n].name)
        n++;
    static const unsigned char zero[256];
    assert_int_equal(vkdlm_tensors_writer_create(path, b->specs, n, b->metadata, 4, &writer, &err), VKDLM_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(vkdlm_tensors_writer_write(writer, i, 0, b->data[i] ? b->data[i] : zero,
                                                    (size_t)bytes_of(&b->specs[i]), &err),
                         VKDLM_OK);
    assert_int_equal(vkdlm_tensors_writer_finish(writer, &err), VKDLM_OK);
}

static void refused(const built *b, vkdlm_status status, const char *why)
{
    vkdlm_trajectory *t = (vkdlm_trajectory *)path;
    vkdlm_error err = {0};
    write_built(b);
    assert_int_equal(vkdlm_trajectory_open(path, &t, &err), status);
    assert_null(t);
    if (!strstr(err.message, why) || !strstr(err.message, path))
        fail_msg("expected '%s', found: %s", why, err.message);
}

static void test_damaged(void **state)
{
    (void)state;
    built b = build(false);
    write_built(&b);
    vkdlm_trajectory *t = open_file();
    size_t size;
    assert_memory_equal(vkdlm_trajectory_piece(t, 3, &size), "bc", 2);
    assert_int_equal(size, 2);
    assert_null(vkdlm_trajectory_piece(t, 2, &size));
    vkdlm_trajectory_close(t);
    b = build(true);
    write_built(&b);
    vkdlm_trajectory_close(open_file());

    static const struct {
        int tensor;
        const int32_t values[4];
        const char *why;
    } values[] = {
        {0, {MASK, MASK, -1, 0}, "'tokens': expected nothing below 0, found -1"},
        {2, {1, 0}, "'nfe': expected ascending numbers, found 0"},
        {3, {1, -2, 0, 0}, "'topk_ids': expected ids of -1 or more, found -2"},
        {9, {1, 1}, "'piece_ids': expected ascending numbers, all different, found 1"},
        {11, {0, 2, 1}, "'piece_offsets': expected ascending numbers, found 1"},
        {11, {0, 1, 4}, "'piece_offsets': expected 3 at the end"},
        {11, {1, 1, 3}, "'piece_offsets': expected 0 at the start, found 1"},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        b = build(false);
        b.data[values[i].tensor] = values[i].values;
        refused(&b, VKDLM_MALFORMED, values[i].why);
    }
    static const int32_t late[] = {0, 1, 3}, back[] = {0, 2, 1};
    b = build(true);
    b.data[0] = late;
    refused(&b, VKDLM_MALFORMED, "'token_index': expected numbers below that of the tokens, found 3");
    b.data[0] = back;
    refused(&b, VKDLM_MALFORMED, "'token_index': expected ascending numbers, found 1");
    b = build(false);
    b.specs[5].dtype = VKDLM_DTYPE_I32;
    refused(&b, VKDLM_MALFORMED, "'entropy': expected type F32, found I32");
    b = build(false);
    b.specs[5].shape[1] = 1;
    refused(&b, VKDLM_MALFORMED, "'entropy': expected dimension 1 to be 2 as in other tensors, found 1");
    b = build(false);
    b.specs[0].shape[0] = 0;
    refused(&b, VKDLM_MALFORMED, "'tokens': expected dimension 0 to be from 1");
    b = build(false);
    b.specs[1].n_dims = 2;
    b.specs[1].shape[1] = 1;
    refused(&b, VKDLM_MALFORMED, "'time': expected 1 dimensions, found 2");
    b = build(false);
    b.specs[6].name = "sureness";
    refused(&b, VKDLM_MALFORMED, "expected tensor 'confidence'");
    static const struct {
        int pair;
        const char *value;
        vkdlm_status status;
        const char *why;
    } pairs[] = {{0, "pt", VKDLM_MALFORMED, "expected a trajectory"},
                 {1, "2", VKDLM_UNSUPPORTED, "version 1, found \"2\""},
                 {2, "other", VKDLM_MALFORMED, "found \"other\""},
                 {3, "4x", VKDLM_MALFORMED, "found \"4x\""},
                 {3, "99999999999999999999", VKDLM_MALFORMED, "expected a token id"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        b = build(false);
        b.metadata[pairs[i].pair][1] = pairs[i].value;
        refused(&b, pairs[i].status, pairs[i].why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masked),  cmocka_unit_test(test_no_steps), cmocka_unit_test(test_flow),
        cmocka_unit_test(test_resumed), cmocka_unit_test(test_misuse),   cmocka_unit_test(test_kill),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}

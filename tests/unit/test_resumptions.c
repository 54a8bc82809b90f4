/* What a recording says of where its run was gone on with: written, read again, and refused when it is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <vkdlm/trajectory.h>

#include "trajectory/trajectory.h"

enum { LENGTH = 4, MASK = 9 };

static const vkdlm_trajectory_edit edits[] = {{0, 7, -1}, {3, -1, 8}};
static const vkdlm_trajectory_resumption list[] = {
    {.step = 1,
     .n_edits = 2,
     .edits = edits,
     .sampler = "{\"temperature\":0.1,\"steps\":3}",
     .seed = UINT64_MAX},
    {.step = 2, .sampler = "{}"},
};

static void same(const vkdlm_trajectory_resumption *a, const vkdlm_trajectory_resumption *b)
{
    assert_true(a->step == b->step && a->seed == b->seed && a->n_edits == b->n_edits);
    assert_string_equal(a->sampler, b->sampler);
    for (uint32_t i = 0; i < a->n_edits; i++)
        assert_true(a->edits[i].position == b->edits[i].position && a->edits[i].from == b->edits[i].from &&
                    a->edits[i].to == b->edits[i].to);
}

/* Two steps of a canvas, recorded with the list. */
static void test_file(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/vkdlm-resumptions-%ld", (long)getpid());
    const vkdlm_model_info info = {.mask_id = MASK};
    const vkdlm_generate_options masked = {.steps = 2};
    vkdlm_recorder_options options = {.masked = &masked,
                                      .info = &info,
                                      .resumptions = list,
                                      .n_resumptions = 2,
                                      .prompt_kind = VKDLM_PROMPT_CHAT};
    vkdlm_recorder *recorder;
    vkdlm_error err = {0};
    assert_int_equal(vkdlm_recorder_create(path, &options, &recorder, &err), VKDLM_OK);
    const int32_t tokens[LENGTH] = {1, 2, 3, 8};
    for (uint32_t i = 1; i <= 2; i++)
        assert_true(vkdlm_recorder_on_step(
            recorder, &(vkdlm_step){.step = i, .evaluations = i, .tokens = tokens, .length = LENGTH}));
    assert_int_equal(vkdlm_recorder_finish(recorder, &err), VKDLM_OK);

    vkdlm_trajectory *t;
    vkdlm_trajectory_info read;
    assert_int_equal(vkdlm_trajectory_open(path, &t, &err), VKDLM_OK);
    vkdlm_trajectory_get_info(t, &read);
    assert_int_equal(read.prompt_kind, VKDLM_PROMPT_CHAT);
    assert_int_equal(read.n_resumptions, 2);
    for (uint32_t i = 0; i < 2; i++)
        same(&read.resumptions[i], &list[i]);
    vkdlm_trajectory_close(t);
    unlink(path);

    vkdlm_trajectory_resumption bad = {.sampler = "[]"};
    options.resumptions = &bad;
    options.n_resumptions = 1;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(vkdlm_recorder_create(path, &options, &recorder, &err), VKDLM_INVALID_ARGUMENT);
        assert_null(recorder);
        assert_non_null(strstr(err.message, "JSON object"));
        bad.sampler = NULL;
    }
}

/* The prompt of a flow travels along when its tokens come with it. */
static void test_prompt(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/vkdlm-prompt-%ld", (long)getpid());
    const vkdlm_model_info info = {.flow = {.present = true, .dim = 2}};
    const vkdlm_complete_options flow = {0};
    const vkdlm_recorder_options options = {.flow = &flow, .info = &info};
    const int32_t tokens[] = {4, 5, 6, 40, 41};
    for (uint32_t n_prompt = 0; n_prompt < 4; n_prompt += 3) {
        vkdlm_recorder *recorder;
        vkdlm_error err = {0};
        assert_int_equal(vkdlm_recorder_create(path, &options, &recorder, &err), VKDLM_OK);
        for (uint32_t i = 0; i < 2; i++)
            assert_true(vkdlm_recorder_on_token(recorder, &(vkdlm_token_step){.index = i,
                                                                              .token = tokens[3 + i],
                                                                              .tokens = tokens + 3 - n_prompt,
                                                                              .length = n_prompt + i + 1}));
        assert_int_equal(vkdlm_recorder_finish(recorder, &err), VKDLM_OK);
        vkdlm_trajectory *t;
        vkdlm_trajectory_info read;
        assert_int_equal(vkdlm_trajectory_open(path, &t, &err), VKDLM_OK);
        vkdlm_trajectory_get_info(t, &read);
        assert_int_equal(read.prompt_kind, VKDLM_PROMPT_UNKNOWN);
        assert_true(read.n_tokens == 2 && read.n_prompt_ids == n_prompt && read.n_resumptions == 0);
        assert_true(!n_prompt || !memcmp(read.prompt_ids, tokens, 3 * sizeof *tokens));
        vkdlm_trajectory_close(t);
        unlink(path);
    }
}

#define ONE(members) "[{\"seed\":\"1\",\"sampler\":{},\"edits\":[]," members "}]"
#define EDIT(edit)   "[{\"step\":1,\"seed\":\"1\",\"sampler\":{},\"edits\":[" edit "]}]"

static void test_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "expected JSON"},
        {"{}", "expected a JSON array, found an object"},
        {"[1]", "resumptions[0]: expected an object, found 1"},
        {"[{}]", "resumptions[0].step: expected an integer"},
        {ONE("\"step\":3"), "resumptions[0].step: expected an integer"},
        {ONE("\"step\":-1"), "resumptions[0].step"},
        {ONE("\"step\":1,\"step\":1"), "duplicate"},
        {"[{\"step\":1,\"sampler\":{},\"edits\":[]}]", "seed"},
        {"[{\"step\":1,\"seed\":1,\"sampler\":{},\"edits\":[]}]", "seed"},
        {"[{\"step\":1,\"seed\":\"\",\"sampler\":{},\"edits\":[]}]", "below 2^64"},
        {"[{\"step\":1,\"seed\":\"-1\",\"sampler\":{},\"edits\":[]}]", "below 2^64"},
        {"[{\"step\":1,\"seed\":\"18446744073709551616\",\"sampler\":{},\"edits\":[]}]", "below 2^64"},
        {"[{\"step\":1,\"seed\":\"1\",\"edits\":[]}]", "sampler"},
        {"[{\"step\":1,\"seed\":\"1\",\"sampler\":\"{}\",\"edits\":[]}]", "sampler"},
        {"[{\"step\":1,\"seed\":\"1\",\"sampler\":{}}]", "edits"},
        {"[{\"step\":1,\"seed\":\"1\",\"sampler\":{},\"edits\":{}}]", "edits"},
        {EDIT("null"), "resumptions[0].edits[0]: expected an object, found null"},
        {EDIT("{}"), "resumptions[0].edits[0].position"},
        {EDIT("{\"position\":4}"), "resumptions[0].edits[0].position"},
        {EDIT("{\"position\":2},{\"position\":2}"), "resumptions[0].edits[1].position"},
        {EDIT("{\"position\":2,\"to\":-1}"), "resumptions[0].edits[0].to"},
        {EDIT("{\"position\":2,\"from\":2147483648}"), "resumptions[0].edits[0].from"},
        {"[{\"step\":1,\"seed\":\"1\",\"sampler\":{},\"edits\":[]},"
         "{\"step\":1,\"seed\":\"1\",\"sampler\":{},\"edits\":[]}]",
         "resumptions[1].step"},
    };
    const vkdlm_trajectory_info info = {.kind = VKDLM_TRAJECTORY_MASKED, .n_steps = 2, .length = LENGTH};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkdlm_trajectory_resumption *out;
        uint32_t n = 1;
        vkdlm_error err = {0};
        vkdlm_status status = resumptions_read(cases[i].text, "a file", &info, &out, &n, &err);
        if (status != VKDLM_MALFORMED || out || n || !strstr(err.message, cases[i].why) ||
            !strstr(err.message, "'a file'"))
            fail_msg("%s: status %d, '%s'", cases[i].text, (int)status, err.message);
    }
}

static void test_bounds_of_flows(void **state)
{
    (void)state;
    const vkdlm_trajectory_info info = {.kind = VKDLM_TRAJECTORY_FLOW, .n_tokens = 1};
    vkdlm_trajectory_resumption *out;
    uint32_t n;
    vkdlm_error err = {0};
    assert_int_equal(resumptions_read(EDIT("{\"position\":1}"), "a file", &info, &out, &n, &err), VKDLM_OK);
    assert_true(n == 1 && out->n_edits == 1 && out->edits[0].from == -1 && out->edits[0].to == -1);
    resumptions_free(out, n);
    assert_int_equal(resumptions_read(EDIT("{\"position\":2}"), "a file", &info, &out, &n, &err),
                     VKDLM_MALFORMED);
    assert_int_equal(resumptions_read(NULL, "a file", &info, &out, &n, &err), VKDLM_OK);
    assert_true(!out && !n);
    assert_int_equal(resumptions_read("[]", "a file", &info, &out, &n, &err), VKDLM_OK);
    assert_true(!out && !n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_prompt),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_bounds_of_flows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

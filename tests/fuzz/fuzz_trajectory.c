/* The reader of trajectories. What it accepts must be consistent: every step and evaluation lies in the file,
 * and so do the pieces of every id that occurs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vkdlm/trajectory.h>

#include "fuzz.h"

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* Reads memory that must be there. */
static unsigned sum_bytes(const void *data, size_t n)
{
    const unsigned char *bytes = data;
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += bytes[i];
    return sum;
}

static unsigned read_ids(const vkdlm_trajectory *t, const int32_t *ids, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++) {
        size_t size;
        require(ids[i] >= -1);
        const char *piece = vkdlm_trajectory_piece(t, ids[i], &size);
        require(piece || size == 0);
        sum += sum_bytes(piece, size);
    }
    return sum;
}

static unsigned read_resumptions(const vkdlm_trajectory_info *info)
{
    const bool flow = info->kind == VKDLM_TRAJECTORY_FLOW;
    unsigned sum = 0;
    for (uint32_t r = 0; r < info->n_resumptions; r++) {
        const vkdlm_trajectory_resumption *x = &info->resumptions[r];
        require(x->step <= (flow ? info->n_tokens : info->n_steps) && (!r || x->step > x[-1].step));
        sum += sum_bytes(x->sampler, strlen(x->sampler));
        for (uint32_t i = 0; i < x->n_edits; i++) {
            require(flow ? x->edits[i].position <= x->step : x->edits[i].position < info->length);
            require(x->edits[i].from >= -1 && x->edits[i].to >= -1);
        }
    }
    return sum;
}

static unsigned read_all(const vkdlm_trajectory *t)
{
    vkdlm_trajectory_info info;
    vkdlm_trajectory_step s;
    vkdlm_trajectory_evaluation v;
    unsigned sum = 0;
    vkdlm_trajectory_get_info(t, &info);
    size_t lists = (size_t)info.length * info.n_candidates;
    for (uint32_t i = 0; i <= info.n_steps && vkdlm_trajectory_get_step(t, i, &s); i++) {
        sum += read_ids(t, s.tokens, info.length);
        require(!s.previous == (i == 0));
        if (i == 0)
            continue;
        sum += read_ids(t, s.previous, info.length) + read_ids(t, s.topk_ids, lists);
        sum += sum_bytes(s.topk_probs, lists * sizeof *s.topk_probs);
        sum += sum_bytes(s.entropy, info.length * sizeof *s.entropy);
        sum += sum_bytes(s.confidence, info.length * sizeof *s.confidence);
    }
    for (uint32_t i = 0; i < info.n_evaluations && vkdlm_trajectory_get_evaluation(t, i, &v); i++) {
        require(v.token_index < info.n_tokens && v.xhat_id >= 0);
        require(vkdlm_trajectory_first_evaluation(t, v.token_index) <= i);
        require(vkdlm_trajectory_first_evaluation(t, v.token_index + 1) > i);
        sum += read_ids(t, v.topk_ids, info.n_candidates) + read_ids(t, &v.xhat_id, 1);
        sum += sum_bytes(v.topk_probs, info.n_candidates * sizeof *v.topk_probs);
        sum += sum_bytes(v.x, info.dim * sizeof *v.x);
    }
    if (info.tokens)
        sum += read_ids(t, info.tokens, info.n_tokens);
    sum += read_ids(t, info.prompt_ids, info.n_prompt_ids);
    require(*vkdlm_prompt_kind_name(info.prompt_kind) || !info.prompt_kind);
    return sum + read_resumptions(&info) + sum_bytes(info.prompt, strlen(info.prompt));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("trajectory", 0);
    char path[64];
    vkdlm_trajectory *t = NULL;
    vkdlm_error err = {0};
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    vkdlm_status status = vkdlm_trajectory_open(path, &t, &err);
    if (status) {
        require(!t && err.status == status && strstr(err.message, path));
        require(!strpbrk(err.message, "\r\n"));
    } else {
        volatile unsigned sum = read_all(t);
        (void)sum;
    }
    vkdlm_trajectory_close(t);
    close(fd);
    return 0;
}

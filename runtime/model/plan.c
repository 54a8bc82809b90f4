#include "model/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/half.h"

#define EMPTY UINT32_MAX

vkdlm_status plan_reserve(plan *p, uint32_t n_sequences, vkdlm_error *err)
{
    if (n_sequences <= p->capacity)
        return VKDLM_OK;
    plan_deinit(p);
    uint32_t n_slots = 16;
    while (n_slots < 2 * (uint64_t)n_sequences)
        n_slots *= 2;
    p->sequences = calloc(n_sequences, sizeof *p->sequences);
    p->of = calloc(n_sequences, sizeof *p->of);
    p->slots = calloc(n_slots, sizeof *p->slots);
    if (!p->sequences || !p->of || !p->slots) {
        plan_deinit(p);
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of host memory planning %u sequences",
                         n_sequences);
    }
    p->n_slots = n_slots;
    p->capacity = n_sequences;
    return VKDLM_OK;
}

void plan_deinit(plan *p)
{
    free(p->sequences);
    free(p->of);
    free(p->slots);
    *p = (plan){0};
}

/* How many rows a canvas needs: 1 when all its tokens are equal. */
static uint32_t rows_needed(const eval_sequence *s)
{
    for (uint32_t i = 1; i < s->length; i++) {
        if (s->tokens[i] != s->tokens[0])
            return s->length;
    }
    return 1;
}

/* FNV-1a over words, with a final mix so that the low bits depend on all. */
static uint32_t hash(const eval_sequence *s, uint32_t rows, bool use_sigma)
{
    uint64_t h = 0xCBF29CE484222325u ^ rows;
    for (uint32_t i = 0; i < rows; i++)
        h = (h ^ (uint32_t)s->tokens[i]) * 0x100000001B3u;
    if (use_sigma)
        h = (h ^ f32_to_bits(s->sigma)) * 0x100000001B3u;
    return (uint32_t)(h ^ h >> 32);
}

static bool same(const eval_sequence *a, const eval_sequence *b, uint32_t rows, bool use_sigma)
{
    return memcmp(a->tokens, b->tokens, rows * sizeof *a->tokens) == 0 &&
           (!use_sigma || f32_to_bits(a->sigma) == f32_to_bits(b->sigma));
}

static uint32_t append(plan *p, uint32_t source, uint32_t rows)
{
    p->sequences[p->n_sequences] = (plan_sequence){source, p->n_rows, rows};
    p->n_rows += rows;
    return p->n_sequences++;
}

void plan_build(plan *p, const eval_sequence *sequences, uint32_t n_sequences, bool use_sigma, bool merge)
{
    p->n_sequences = 0;
    p->n_rows = 0;
    if (!merge) {
        for (uint32_t i = 0; i < n_sequences; i++)
            p->of[i] = append(p, i, sequences[i].length);
        return;
    }
    uint32_t n_slots = 16;
    while (n_slots < 2 * n_sequences)
        n_slots *= 2;
    memset(p->slots, 0xFF, n_slots * sizeof *p->slots);
    for (uint32_t i = 0; i < n_sequences; i++) {
        const eval_sequence *s = &sequences[i];
        uint32_t rows = rows_needed(s);
        uint32_t slot = hash(s, rows, use_sigma) & (n_slots - 1);
        while (p->slots[slot] != EMPTY) {
            const plan_sequence *other = &p->sequences[p->slots[slot]];
            if (other->length == rows && same(s, &sequences[other->source], rows, use_sigma))
                break;
            slot = (slot + 1) & (n_slots - 1);
        }
        if (p->slots[slot] == EMPTY)
            p->slots[slot] = append(p, i, rows);
        p->of[i] = p->slots[slot];
    }
}

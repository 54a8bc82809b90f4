#include "ops/attention_plan.h"

#include <assert.h>

#include "base/size.h"

#define WORDS 4u /* of a slot and of a tile */

uint32_t attention_capacity(uint64_t n_rows, uint64_t n_sequences)
{
    if (n_rows > ATTENTION_MAX_CAPACITY || n_sequences > ATTENTION_MAX_CAPACITY)
        return 0;
    uint64_t slots = size_round_up(n_rows + n_sequences * (ATTENTION_GROUP - 1), ATTENTION_CAPACITY_STEP);
    return slots > ATTENTION_MAX_CAPACITY ? 0 : (uint32_t)slots;
}

uint64_t attention_index_bytes(uint32_t capacity)
{
    /* A tile has at least one group of slots. */
    return ((uint64_t)capacity + capacity / ATTENTION_GROUP) * WORDS * sizeof(uint32_t);
}

uint64_t attention_tiles_offset(const attention_plan *plan)
{
    return (uint64_t)plan->reserved * WORDS * sizeof(uint32_t);
}

static void put(uint32_t *to, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    to[0] = a;
    to[1] = b;
    to[2] = c;
    to[3] = d;
}

/* Writes the tile being filled and starts an empty one behind it. */
static void close_tile(attention_plan *plan)
{
    if (plan->end > plan->first) {
        uint32_t *tiles = plan->index + (uint64_t)plan->reserved * WORDS;
        put(tiles + (uint64_t)plan->n_tiles * WORDS, plan->first, plan->end - plan->first, plan->key_first,
            plan->key_end);
        plan->n_tiles++;
    }
    plan->first = plan->end;
}

void attention_plan_begin(attention_plan *plan, uint32_t *index, uint32_t reserved, uint32_t tile_slots,
                          bool mix, bool causal)
{
    assert(reserved % ATTENTION_CAPACITY_STEP == 0 && reserved <= ATTENTION_MAX_CAPACITY);
    assert(tile_slots > 0 && tile_slots % ATTENTION_GROUP == 0);
    *plan = (attention_plan){
        .index = index, .reserved = reserved, .tile_slots = tile_slots, .mix = mix, .causal = causal};
}

/* Appends a piece of a sequence whose keys begin at key_start. */
static void append(attention_plan *plan, uint32_t key_start, uint32_t first, uint32_t row_start,
                   uint32_t length)
{
    uint32_t pad = first % ATTENTION_GROUP;
    assert(length > 0 && length <= plan->reserved - plan->n_slots);
    uint32_t start = plan->n_slots;
    uint32_t end = start + (uint32_t)size_round_up(pad + length, ATTENTION_GROUP);
    assert(end <= plan->reserved);

    uint32_t *slots = plan->index + (uint64_t)start * WORDS;
    for (uint32_t i = 0; i < end - start; i++) {
        uint32_t *slot = slots + (uint64_t)i * WORDS, position = first - pad + i;
        if (i >= pad && i < pad + length)
            put(slot, row_start + i - pad, position, key_start,
                key_start + (plan->causal ? position + 1 : length));
        else
            put(slot, UINT32_MAX, position, key_start, key_start);
    }

    /* A sequence joins the open tile only as a whole: pieces would make two tiles walk over all its keys. */
    if (!plan->mix || end - plan->first > plan->tile_slots)
        close_tile(plan);
    for (uint32_t from = start; from < end; from = plan->end) {
        if (plan->end == plan->first)
            plan->key_first = key_start;
        plan->end = from + u32_min(end - from, plan->tile_slots - (from - plan->first));
        plan->key_end = key_start + (first - pad) + (plan->causal ? plan->end : end) - start;
        if (plan->end < end)
            close_tile(plan);
    }
    plan->n_slots = end;
    if (first + length > plan->max_length)
        plan->max_length = first + length;
}

void attention_plan_add(attention_plan *plan, uint32_t row_start, uint32_t length)
{
    append(plan, plan->n_slots, 0, row_start, length);
}

void attention_plan_add_chunk(attention_plan *plan, uint32_t key_start, uint32_t first, uint32_t row_start,
                              uint32_t length)
{
    assert(plan->causal && !plan->mix && key_start % ATTENTION_GROUP == 0);
    append(plan, key_start, first, row_start, length);
}

void attention_plan_end(attention_plan *plan)
{
    close_tile(plan);
    plan->capacity = (uint32_t)size_round_up(plan->n_slots, ATTENTION_CAPACITY_STEP);
}

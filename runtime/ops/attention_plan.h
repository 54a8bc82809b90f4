/* Where the tokens of a ragged batch lie in attention's own layout, and how the work is cut: host code only.
 *
 * A slot is the place of one token. Every sequence takes whole groups of ATTENTION_GROUP consecutive slots,
 * in the order of the sequences; the rest of its last group is empty. Queries, keys and values are stored by
 * slot (shaders/lib/attention.glsl), so what one sequence computes does not depend on which others are in the
 * batch.
 *
 * The index that kernels read is one range of memory of attention_index_bytes(capacity):
 *   slots, [capacity][4] u32: activation row (UINT32_MAX: empty), position, first key slot, end of the key
 * slots; tiles, [n_tiles][4] u32:  first slot, slots, first key slot, end of the key slots (multiples of
 * ATTENTION_GROUP). A tile is the queries of one workgroup; it holds whole small sequences or a piece of a
 * long one. */
#ifndef OPS_ATTENTION_PLAN_H
#define OPS_ATTENTION_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#define ATTENTION_GROUP         4u
#define ATTENTION_CAPACITY_STEP 64u
/* A group of slots is one workgroup in y of the rotary kernel, and 65535 workgroups are always allowed. */
#define ATTENTION_MAX_CAPACITY (65535u * ATTENTION_GROUP / ATTENTION_CAPACITY_STEP * ATTENTION_CAPACITY_STEP)

typedef struct attention_plan {
    /* Results, valid after attention_plan_end. */
    uint32_t n_slots;  /* a multiple of ATTENTION_GROUP */
    uint32_t capacity; /* n_slots rounded up to ATTENTION_CAPACITY_STEP: slots from one head to the next */
    uint32_t n_tiles;
    uint32_t max_length; /* of the longest sequence: past the last position of any */
    /* What was given to attention_plan_begin. */
    uint32_t *index;
    uint32_t reserved; /* slots that the index has room for */
    uint32_t tile_slots;
    bool mix, causal;
    /* The tile being filled. */
    uint32_t first, end, key_first, key_end;
} attention_plan;

/* Slots that n_sequences sequences of n_rows tokens in all need at most, a multiple of
 * ATTENTION_CAPACITY_STEP; 0 when that is more than ATTENTION_MAX_CAPACITY. */
uint32_t attention_capacity(uint64_t n_rows, uint64_t n_sequences);

/* Bytes of the index for so many slots. */
uint64_t attention_index_bytes(uint32_t capacity);

/* Offset of the tiles in the index; a multiple of every storage-buffer alignment (256 bytes at most). */
uint64_t attention_tiles_offset(const attention_plan *plan);

/* Starts a plan. index is written, never read, and must have room for attention_index_bytes(reserved); it may
 * be mapped device memory. tile_slots (a multiple of ATTENTION_GROUP) and mix, whether a tile may hold
 * several sequences, come from the kernel's variant. causal: a token attends to itself and those before it,
 * instead of to its whole sequence. */
void attention_plan_begin(attention_plan *plan, uint32_t *index, uint32_t reserved, uint32_t tile_slots,
                          bool mix, bool causal);

/* Appends the sequence whose tokens are activation rows row_start .. row_start + length - 1, at positions
 * 0 .. length - 1. length is at least 1; the room promised by attention_capacity suffices. */
void attention_plan_add(attention_plan *plan, uint32_t row_start, uint32_t length);

/* Appends new tokens of a sequence whose keys and values are kept elsewhere, position p in key slot key_start
 * + p (key_start a multiple of ATTENTION_GROUP): activation rows row_start .. row_start + length - 1 are the
 * positions first .. first + length - 1, and the keys before them are there already. The plan is causal.
 * first % ATTENTION_GROUP slots in front stay empty, so that groups of slots are groups of key slots. */
void attention_plan_add_chunk(attention_plan *plan, uint32_t key_start, uint32_t first, uint32_t row_start,
                              uint32_t length);

void attention_plan_end(attention_plan *plan);

#endif

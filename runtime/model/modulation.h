/* The modulation of a DiT: every shift, scale and gate as one row of numbers.
 *
 * A modulation row holds 6 n_blocks + 2 chunks of modulation_stride floats, pads zero: for each block
 * shift_a, scale_a, gate_a, shift_m, scale_m, gate_m, then the output layer's shift and scale. A
 * time-conditioned model computes one row per sequence and step on the device; any other model has one row
 * for good, computed here. */
#ifndef MODEL_MODULATION_H
#define MODEL_MODULATION_H

#include "model/mdlm_tensors.h"

enum modulation_chunk {
    CHUNK_SHIFT_A,
    CHUNK_SCALE_A,
    CHUNK_GATE_A,
    CHUNK_SHIFT_M,
    CHUNK_SCALE_M,
    CHUNK_GATE_M
};

#define MODULATION_BLOCK_CHUNKS 6
#define MODULATION_FINAL_CHUNKS 2

static inline uint32_t modulation_chunks(const mdlm_config *config)
{
    return MODULATION_BLOCK_CHUNKS * config->n_blocks + MODULATION_FINAL_CHUNKS;
}

/* Floats from one chunk to the next: D rounded up so that every chunk can be bound by itself (256 bytes is
 * the largest alignment that a device may ask for). */
static inline uint32_t modulation_stride(const mdlm_config *config)
{
    return (config->hidden_dim + 63) / 64 * 64;
}

/* Floats of a whole row. */
static inline uint32_t modulation_width(const mdlm_config *config)
{
    return modulation_chunks(config) * modulation_stride(config);
}

/* The tensors that give chunk `chunk`: D rows of weight from row *first_row on, and the bias. */
void modulation_source(const mdlm_tensors *tensors, const mdlm_config *config, uint32_t chunk,
                       const vkdlm_tensor **weight, const vkdlm_tensor **bias, uint32_t *first_row);

/* The modulation row at sigma = 0, in double and rounded once: row[modulation_width]. */
vkdlm_status modulation_fold(const mdlm_tensors *tensors, const mdlm_config *config, float *row,
                             vkdlm_error *err);

#endif

/* Features of the noise level that condition a network (shaders/timestep.comp). The layers that follow are
 * ops_matmul with MATMUL_SILU. */
#ifndef OPS_CONDITION_H
#define OPS_CONDITION_H

#include "gpu/gpu.h"

/* Features of one sigma: 128 cosines, then 128 sines. */
#define TIMESTEP_FEATURES 256

/* Records features[s, i] = cos(sigma[s] f_i), features[s, 128 + i] = sin(sigma[s] f_i), i < 128,
 * f_i = 10000^(-i/128), s < n_sequences. sigma: f32 [n_sequences], |sigma| <= 50000 (beyond it the reduction
 * of the argument loses digits); features: f32, rows of TIMESTEP_FEATURES floats. Good to 2^-22 (1 + |sigma
 * f_i|). A failure is remembered by the commands. */
void ops_timestep(gpu_device *device, gpu_commands *commands, gpu_view sigma, uint32_t n_sequences,
                  gpu_view features);

#endif

/* Linear layers (shaders/matmul.comp): Y = epilogue(X . W^T). */
#ifndef OPS_MATMUL_H
#define OPS_MATMUL_H

#include "gpu/gpu.h"
#include "ops/weight.h"

/* MATMUL_SWIGLU: the columns of w are paired (WEIGHT_PAIRED: gate, up), y has half as many:
 * y[m, n] = SiLU(v_gate[m, n]) v_up[m, n]; without gate and residual; a bias is paired like w.
 * MATMUL_TIMES: y[m, n] = residual[m, n] v, without gate. MATMUL_SILU and then this one with the result as
 * residual give the same bits as MATMUL_SWIGLU on the pair. */
enum matmul_activation { MATMUL_LINEAR, MATMUL_GELU, MATMUL_SILU, MATMUL_SWIGLU, MATMUL_TIMES };

/* One product on n_rows rows:
 *   v[m, n] = sum_k x[m, k] w[n, k] (+ bias[n])
 *   y[m, n] = activation(v), or, with a gate, residual[m, n] + gate[g, n] v, g = row_seq[m] or 0, or, with a
 *   residual alone, residual[m, n] + v.
 * Every row buffer holds rows up to the next multiple of 64: rows past n_rows may be read and written. The
 * pad columns of x up to the padded K must be zero; those of y become zero when bias, gate and residual have
 * zeros there. */
typedef struct matmul_args {
    const weight *w;
    gpu_view x;        /* f32, rows of ldx floats */
    gpu_view y;        /* f32, rows of ldy floats; must not overlap x */
    uint32_t ldx, ldy; /* multiples of 32, at least the padded K and N (MATMUL_SWIGLU: N / 2) */
    uint32_t n_rows;

    gpu_view bias;                     /* f32 [padded N]; buffer NULL: none */
    enum matmul_activation activation; /* with a residual MATMUL_LINEAR or MATMUL_TIMES */

    gpu_view gate;     /* f32, rows of ld_gate floats (a multiple of 4); buffer NULL: none */
    gpu_view residual; /* f32, rows of ldy floats; may be y itself; buffer NULL: none, and no gate */
    gpu_view row_seq; /* u32 [n_rows, to the next multiple of 64]: gate row of each row; buffer NULL: row 0 */
    uint32_t ld_gate;

    /* Low-rank adaptation: the sum goes on over z and b, v = W x + B z (+ bias), in the same kernel. b has
     * the padded N of w and type F32; NULL: none. */
    const weight *lora_b;
    gpu_view lora_z; /* f32, rows of ldz floats, pad columns up to b's padded K zero */
    uint32_t ldz;
} matmul_args;

/* Records it: one dispatch (STREAM: several) for each slice of w (and of the rows) that a storage-buffer
 * binding can hold.
 * Every element is one chain of fused multiply-adds over ascending k, so that a row's result depends on
 * nothing but its inputs. A failure is remembered by the commands. */
void ops_matmul(gpu_device *device, gpu_commands *commands, const matmul_args *args);

/* Ways to spread a product over invocations (shaders/lib/matmul_core.glsl); all give the same bits on one
 * driver:
 * - TEXELS: any rows on CPU drivers, where shared memory, barriers and storage-buffer loads are dear;
 * - SUBGROUP: few rows on GPUs; CPU drivers whose texel buffers are small;
 * - PLAIN: CPU drivers with subgroups of less than 8, devices without subgroup shuffles and little shared
 * memory;
 * - SHARED: many rows on GPUs;
 * - STREAM: many rows on CPU drivers (lib/matmul_stream.glsl): a dispatch for every `step` values of k, which
 *   hand the sums on through the recorder's scratch memory. The output layer has no such kernels. */
enum matmul_family {
    MATMUL_SUBGROUP,
    MATMUL_TEXELS,
    MATMUL_PLAIN_1,
    MATMUL_PLAIN_4,
    MATMUL_SHARED,
    MATMUL_STREAM,
    MATMUL_N_FAMILIES
};

typedef struct matmul_shape {
    const char *name;
    enum matmul_family family;
    uint32_t rows;    /* of X a workgroup holds (STREAM: at most) */
    uint32_t columns; /* of Y a workgroup holds; 0: lane_columns for each lane of a subgroup */
    uint32_t lane_columns;
    uint32_t step;  /* values of k an iteration (SUBGROUP, TEXELS), a dispatch (STREAM) */
    uint32_t lanes; /* of SUBGROUP: the subgroup size that is asked for; 0: the device's own */
} matmul_shape;

#define MATMUL_N_SHAPES 22
extern const matmul_shape matmul_shapes[MATMUL_N_SHAPES];

/* Lanes of a subgroup of the shape on the device. */
uint32_t matmul_shape_lanes(const gpu_caps *caps, const matmul_shape *shape);

/* Whether the device has what the shape needs. */
bool matmul_shape_usable(const gpu_caps *caps, const matmul_shape *shape);

/* ops_matmul with a shape of the caller's choice, which must be usable. */
void ops_matmul_shape(gpu_device *device, gpu_commands *commands, const matmul_args *args,
                      const matmul_shape *shape);

/* Specialisation constants 0 .. 10 that lib/matmul_core.glsl and lib/matmul_stream.glsl read for weights of a
 * type (3 .. 8 are left 0 for the kernel around it), and the workgroups that cover n_rows x n_columns. */
gpu_spec matmul_core_spec(const gpu_caps *caps, const matmul_shape *shape, vkdlm_dtype dtype);
void matmul_core_groups(const gpu_caps *caps, const matmul_shape *shape, uint32_t n_rows, uint32_t n_columns,
                        uint32_t *x, uint32_t *y);
/* Kernels of each family: 0, 1, 2 for F32, F16, BF16, 3 for quantised weights. */
enum { MATMUL_N_TYPES = 4 };
uint32_t matmul_type_index(vkdlm_dtype dtype);

#endif

#include "ops/weight.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/half.h"
#include "base/size.h"
#include "ops/weight_blocks.h"

enum {
    MAX_SIDE = 1 << 24,
    QUAD = 4,
    MAX_BLOCK = 256,       /* elements */
    SLICE_ALIGNMENT = 256, /* the largest that a device may ask of a binding */
};

/* ---- shapes --------------------------------------------------------------------------------------- */

static uint64_t part_depth(const weight_part *part)
{
    return part->tensor->shape[part->transposed ? 0 : 1];
}

static uint32_t part_columns(const weight_part *part)
{
    uint32_t n = (uint32_t)part->tensor->shape[part->transposed ? 1 : 0];
    return part->n_columns ? part->n_columns : n - part->first;
}

uint32_t weight_part_column(const weight_source *source, uint32_t part)
{
    if (source->layout == WEIGHT_PAIRED)
        return part * QUAD;
    uint32_t step = source->column_step ? source->column_step : WEIGHT_PANEL_COLUMNS, column = 0;
    for (uint32_t i = 0; i < part; i++)
        column = (uint32_t)size_round_up(column + part_columns(&source->parts[i]), step);
    return column;
}

/* What is asked of blocks of a quantised tensor besides. */
static vkdlm_status check_blocks(const weight_source *source, const weight_part *part, vkdlm_error *err)
{
    const vkdlm_tensor *t = part->tensor;
    uint32_t length = weight_blocks_length(t->dtype);
    if (t->shape[1] % length != 0)
        return error_set(err, VKDLM_MALFORMED,
                         "%s: tensor '%s': rows of %s are multiples of %u elements, found %" PRIu64, t->file,
                         t->name, vkdlm_dtype_name(t->dtype), length, t->shape[1]);
    bool cannot_widen = source->widen && !source->dequantise;
    if (cannot_widen || source->diagonal || part->transposed)
        return error_set(err, VKDLM_UNSUPPORTED,
                         "%s: tensor '%s': a weight that is %s is F32, F16 or BF16, found %s", t->file,
                         t->name,
                         cannot_widen       ? "widened"
                         : source->diagonal ? "put together along the diagonal"
                                            : "transposed",
                         vkdlm_dtype_name(t->dtype));
    return VKDLM_OK;
}

static vkdlm_status check_part(const weight_source *source, const weight_part *part, vkdlm_error *err)
{
    const vkdlm_tensor *t = part->tensor;
    bool quantised = weight_blocks_supported(t->dtype);
    if (t->dtype != VKDLM_DTYPE_F32 && t->dtype != VKDLM_DTYPE_F16 && t->dtype != VKDLM_DTYPE_BF16 &&
        !quantised)
        return error_set(err, VKDLM_UNSUPPORTED,
                         "%s: tensor '%s': a weight is F32, F16, BF16 or quantised, found %s", t->file,
                         t->name, vkdlm_dtype_name(t->dtype));
    if (t->n_dims != 2 || t->shape[0] < 1 || t->shape[0] > MAX_SIDE || t->shape[1] < 1 ||
        t->shape[1] > MAX_SIDE)
        return error_set(err, VKDLM_MALFORMED,
                         "%s: tensor '%s': a weight has 2 dimensions of 1 to %d, found %u (%" PRIu64
                         " x %" PRIu64 ")",
                         t->file, t->name, MAX_SIDE, t->n_dims, t->shape[0], t->shape[1]);
    uint64_t n = t->shape[part->transposed ? 1 : 0];
    if (part->first >= n || part->n_columns > n - part->first)
        return error_set(err, VKDLM_MALFORMED,
                         "%s: tensor '%s': a part of %u outputs from %u on is expected in it, found %" PRIu64,
                         t->file, t->name, part->n_columns, part->first, n);
    return quantised ? check_blocks(source, part, err) : VKDLM_OK;
}

/* Whether a part can stand beside the first one. */
static vkdlm_status check_fit(const weight_source *source, const weight_part *part, vkdlm_error *err)
{
    const weight_part *first = source->parts;
    const vkdlm_tensor *t = part->tensor;
    if (!source->widen && t->dtype != first->tensor->dtype)
        return error_set(err, VKDLM_MALFORMED, "%s: tensor '%s': expected %s like '%s', found %s", t->file,
                         t->name, vkdlm_dtype_name(first->tensor->dtype), first->tensor->name,
                         vkdlm_dtype_name(t->dtype));
    if (part_depth(part) != part_depth(first))
        return error_set(err, VKDLM_MALFORMED,
                         "%s: tensor '%s': expected %" PRIu64 " inputs like '%s', found %" PRIu64, t->file,
                         t->name, part_depth(first), first->tensor->name, part_depth(part));
    if (source->layout == WEIGHT_PAIRED && part_columns(part) != part_columns(first))
        return error_set(err, VKDLM_MALFORMED, "%s: tensor '%s': expected %u outputs like '%s', found %u",
                         t->file, t->name, part_columns(first), first->tensor->name, part_columns(part));
    return VKDLM_OK;
}

vkdlm_status weight_describe_source(const weight_source *source, weight *out, vkdlm_error *err)
{
    assert(source->n_parts > 0 && source->column_step % QUAD == 0);
    assert(source->layout != WEIGHT_PAIRED || source->n_parts == 2);
    assert(source->widen || source->scale == 0 || source->scale == 1);
    memset(out, 0, sizeof *out);
    uint64_t n_columns = 0, step = source->column_step ? source->column_step : WEIGHT_PANEL_COLUMNS;
    for (uint32_t i = 0; i < source->n_parts; i++) {
        const weight_part *part = &source->parts[i];
        vkdlm_status status = check_part(source, part, err);
        if (!status && i > 0)
            status = check_fit(source, part, err);
        if (status)
            return status;
        if (source->layout == WEIGHT_PAIRED)
            n_columns += weight_pad(part_columns(part));
        else
            n_columns = size_round_up(n_columns, step) + part_columns(part);
    }
    const vkdlm_tensor *tensor = source->parts[0].tensor;
    uint64_t depth = part_depth(source->parts);
    if (source->diagonal)
        depth = weight_part_depth((uint32_t)depth) * (uint64_t)source->n_parts;
    if (n_columns > MAX_SIDE || depth > MAX_SIDE)
        return error_set(err, VKDLM_MALFORMED,
                         "%s: tensor '%s': with those beside it, a weight has at most %d inputs and outputs, "
                         "found %" PRIu64 " and %" PRIu64,
                         tensor->file, tensor->name, MAX_SIDE, depth, n_columns);
    out->dtype = source->widen ? VKDLM_DTYPE_F32 : tensor->dtype;
    out->n_columns = (uint32_t)n_columns;
    out->depth = (uint32_t)depth;
    out->n_panels = weight_pad(out->n_columns) / WEIGHT_PANEL_COLUMNS;
    uint64_t planes[WEIGHT_BLOCKS_N_PLANES];
    out->panel_bytes =
        weight_blocks_supported(out->dtype)
            ? weight_blocks_planes(out->dtype, out->depth, planes)
            : (uint64_t)weight_pad(out->depth) * WEIGHT_PANEL_COLUMNS * vkdlm_dtype_size(out->dtype);
    out->bytes = out->panel_bytes * out->n_panels;
    return VKDLM_OK;
}

/* The source that is one whole tensor. */
static weight_source whole(const weight_part *part)
{
    return (weight_source){.parts = part, .n_parts = 1, .name = part->tensor->name};
}

vkdlm_status weight_describe(const vkdlm_tensor *tensor, weight *out, vkdlm_error *err)
{
    weight_part part = {.tensor = tensor};
    weight_source source = whole(&part);
    return weight_describe_source(&source, out, err);
}

weight weight_first_columns(const weight *w, uint32_t n_columns)
{
    assert(n_columns % WEIGHT_PANEL_COLUMNS == 0 && n_columns / WEIGHT_PANEL_COLUMNS <= w->n_panels);
    weight first = *w;
    first.n_columns = n_columns;
    first.n_panels = n_columns / WEIGHT_PANEL_COLUMNS;
    first.bytes = first.panel_bytes * first.n_panels;
    return first;
}

/* ---- packing -------------------------------------------------------------------------------------- */

/* Where four columns of a panel come from: the first n_columns of them, at data + next[], have values
 * k = first_k .. last_k-1, `step` bytes apart (0: in blocks); everything else is zero. */
typedef struct quad {
    const unsigned char *data;
    ptrdiff_t next[QUAD];
    size_t step;
    uint32_t n_columns, first_k, last_k;
    vkdlm_dtype dtype;
} quad;

/* The row or column of a part's tensor that is its output n. */
static size_t output_place(const weight_part *part, uint32_t n)
{
    uint32_t size = part->interleaved, i = size ? n % size : 0;
    return size ? n - i + (i < size / 2 ? 2 * i : 2 * (i - size / 2) + 1) : n;
}

/* Columns at .. at+3 of a part. */
static quad find_in_part(const weight_source *source, uint32_t index, uint32_t at)
{
    const weight_part *part = &source->parts[index];
    const vkdlm_tensor *tensor = part->tensor;
    uint32_t n = part_columns(part), depth = (uint32_t)part_depth(part);
    if (at >= n)
        return (quad){0};
    uint32_t block_bytes;
    size_t length = vkdlm_dtype_block(tensor->dtype, &block_bytes);
    size_t size = vkdlm_dtype_size(tensor->dtype);
    size_t row_bytes = (size_t)tensor->shape[1] / length * block_bytes;
    quad q = {.n_columns = u32_min(QUAD, n - at),
              .first_k = source->diagonal ? index * weight_part_depth(depth) : 0,
              .dtype = tensor->dtype};
    q.last_k = q.first_k + depth;
    size_t next = part->transposed ? size : row_bytes, first = output_place(part, part->first + at) * next;
    for (uint32_t j = 0; j < q.n_columns; j++)
        q.next[j] = (ptrdiff_t)(output_place(part, part->first + at + j) * next) - (ptrdiff_t)first;
    q.step = part->transposed ? row_bytes : size;
    q.data = (const unsigned char *)tensor->data + first;
    return q;
}

/* Columns 4i .. 4i+3 of the whole. */
static quad find_quad(const weight_source *source, uint32_t i)
{
    if (source->layout == WEIGHT_PAIRED)
        return find_in_part(source, i % 2, i / 2 * QUAD);
    uint32_t index = 0;
    while (index + 1 < source->n_parts && weight_part_column(source, index + 1) <= i * QUAD)
        index++;
    return find_in_part(source, index, i * QUAD - weight_part_column(source, index));
}

/* n values of k to four columns of a panel, as words of `size` bytes: constant in every call, so that the
 * words of one k leave in one store. */
static inline void copy_quad(unsigned char *dst, const quad *q, const unsigned char *from, size_t step,
                             uint32_t n, size_t size)
{
    const ptrdiff_t next[QUAD] = {q->next[0], q->next[1], q->next[2], q->next[3]};
    for (uint32_t i = 0; i < n; i++, from += step, dst += WEIGHT_PANEL_COLUMNS * size) {
        unsigned char words[QUAD * sizeof(float)];
        for (uint32_t j = 0; j < QUAD; j++)
            memcpy(words + j * size, from + next[j], size);
        memcpy(dst, words, QUAD * size);
    }
}

/* The same for less than four columns. */
static void copy_some(unsigned char *dst, const quad *q, const unsigned char *from, uint32_t n, size_t size)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < q->n_columns; j++)
            memcpy(dst + (i * WEIGHT_PANEL_COLUMNS + j) * size, from + i * q->step + q->next[j], size);
}

static float widened(const unsigned char *from, vkdlm_dtype dtype)
{
    uint32_t word;
    uint16_t half;
    if (dtype == VKDLM_DTYPE_F32) {
        memcpy(&word, from, sizeof word);
        return f32_from_bits(word);
    }
    memcpy(&half, from, sizeof half);
    return dtype == VKDLM_DTYPE_F16 ? f32_from_f16(half) : f32_from_bf16(half);
}

static void copy_widened(unsigned char *dst, const quad *q, const unsigned char *from, uint32_t n,
                         float scale)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < q->n_columns; j++) {
            float value = scale * widened(from + i * q->step + q->next[j], q->dtype);
            memcpy(dst + (i * WEIGHT_PANEL_COLUMNS + j) * sizeof value, &value, sizeof value);
        }
}

/* Values k .. k+n-1 of the columns of a quantised part, dequantised. */
static void copy_dequantised(unsigned char *dst, const quad *q, const weight_source *source, uint32_t k,
                             uint32_t n, float scale)
{
    float values[MAX_BLOCK];
    uint32_t block_bytes, length = vkdlm_dtype_block(q->dtype, &block_bytes), in_block;
    for (uint32_t j = 0; j < q->n_columns; j++)
        for (uint32_t i = 0; i < n; i += in_block) {
            uint32_t block = (k + i) / length, first = (k + i) % length;
            in_block = u32_min(length - first, n - i);
            source->dequantise(q->dtype, q->data + q->next[j] + (size_t)block * block_bytes, length, values);
            for (uint32_t e = 0; e < in_block; e++) {
                float value = scale * values[first + e];
                memcpy(dst + ((size_t)(i + e) * WEIGHT_PANEL_COLUMNS + j) * sizeof value, &value,
                       sizeof value);
            }
        }
}

/* Rows k .. k+n_k-1 of one panel of the weight that w describes. Blocks of k keep the block of the
 * destination in the first-level cache. */
static void pack_rows(unsigned char *dst, const weight_source *source, const weight *w, uint32_t panel,
                      uint32_t k, uint32_t n_k)
{
    quad quads[WEIGHT_PANEL_COLUMNS / QUAD];
    size_t size = vkdlm_dtype_size(w->dtype);
    float scale = source->scale != 0 ? source->scale : 1;
    uint32_t end = k + n_k, block = size == 2 || source->dequantise ? 256 : 128;
    bool complete = true;
    for (uint32_t i = 0; i < WEIGHT_PANEL_COLUMNS / QUAD; i++) {
        quads[i] = find_quad(source, panel * (WEIGHT_PANEL_COLUMNS / QUAD) + i);
        complete = complete && quads[i].n_columns == QUAD && quads[i].first_k <= k && quads[i].last_k >= end;
    }
    if (!complete)
        memset(dst, 0, n_k * WEIGHT_PANEL_COLUMNS * size);
    for (uint32_t k0 = k; k0 < end; k0 += block)
        for (uint32_t i = 0; i < WEIGHT_PANEL_COLUMNS / QUAD; i++) {
            const quad *q = &quads[i];
            uint32_t first = k0 > q->first_k ? k0 : q->first_k;
            uint32_t last = u32_min(u32_min(k0 + block, end), q->last_k);
            if (first >= last)
                continue;
            uint32_t n = last - first;
            const unsigned char *from = q->data + (first - q->first_k) * q->step;
            unsigned char *to = dst + ((size_t)(first - k) * WEIGHT_PANEL_COLUMNS + i * QUAD) * size;
            if (source->widen && weight_blocks_supported(q->dtype))
                copy_dequantised(to, q, source, first, n, scale);
            else if (source->widen)
                copy_widened(to, q, from, n, scale);
            else if (q->n_columns < QUAD)
                copy_some(to, q, from, n, size);
            else if (size == 2)
                copy_quad(to, q, from, q->step, n, 2);
            else
                copy_quad(to, q, from, q->step, n, 4);
        }
}

/* Values k .. k+n_k-1 of one quantised panel; planes as in weight_blocks_pack. */
static void pack_blocks(unsigned char *const planes[WEIGHT_BLOCKS_N_PLANES], const weight_source *source,
                        const weight *w, uint32_t panel, uint32_t k, uint32_t n_k)
{
    const unsigned char *columns[WEIGHT_PANEL_COLUMNS] = {0};
    for (uint32_t i = 0; i < WEIGHT_PANEL_COLUMNS / QUAD; i++) {
        quad q = find_quad(source, panel * (WEIGHT_PANEL_COLUMNS / QUAD) + i);
        for (uint32_t j = 0; j < q.n_columns; j++)
            columns[i * QUAD + j] = q.data + q.next[j];
    }
    weight_blocks_pack(w->dtype, columns, k, n_k, planes);
}

/* Panels first .. first+n-1 of the weight that w describes. */
static void pack_panels(unsigned char *dst, const weight_source *source, const weight *w, uint32_t first,
                        uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, dst += w->panel_bytes) {
        if (!weight_blocks_supported(w->dtype)) {
            pack_rows(dst, source, w, first + i, 0, weight_pad(w->depth));
            continue;
        }
        uint64_t bytes[WEIGHT_BLOCKS_N_PLANES];
        unsigned char *planes[WEIGHT_BLOCKS_N_PLANES] = {dst};
        weight_blocks_planes(w->dtype, w->depth, bytes);
        for (uint32_t p = 1; p < WEIGHT_BLOCKS_N_PLANES; p++)
            planes[p] = planes[p - 1] + bytes[p - 1];
        pack_blocks(planes, source, w, first + i, 0, w->depth);
    }
}

void weight_pack_source(void *dst, const weight_source *source, uint32_t first, uint32_t n)
{
    weight w;
    vkdlm_error err;
    vkdlm_status status = weight_describe_source(source, &w, &err);
    assert(status == VKDLM_OK);
    if (!status)
        pack_panels(dst, source, &w, first, n);
}

void weight_pack_panels(void *dst, const vkdlm_tensor *tensor, uint32_t first, uint32_t n)
{
    weight_part part = {.tensor = tensor};
    weight_source source = whole(&part);
    weight_pack_source(dst, &source, first, n);
}

/* ---- uploads -------------------------------------------------------------------------------------- */

static vkdlm_status too_little_staging(const gpu_upload *upload, uint64_t bytes, vkdlm_error *err)
{
    return error_set(err, VKDLM_INTERNAL, "staging memory of %" PRIu64 " bytes cannot hold %" PRIu64 " bytes",
                     gpu_upload_max_bytes(upload), bytes);
}

/* One quantised panel that is larger than the staging memory: plane by plane, in pieces of whole blocks. */
static vkdlm_status upload_planes_in_pieces(gpu_upload *upload, const weight_source *source, const weight *w,
                                            uint32_t panel, vkdlm_error *err)
{
    uint32_t length = weight_blocks_length(w->dtype);
    uint64_t block_bytes[WEIGHT_BLOCKS_N_PLANES], at = panel * w->panel_bytes;
    weight_blocks_planes(w->dtype, length, block_bytes);
    for (uint32_t p = 0; p < WEIGHT_BLOCKS_N_PLANES; p++) {
        uint32_t n_blocks = block_bytes[p] ? w->depth / length : 0, n;
        for (uint32_t i = 0; i < n_blocks; i += n) {
            n = (uint32_t)u64_min(gpu_upload_max_bytes(upload) / block_bytes[p], n_blocks - i);
            if (n == 0)
                return too_little_staging(upload, block_bytes[p], err);
            void *dst;
            vkdlm_status status = gpu_upload_reserve(upload, &w->buffer, at, n * block_bytes[p], &dst, err);
            if (status)
                return status;
            unsigned char *planes[WEIGHT_BLOCKS_N_PLANES] = {0};
            planes[p] = dst;
            pack_blocks(planes, source, w, panel, i * length, n * length);
            at += n * block_bytes[p];
        }
    }
    return VKDLM_OK;
}

/* One panel that is larger than the staging memory, in pieces of whole k. */
static vkdlm_status upload_in_pieces(gpu_upload *upload, const weight_source *source, const weight *w,
                                     uint32_t panel, vkdlm_error *err)
{
    if (weight_blocks_supported(w->dtype))
        return upload_planes_in_pieces(upload, source, w, panel, err);
    uint64_t row_bytes = WEIGHT_PANEL_COLUMNS * vkdlm_dtype_size(w->dtype);
    uint32_t depth = weight_pad(w->depth);
    uint32_t step = (uint32_t)u64_min(gpu_upload_max_bytes(upload) / row_bytes, depth);
    if (step == 0)
        return too_little_staging(upload, row_bytes, err);
    for (uint32_t k = 0; k < depth; k += step) {
        uint32_t n = u32_min(step, depth - k);
        void *dst;
        vkdlm_status status = gpu_upload_reserve(upload, &w->buffer, panel * w->panel_bytes + k * row_bytes,
                                                 n * row_bytes, &dst, err);
        if (status)
            return status;
        pack_rows(dst, source, w, panel, k, n);
    }
    return VKDLM_OK;
}

vkdlm_status weight_upload_source(gpu_device *device, gpu_upload *upload, const weight_source *source,
                                  weight *out, vkdlm_error *err)
{
    vkdlm_status status = weight_describe_source(source, out, err);
    if (!status)
        status = gpu_buffer_create(device, GPU_MEMORY_DEVICE, out->bytes, source->name, &out->buffer, err);
    if (status) {
        memset(out, 0, sizeof *out);
        return status;
    }
    uint64_t at_once = u64_min(gpu_upload_max_bytes(upload) / out->panel_bytes, out->n_panels);
    for (uint32_t panel = 0; panel < out->n_panels && !status;) {
        uint32_t n = at_once ? u32_min((uint32_t)at_once, out->n_panels - panel) : 1;
        void *dst;
        if (at_once == 0)
            status = upload_in_pieces(upload, source, out, panel, err);
        else if (!(status = gpu_upload_reserve(upload, &out->buffer, panel * out->panel_bytes,
                                               n * out->panel_bytes, &dst, err)))
            pack_panels(dst, source, out, panel, n);
        panel += n;
    }
    if (status) {
        vkdlm_error ignored;
        gpu_upload_flush(upload, &ignored);
        weight_destroy(out);
    }
    return status;
}

vkdlm_status weight_upload(gpu_device *device, gpu_upload *upload, const vkdlm_tensor *tensor, weight *out,
                           vkdlm_error *err)
{
    weight_part part = {.tensor = tensor};
    weight_source source = whole(&part);
    return weight_upload_source(device, upload, &source, out, err);
}

void weight_destroy(weight *w)
{
    gpu_buffer_destroy(&w->buffer);
    memset(w, 0, sizeof *w);
}

uint32_t weight_align_panels(const weight *w, uint32_t n)
{
    uint32_t step = 1;
    while (step * w->panel_bytes % SLICE_ALIGNMENT != 0)
        step *= 2;
    return n >= w->n_panels ? w->n_panels : n / step * step;
}

uint32_t weight_panels_per_slice(const weight *w, const gpu_caps *caps)
{
    return weight_align_panels(
        w, (uint32_t)u64_min(caps->max_storage_range_bytes / w->panel_bytes, w->n_panels));
}

/* Recording trajectories: built on the public callbacks alone.
 *
 * Every step (evaluation) is one row of each column. Rows are appended, all columns of a step together, to a
 * spool: a file without a name, which no death of the process can leave behind. When the run is over, the
 * columns are copied one by one into the safetensors file, which appears under its name when it is whole. */
#include <vkdlm/trajectory.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/size.h"
#include "base/utf8.h"
#include "spool.h"
#include "trajectory.h"

/* Rows of the spool that are read at once. */
#define BLOCK_BYTES ((uint64_t)1 << 20)

enum { N_METADATA = 13, N_ALWAYS = 11 /* the others only where they have a text */ };

struct vkdlm_recorder {
    char *path;
    vkdlm_trajectory_kind kind;
    uint64_t sample;
    int32_t mask_id;
    uint32_t n_candidates;
    const vkdlm_tokenizer *tokenizer;
    char *metadata[N_METADATA]; /* values, in the order of metadata_keys */

    int spool;
    uint64_t n_rows;
    uint64_t n_whole; /* flow: evaluations of tokens that came */
    uint32_t length;  /* L, of a flow n; known from the first row on */
    bool begun;
    unsigned char *row; /* [row_bytes] */
    uint64_t row_bytes;
    uint64_t column_at[TRAJECTORY_MAX_TENSORS];    /* offset of a column in the row, */
    uint64_t column_bytes[TRAJECTORY_MAX_TENSORS]; /* and its bytes; 0: not of the spool */
    int32_t *start;                                /* masked: the canvas before the first step, [length] */
    float start_time;
    int32_t *tokens; /* flow, [n_tokens] */
    uint32_t n_tokens, token_capacity;
    int32_t *prompt; /* flow, [n_prompt]; NULL until a token came */
    uint32_t n_prompt;
    uint8_t *seen; /* bits of the ids that occur, [n_seen_bytes] */
    size_t n_seen_bytes;

    vkdlm_status status; /* of the first failure */
    vkdlm_error error;
};

static const char *const metadata_keys[N_METADATA] = {
    "format", "version",   "kind",    "model", "sampler",     "seed",       "device",
    "prompt", "tokenizer", "mask_id", "l2d",   "prompt_kind", "resumptions"};

/* ---- rows ------------------------------------------------------------------------------------------- */

static vkdlm_status out_of_memory(const vkdlm_recorder *r, vkdlm_error *err)
{
    return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory recording '%s'", r->path);
}

/* Remembers a failure; false. */
static bool failed(vkdlm_recorder *r, vkdlm_status status)
{
    r->status = status;
    return false;
}

static uint64_t size_of(const vkdlm_recorder *r, enum trajectory_size size)
{
    return size == SIZE_LENGTH ? r->length : r->n_candidates;
}

/* Fixes the layout of a row when its length is known. */
static vkdlm_status begin_rows(vkdlm_recorder *r, uint32_t length)
{
    const trajectory_tensor *specs = trajectory_tensors[r->kind];
    r->length = length;
    r->begun = true;
    for (uint32_t i = 0; i < trajectory_n_tensors[r->kind]; i++) {
        if (specs[i].dims[0].size != SIZE_STEPS)
            continue;
        uint64_t bytes = vkdlm_dtype_size(specs[i].dtype);
        for (uint32_t d = 1; d < specs[i].n_dims; d++)
            bytes *= size_of(r, specs[i].dims[d].size);
        r->column_at[i] = r->row_bytes;
        r->column_bytes[i] = bytes;
        r->row_bytes += bytes;
    }
    r->row = malloc((size_t)r->row_bytes);
    if (r->kind == VKDLM_TRAJECTORY_MASKED)
        r->start = malloc(length * sizeof *r->start + 1);
    bool good = r->row && (r->start || r->kind != VKDLM_TRAJECTORY_MASKED);
    return good ? VKDLM_OK : out_of_memory(r, &r->error);
}

static void *column(const vkdlm_recorder *r, uint32_t index)
{
    return r->row + r->column_at[index];
}

/* Rows are packed without regard to alignment. */
static void put(const vkdlm_recorder *r, uint32_t index, const void *data)
{
    memcpy(column(r, index), data, (size_t)r->column_bytes[index]);
}

static void fill(const vkdlm_recorder *r, uint32_t index, const void *element)
{
    unsigned char *to = column(r, index);
    for (uint64_t i = 0; i < r->column_bytes[index]; i += 4)
        memcpy(to + i, element, 4);
}

static bool see(vkdlm_recorder *r, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0)
            continue;
        size_t byte = (size_t)ids[i] / 8;
        if (byte >= r->n_seen_bytes) {
            size_t bytes = 2 * byte + 64;
            uint8_t *seen = realloc(r->seen, bytes);
            if (!seen)
                return failed(r, out_of_memory(r, &r->error));
            memset(seen + r->n_seen_bytes, 0, bytes - r->n_seen_bytes);
            r->seen = seen;
            r->n_seen_bytes = bytes;
        }
        r->seen[byte] |= (uint8_t)(1 << ids[i] % 8);
    }
    return true;
}

static bool append_row(vkdlm_recorder *r)
{
    if (r->n_rows == INT32_MAX)
        return failed(r, error_set(&r->error, VKDLM_UNSUPPORTED,
                                   "'%s': expected at most %d steps, found more", r->path, INT32_MAX));
    vkdlm_status status =
        spool_write(r->spool, r->path, r->row, r->row_bytes, r->n_rows * r->row_bytes, &r->error);
    if (status)
        return failed(r, status);
    r->n_rows++;
    return true;
}

static vkdlm_status wrong_step(const vkdlm_recorder *r, const char *what, uint32_t expected, uint32_t found,
                               vkdlm_error *err)
{
    return error_set(err, VKDLM_INVALID_ARGUMENT, "recording '%s': expected steps of %u %s, found %u",
                     r->path, expected, what, found);
}

static bool put_candidates(vkdlm_recorder *r, uint32_t ids_column, uint32_t probs_column, uint32_t at,
                           const int32_t *ids, const float *probs)
{
    size_t bytes = (size_t)r->n_candidates * sizeof *ids;
    if (!bytes)
        return true;
    memcpy((unsigned char *)column(r, ids_column) + at * bytes, ids, bytes);
    memcpy((unsigned char *)column(r, probs_column) + at * bytes, probs, bytes);
    return see(r, ids, r->n_candidates);
}

static bool put_evaluated(vkdlm_recorder *r, const vkdlm_step *step)
{
    const int32_t none = -1;
    const float zero = 0, nan = NAN;
    fill(r, MASKED_TOPK_IDS, &none);
    fill(r, MASKED_TOPK_PROBS, &zero);
    fill(r, MASKED_ENTROPY, &nan);
    fill(r, MASKED_CONFIDENCE, &nan);
    for (uint32_t i = 0; i < step->n_evaluated; i++) {
        uint32_t at = step->changed[i];
        memcpy((unsigned char *)column(r, MASKED_ENTROPY) + at * sizeof(float), &step->entropy[i],
               sizeof(float));
        memcpy((unsigned char *)column(r, MASKED_CONFIDENCE) + at * sizeof(float), &step->probability[i],
               sizeof(float));
        size_t first = (size_t)i * r->n_candidates;
        if (!put_candidates(r, MASKED_TOPK_IDS, MASKED_TOPK_PROBS, at, step->candidate_ids + first,
                            step->candidate_probs + first))
            return false;
    }
    return true;
}

/* ---- callbacks ------------------------------------------------------------------------------------ */

static bool check_kind(vkdlm_recorder *r, vkdlm_trajectory_kind kind)
{
    if (r->status)
        return false;
    if (r->kind != kind)
        return failed(r, error_set(&r->error, VKDLM_INVALID_ARGUMENT,
                                   "recording '%s': expected steps of a %s run, found others", r->path,
                                   trajectory_kinds[r->kind]));
    return true;
}

/* The canvas before the first step: what it unmasked was masked. */
static bool begin_canvas(vkdlm_recorder *r, const int32_t *tokens, uint32_t length, const uint32_t *changed,
                         uint32_t n_changed)
{
    vkdlm_status status = begin_rows(r, length);
    if (status)
        return failed(r, status);
    memcpy(r->start, tokens, length * sizeof *tokens);
    for (uint32_t i = 0; i < n_changed; i++)
        r->start[changed[i]] = r->mask_id;
    return see(r, r->start, length);
}

bool vkdlm_recorder_on_step(void *recorder, const vkdlm_step *step)
{
    vkdlm_recorder *r = recorder;
    if (!check_kind(r, VKDLM_TRAJECTORY_MASKED))
        return false;
    if (step->sample != r->sample)
        return true;
    if (!r->begun && !begin_canvas(r, step->tokens, step->length, step->changed, step->n_changed))
        return false;
    if (step->length != r->length)
        return failed(r, wrong_step(r, "positions", r->length, step->length, &r->error));
    if (step->n_candidates != r->n_candidates)
        return failed(r, wrong_step(r, "candidates", r->n_candidates, step->n_candidates, &r->error));
    float time = (float)step->time;
    int32_t nfe = (int32_t)step->evaluations;
    int64_t host_ns = (int64_t)step->host_ns, device_ns = (int64_t)step->device_ns;
    put(r, MASKED_TOKENS, step->tokens);
    put(r, MASKED_TIME, &time);
    put(r, MASKED_NFE, &nfe);
    put(r, MASKED_HOST_NS, &host_ns);
    put(r, MASKED_DEVICE_NS, &device_ns);
    /* Not only what the step changed: tokens may have been set by hand. */
    return see(r, step->tokens, step->length) && put_evaluated(r, step) && append_row(r);
}

bool vkdlm_recorder_on_sample(void *recorder, const vkdlm_sample *sample)
{
    vkdlm_recorder *r = recorder;
    if (!check_kind(r, VKDLM_TRAJECTORY_MASKED))
        return false;
    if (sample->sample != r->sample || r->begun)
        return true;
    return begin_canvas(r, sample->tokens, sample->length, NULL, 0);
}

bool vkdlm_recorder_on_flow_step(void *recorder, const vkdlm_flow_step *step)
{
    vkdlm_recorder *r = recorder;
    if (!check_kind(r, VKDLM_TRAJECTORY_FLOW))
        return false;
    if (step->sample != r->sample)
        return true;
    vkdlm_status status = r->begun ? VKDLM_OK : begin_rows(r, step->dim);
    if (status)
        return failed(r, status);
    if (step->dim != r->length)
        return failed(r, wrong_step(r, "dimensions", r->length, step->dim, &r->error));
    if (step->n_candidates != r->n_candidates)
        return failed(r, wrong_step(r, "candidates", r->n_candidates, step->n_candidates, &r->error));
    int32_t token_index = (int32_t)step->token_index;
    float time = (float)step->time;
    int64_t device_ns = (int64_t)step->device_ns;
    put(r, FLOW_TOKEN_INDEX, &token_index);
    put(r, FLOW_T, &time);
    put(r, FLOW_X, step->x);
    put(r, FLOW_XHAT_ID, &step->xhat_id);
    put(r, FLOW_ENTROPY, &step->entropy);
    put(r, FLOW_WD_NORM, &step->wd_norm);
    put(r, FLOW_DEVICE_NS, &device_ns);
    return see(r, &step->xhat_id, 1) &&
           put_candidates(r, FLOW_TOPK_IDS, FLOW_TOPK_PROBS, 0, step->candidate_ids, step->candidate_probs) &&
           append_row(r);
}

static bool add_token(vkdlm_recorder *r, int32_t token)
{
    if (r->n_tokens == r->token_capacity) {
        uint32_t capacity = 2 * r->token_capacity + 256;
        int32_t *tokens = realloc(r->tokens, capacity * sizeof *tokens);
        if (!tokens)
            return failed(r, out_of_memory(r, &r->error));
        r->tokens = tokens;
        r->token_capacity = capacity;
    }
    r->tokens[r->n_tokens++] = token;
    return see(r, &token, 1);
}

/* What stands before the new tokens. */
static bool take_prompt(vkdlm_recorder *r, const int32_t *tokens, uint32_t n)
{
    if (r->prompt)
        return true;
    r->prompt = malloc(n * sizeof *tokens + 1);
    if (!r->prompt)
        return failed(r, out_of_memory(r, &r->error));
    memcpy(r->prompt, tokens, n * sizeof *tokens);
    r->n_prompt = n;
    return see(r, tokens, n);
}

bool vkdlm_recorder_on_token(void *recorder, const vkdlm_token_step *step)
{
    vkdlm_recorder *r = recorder;
    if (!check_kind(r, VKDLM_TRAJECTORY_FLOW))
        return false;
    if (step->sample != r->sample)
        return true;
    if (step->length > step->index && !take_prompt(r, step->tokens, step->length - step->index - 1))
        return false;
    /* Of a run that goes on behind new tokens, those stand before the first. */
    while (r->n_tokens < step->index) {
        uint32_t before = step->index - r->n_tokens;
        if (before >= step->length)
            return failed(r, wrong_step(r, "tokens or more", before + 1, step->length, &r->error));
        if (!add_token(r, step->tokens[step->length - 1 - before]))
            return false;
    }
    if (!add_token(r, step->token))
        return false;
    r->n_whole = r->n_rows;
    return true;
}

/* ---- the file ---------------------------------------------------------------------------------------- */

/* The text of the ids that occur. */
typedef struct pieces {
    int32_t *ids, *offsets; /* [n], [n + 1] */
    char *bytes;
    uint32_t n;
    size_t size, capacity;
} pieces;

static void pieces_deinit(pieces *p)
{
    free(p->ids);
    free(p->offsets);
    free(p->bytes);
}

static vkdlm_status add_piece(const vkdlm_recorder *r, pieces *p, int32_t id, vkdlm_error *err)
{
    vkdlm_text text;
    vkdlm_status status = vkdlm_tokenizer_piece(r->tokenizer, id, &text, err);
    if (status || !text.size) {
        vkdlm_text_free(&text);
        return status;
    }
    if (text.size > p->capacity - p->size) {
        size_t capacity = 2 * (p->size + text.size) + 1024;
        char *bytes = capacity <= INT32_MAX ? realloc(p->bytes, capacity) : NULL;
        if (bytes) {
            p->bytes = bytes;
            p->capacity = capacity;
        } else {
            status = out_of_memory(r, err);
        }
    }
    if (!status) {
        memcpy(p->bytes + p->size, text.bytes, text.size);
        p->size += text.size;
        p->ids[p->n++] = id;
        p->offsets[p->n] = (int32_t)p->size;
    }
    vkdlm_text_free(&text);
    return status;
}

static bool was_seen(const vkdlm_recorder *r, size_t id)
{
    return r->seen[id / 8] >> id % 8 & 1;
}

static vkdlm_status make_pieces(const vkdlm_recorder *r, pieces *p, vkdlm_error *err)
{
    size_t n = 0;
    for (size_t id = 0; r->tokenizer && id < 8 * r->n_seen_bytes; id++)
        n += was_seen(r, id);
    p->ids = malloc((n + 1) * sizeof *p->ids);
    p->offsets = malloc((n + 1) * sizeof *p->offsets);
    if (!p->ids || !p->offsets)
        return out_of_memory(r, err);
    p->offsets[0] = 0;
    vkdlm_status status = VKDLM_OK;
    for (size_t id = 0; r->tokenizer && id < 8 * r->n_seen_bytes && !status; id++)
        if (was_seen(r, id))
            status = add_piece(r, p, (int32_t)id, err);
    return status;
}

/* What the file holds: specs of all tensors, and for each the part that is not in the spool. */
typedef struct contents {
    vkdlm_tensor_spec specs[TRAJECTORY_MAX_TENSORS];
    const void *head[TRAJECTORY_MAX_TENSORS]; /* before the spool's rows */
    uint64_t head_bytes[TRAJECTORY_MAX_TENSORS];
    uint32_t column[TRAJECTORY_MAX_TENSORS]; /* of the spool */
    uint32_t n;
} contents;

static void list_tensor(const vkdlm_recorder *r, const pieces *p, const trajectory_tensor *spec,
                        uint32_t column, contents *c)
{
    const uint64_t sizes[TRAJECTORY_N_SIZES] = {
        [SIZE_STEPS] = r->n_rows,    [SIZE_LENGTH] = r->length, [SIZE_CANDIDATES] = r->n_candidates,
        [SIZE_TOKENS] = r->n_tokens, [SIZE_PIECES] = p->n,      [SIZE_BYTES] = p->size,
        [SIZE_PROMPT] = r->n_prompt};
    vkdlm_tensor_spec *to = &c->specs[c->n];
    *to = (vkdlm_tensor_spec){.name = spec->name, .dtype = spec->dtype, .n_dims = spec->n_dims};
    for (uint32_t d = 0; d < spec->n_dims; d++)
        to->shape[d] = sizes[spec->dims[d].size] + spec->dims[d].more;
    c->column[c->n++] = column;
}

static void set_head(contents *c, uint32_t index, const void *data, uint64_t bytes)
{
    c->head[index] = data;
    c->head_bytes[index] = bytes;
}

static void list_contents(const vkdlm_recorder *r, const pieces *p, contents *c)
{
    static const int32_t start_nfe = 0;
    for (uint32_t i = 0; i < trajectory_n_tensors[r->kind]; i++)
        if (r->n_prompt || !trajectory_tensor_is_optional(&trajectory_tensors[r->kind][i]))
            list_tensor(r, p, &trajectory_tensors[r->kind][i], i, c);
    if (r->kind == VKDLM_TRAJECTORY_MASKED) {
        set_head(c, MASKED_TOKENS, r->start, r->length * sizeof *r->start);
        set_head(c, MASKED_TIME, &r->start_time, sizeof r->start_time);
        set_head(c, MASKED_NFE, &start_nfe, sizeof start_nfe);
    } else {
        set_head(c, FLOW_TOKENS, r->tokens, r->n_tokens * sizeof *r->tokens);
        if (r->n_prompt)
            set_head(c, FLOW_PROMPT_IDS, r->prompt, r->n_prompt * sizeof *r->prompt);
    }
    uint32_t first = c->n;
    for (uint32_t i = 0; i < TRAJECTORY_N_PIECE_TENSORS; i++)
        list_tensor(r, p, &trajectory_piece_tensors[i], TRAJECTORY_PIECE_IDS + i, c);
    set_head(c, first, p->ids, p->n * sizeof *p->ids);
    set_head(c, first + 1, p->bytes, p->size);
    set_head(c, first + 2, p->offsets, (p->n + 1) * sizeof *p->offsets);
}

/* One tensor, its bytes in order. block: [block_rows of the spool]. */
static vkdlm_status write_tensor(const vkdlm_recorder *r, const contents *c, uint32_t index,
                                 unsigned char *block, uint64_t block_rows, vkdlm_tensors_writer *writer,
                                 vkdlm_error *err)
{
    uint64_t at = c->head_bytes[index], bytes = r->column_bytes[c->column[index]];
    vkdlm_status status =
        at ? vkdlm_tensors_writer_write(writer, index, 0, c->head[index], (size_t)at, err) : VKDLM_OK;
    for (uint64_t row = 0; bytes && row < r->n_rows && !status; row += block_rows) {
        uint64_t n = u64_min(block_rows, r->n_rows - row);
        status = spool_read(r->spool, r->path, block, n * r->row_bytes, row * r->row_bytes, err);
        for (uint64_t i = 0; i < n; i++)
            memmove(block + i * bytes, block + i * r->row_bytes + r->column_at[c->column[index]],
                    (size_t)bytes);
        if (!status)
            status = vkdlm_tensors_writer_write(writer, index, at, block, (size_t)(n * bytes), err);
        at += n * bytes;
    }
    return status;
}

static vkdlm_status write_file(const vkdlm_recorder *r, const contents *c, vkdlm_error *err)
{
    const char *metadata[N_METADATA][2];
    uint32_t n_metadata = 0;
    for (int i = 0; i < N_METADATA; i++) {
        if (i >= N_ALWAYS && !*r->metadata[i])
            continue;
        metadata[n_metadata][0] = metadata_keys[i];
        metadata[n_metadata++][1] = r->metadata[i];
    }
    uint64_t block_rows = r->row_bytes < BLOCK_BYTES ? BLOCK_BYTES / (r->row_bytes + 1) + 1 : 1;
    unsigned char *block = malloc((size_t)(block_rows * r->row_bytes + 1));
    if (!block)
        return out_of_memory(r, err);
    vkdlm_tensors_writer *writer = NULL;
    vkdlm_status status = vkdlm_tensors_writer_create(
        r->path, c->specs, c->n, (const char *const(*)[2])metadata, n_metadata, &writer, err);
    /* The order of the file: larger elements first. */
    for (size_t size = 8; size && !status; size /= 2)
        for (uint32_t i = 0; i < c->n && !status; i++)
            if (vkdlm_dtype_size(c->specs[i].dtype) == size)
                status = write_tensor(r, c, i, block, block_rows, writer, err);
    if (status)
        vkdlm_tensors_writer_abort(writer);
    else
        status = vkdlm_tensors_writer_finish(writer, err);
    free(block);
    return status;
}

vkdlm_status vkdlm_recorder_finish(vkdlm_recorder *recorder, vkdlm_error *err)
{
    vkdlm_recorder *r = recorder;
    vkdlm_status status = r->status;
    pieces p = {0};
    contents c = {0};
    if (status && err)
        *err = r->error;
    if (r->kind == VKDLM_TRAJECTORY_FLOW)
        r->n_rows = r->n_whole;
    if (!status && !r->begun && r->kind == VKDLM_TRAJECTORY_MASKED)
        status =
            error_set(err, VKDLM_INVALID_ARGUMENT, "cannot write '%s': expected a step, found none", r->path);
    if (!status)
        status = make_pieces(r, &p, err);
    if (!status) {
        list_contents(r, &p, &c);
        status = write_file(r, &c, err);
    }
    pieces_deinit(&p);
    vkdlm_recorder_abort(r);
    return status;
}

void vkdlm_recorder_abort(vkdlm_recorder *recorder)
{
    if (!recorder)
        return;
    if (recorder->spool >= 0)
        close(recorder->spool);
    for (int i = 0; i < N_METADATA; i++)
        free(recorder->metadata[i]);
    free(recorder->seen);
    free(recorder->tokens);
    free(recorder->prompt);
    free(recorder->start);
    free(recorder->row);
    free(recorder->path);
    free(recorder);
}

/* ---- creation --------------------------------------------------------------------------------------- */

/* A copy in valid UTF-8. */
static char *copy_text(const char *text)
{
    size_t n = text ? strlen(text) : 0, size = 0;
    char *copy = n < SIZE_MAX / 3 ? malloc(3 * n + 1) : NULL;
    for (size_t i = 0; copy && i < n;) {
        uint32_t cp;
        size_t length = utf8_decode((const unsigned char *)text + i, n - i, &cp);
        size += utf8_encode(cp == UTF8_INVALID ? 0xFFFD : cp, (unsigned char *)copy + size);
        i += length;
    }
    if (copy)
        copy[size] = 0;
    return copy;
}

/* The options of the recorded sample, whose stream is the first of a run that does the same again. */
static char *write_options(const vkdlm_recorder_options *o)
{
    if (o->masked) {
        vkdlm_generate_options masked = *o->masked;
        masked.first_sample += o->sample;
        return vkdlm_generate_options_write(&masked);
    }
    vkdlm_complete_options flow = *o->flow;
    flow.first_sample += o->sample;
    return vkdlm_complete_options_write(&flow, &o->info->flow);
}

static vkdlm_status set_metadata(vkdlm_recorder *r, const vkdlm_recorder_options *o, vkdlm_error *err)
{
    bool bad = false;
    char seed[24], mask_id[16];
    snprintf(seed, sizeof seed, "%" PRIu64, o->masked ? o->masked->seed : o->flow->seed);
    snprintf(mask_id, sizeof mask_id, "%" PRId32, r->mask_id);
    char *values[N_METADATA] = {copy_text(TRAJECTORY_FORMAT),
                                copy_text(TRAJECTORY_VERSION),
                                copy_text(trajectory_kinds[r->kind]),
                                copy_text(o->model),
                                write_options(o),
                                copy_text(seed),
                                copy_text(o->device),
                                copy_text(o->prompt),
                                copy_text(o->tokenizer_path),
                                copy_text(mask_id),
                                copy_text(o->l2d),
                                copy_text(vkdlm_prompt_kind_name(o->prompt_kind)),
                                o->n_resumptions ? resumptions_write(o->resumptions, o->n_resumptions, &bad)
                                                 : copy_text("")};
    memcpy(r->metadata, values, sizeof values);
    if (bad)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "recording '%s': expected the sampler of every resumption to be a JSON object",
                         r->path);
    for (int i = 0; i < N_METADATA; i++)
        if (!values[i])
            return out_of_memory(r, err);
    return VKDLM_OK;
}

/* t of the canvas that the run begins from. */
static double start_time(const vkdlm_generate_options *o)
{
    double steps = o->steps ? o->steps : 64, end_time = o->end_time != 0 ? o->end_time : 1e-5;
    if (o->sampler == VKDLM_SAMPLER_FIRST_HITTING)
        return o->first_time != 0 ? o->first_time : 1;
    return 1 + o->first_step * (end_time - 1) / steps;
}

/* A directory that is not there, or that nothing may be written to, is better found before the run. */
static vkdlm_status probe_target(const char *path, vkdlm_error *err)
{
    file_output *output;
    vkdlm_status status = file_output_create(path, &output, err);
    if (!status)
        file_output_abort(output);
    return status;
}

vkdlm_status vkdlm_recorder_create(const char *path, const vkdlm_recorder_options *options,
                                   vkdlm_recorder **out, vkdlm_error *err)
{
    if (out)
        *out = NULL;
    if (!path || !options || !out || !options->info || !options->masked == !options->flow)
        return error_set(
            err, VKDLM_INVALID_ARGUMENT,
            "vkdlm_recorder_create: expected a path, the model's info and the options of one run");
    const vkdlm_recorder_options *o = options;
    vkdlm_recorder *r = calloc(1, sizeof *r);
    if (!r)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory recording '%s'", path);
    r->spool = -1;
    r->path = strdup(path);
    r->kind = o->masked ? VKDLM_TRAJECTORY_MASKED : VKDLM_TRAJECTORY_FLOW;
    r->sample = o->sample;
    r->mask_id = o->masked ? o->info->mask_id : -1;
    r->n_candidates = o->masked ? o->masked->n_candidates : o->flow->n_candidates;
    r->start_time = o->masked ? (float)start_time(o->masked) : 0;
    r->tokenizer = o->tokenizer;
    if (r->kind == VKDLM_TRAJECTORY_FLOW)
        r->length = o->info->flow.dim; /* should no token be refined */
    vkdlm_status status =
        r->path ? set_metadata(r, o, err)
                : error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory recording '%s'", path);
    if (!status)
        status = probe_target(path, err);
    if (!status && (r->spool = spool_open(path)) < 0)
        status = spool_failed(path, errno, err);
    if (status) {
        vkdlm_recorder_abort(r);
        return status;
    }
    *out = r;
    return VKDLM_OK;
}

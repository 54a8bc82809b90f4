/* Reading trajectories: every tensor is checked before anything is returned. */
#include <vkdlm/trajectory.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "trajectory.h"

/* One tensor as the reader uses it: in the mapping, or copied where the file does not align it. */
typedef struct column {
    const void *data;
    void *copy;
} column;

struct vkdlm_trajectory {
    vkdlm_tensors *file;
    char *path;
    vkdlm_trajectory_info info;
    vkdlm_trajectory_resumption *resumptions;
    column columns[TRAJECTORY_MAX_TENSORS]; /* of the kind's tensors, then the pieces */
};

enum { ANY_DIM = 0 };

/* Sizes by their letter; UINT64_MAX until a tensor tells. */
typedef struct sizes {
    uint64_t value[TRAJECTORY_N_SIZES];
} sizes;

static const char *path_of(const vkdlm_trajectory *t)
{
    return t->path;
}

static vkdlm_status refuse(const vkdlm_trajectory *t, const char *name, const char *expected, long long found,
                           vkdlm_error *err)
{
    return error_set(err, VKDLM_MALFORMED, "'%s': tensor '%s': expected %s, found %lld", path_of(t), name,
                     expected, found);
}

/* Checks shape against what other tensors said of the sizes, and takes what is new. */
static vkdlm_status check_shape(const vkdlm_trajectory *t, const trajectory_tensor *spec,
                                const vkdlm_tensor *tensor, sizes *known, vkdlm_error *err)
{
    if (tensor->dtype != spec->dtype)
        return error_set(err, VKDLM_MALFORMED, "'%s': tensor '%s': expected type %s, found %s", path_of(t),
                         spec->name, vkdlm_dtype_name(spec->dtype), vkdlm_dtype_name(tensor->dtype));
    if (tensor->n_dims != spec->n_dims)
        return error_set(err, VKDLM_MALFORMED, "'%s': tensor '%s': expected %u dimensions, found %u",
                         path_of(t), spec->name, spec->n_dims, tensor->n_dims);
    for (uint32_t i = 0; i < spec->n_dims; i++) {
        const trajectory_dim *dim = &spec->dims[i];
        uint64_t *size = &known->value[dim->size], found = tensor->shape[i];
        if (found < dim->more || found - dim->more > INT32_MAX)
            return error_set(err, VKDLM_MALFORMED,
                             "'%s': tensor '%s': expected dimension %u to be from %u to %d, found %" PRIu64,
                             path_of(t), spec->name, i, dim->more, INT32_MAX, found);
        if (*size == UINT64_MAX)
            *size = found - dim->more;
        if (found - dim->more != *size)
            return error_set(err, VKDLM_MALFORMED,
                             "'%s': tensor '%s': expected dimension %u to be %" PRIu64
                             " as in other tensors, "
                             "found %" PRIu64,
                             path_of(t), spec->name, i, *size + dim->more, found);
    }
    return VKDLM_OK;
}

static vkdlm_status take_column(vkdlm_trajectory *t, column *to, const vkdlm_tensor *tensor, vkdlm_error *err)
{
    size_t element = vkdlm_dtype_size(tensor->dtype);
    to->data = tensor->data;
    if ((uintptr_t)tensor->data % element == 0)
        return VKDLM_OK;
    to->copy = malloc((size_t)tensor->n_bytes + 1);
    if (!to->copy)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory for tensor '%s'", path_of(t),
                         tensor->name);
    memcpy(to->copy, tensor->data, (size_t)tensor->n_bytes);
    to->data = to->copy;
    return VKDLM_OK;
}

static vkdlm_status check_range(const vkdlm_trajectory *t, const trajectory_tensor *spec, const int32_t *ids,
                                uint64_t n, vkdlm_error *err)
{
    const char *expected = spec->values == TRAJECTORY_CANDIDATES ? "ids of -1 or more" : "nothing below 0";
    int32_t least = spec->values == TRAJECTORY_CANDIDATES ? -1 : 0;
    for (uint64_t i = 0; i < n; i++) {
        if (ids[i] < least)
            return refuse(t, spec->name, expected, ids[i], err);
        if (spec->values == TRAJECTORY_ASCENDING && i && ids[i] < ids[i - 1])
            return refuse(t, spec->name, "ascending numbers", ids[i], err);
        if (spec->values == TRAJECTORY_DISTINCT && i && ids[i] <= ids[i - 1])
            return refuse(t, spec->name, "ascending numbers, all different", ids[i], err);
    }
    return VKDLM_OK;
}

static vkdlm_status read_tensor(vkdlm_trajectory *t, const trajectory_tensor *spec, column *to, sizes *known,
                                vkdlm_error *err)
{
    const vkdlm_tensor *tensor = vkdlm_tensors_find(t->file, spec->name);
    if (!tensor && trajectory_tensor_is_optional(spec))
        return VKDLM_OK;
    if (!tensor)
        return error_set(err, VKDLM_MALFORMED, "'%s': expected tensor '%s', found none of this name",
                         path_of(t), spec->name);
    vkdlm_status status = check_shape(t, spec, tensor, known, err);
    if (status == VKDLM_OK)
        status = take_column(t, to, tensor, err);
    if (status == VKDLM_OK && spec->values != TRAJECTORY_ANY)
        status = check_range(t, spec, to->data, tensor->n_elements, err);
    return status;
}

static const int32_t *ids_of(const vkdlm_trajectory *t, uint32_t index)
{
    return t->columns[index].data;
}

static const float *floats_of(const vkdlm_trajectory *t, uint32_t index)
{
    return t->columns[index].data;
}

/* ---- opening --------------------------------------------------------------------------------------- */

static const char *text_of(const vkdlm_trajectory *t, const char *key)
{
    const char *text = vkdlm_tensors_metadata(t->file, key);
    return text ? text : "";
}

static vkdlm_status read_kind(vkdlm_trajectory *t, vkdlm_error *err)
{
    const char *format = text_of(t, "format"), *version = text_of(t, "version"), *kind = text_of(t, "kind");
    if (strcmp(format, TRAJECTORY_FORMAT) != 0)
        return error_set(
            err, VKDLM_MALFORMED,
            "'%s': expected a trajectory (\"format\" in the metadata being \"%s\"), found \"%.40s\"",
            path_of(t), TRAJECTORY_FORMAT, format);
    if (strcmp(version, TRAJECTORY_VERSION) != 0)
        return error_set(err, VKDLM_UNSUPPORTED, "'%s': expected a trajectory of version %s, found \"%.40s\"",
                         path_of(t), TRAJECTORY_VERSION, version);
    bool flow = strcmp(kind, trajectory_kinds[VKDLM_TRAJECTORY_FLOW]) == 0;
    if (!flow && strcmp(kind, trajectory_kinds[VKDLM_TRAJECTORY_MASKED]) != 0)
        return error_set(err, VKDLM_MALFORMED,
                         "'%s': expected the kind \"masked\" or \"flow\" in the metadata, found \"%.40s\"",
                         path_of(t), kind);
    t->info.kind = flow ? VKDLM_TRAJECTORY_FLOW : VKDLM_TRAJECTORY_MASKED;
    return VKDLM_OK;
}

/* "-1", or the digits of a number below 2^31. */
static vkdlm_status read_mask_id(vkdlm_trajectory *t, vkdlm_error *err)
{
    const char *text = text_of(t, "mask_id");
    int64_t value = 0;
    t->info.mask_id = -1;
    if (!*text || strcmp(text, "-1") == 0)
        return VKDLM_OK;
    for (const char *p = text; *p; p++) {
        value = *p >= '0' && *p <= '9' ? value * 10 + (*p - '0') : INT64_MAX;
        if (value > INT32_MAX)
            return error_set(err, VKDLM_MALFORMED,
                             "'%s': expected a token id as \"mask_id\" in the metadata, found \"%.40s\"",
                             path_of(t), text);
    }
    t->info.mask_id = (int32_t)value;
    return VKDLM_OK;
}

static vkdlm_status read_prompt_kind(vkdlm_trajectory *t, vkdlm_error *err)
{
    const char *text = text_of(t, "prompt_kind");
    for (unsigned i = 0; i < VKDLM_PROMPT_COUNT; i++)
        if (!strcmp(text, vkdlm_prompt_kind_name((vkdlm_prompt_kind)i))) {
            t->info.prompt_kind = (vkdlm_prompt_kind)i;
            return VKDLM_OK;
        }
    return error_set(
        err, VKDLM_MALFORMED,
        "'%s': expected \"prompt_kind\" in the metadata to be text, template, chat, ids or lines, "
        "found \"%.40s\"",
        path_of(t), text);
}

static vkdlm_status check_pieces(const vkdlm_trajectory *t, const sizes *known, vkdlm_error *err)
{
    const int32_t *offsets = ids_of(t, TRAJECTORY_PIECE_OFFSETS);
    uint64_t last = (uint64_t)offsets[t->info.n_pieces];
    if (offsets[0] != 0)
        return refuse(t, "piece_offsets", "0 at the start", offsets[0], err);
    if (last != known->value[SIZE_BYTES])
        return error_set(err, VKDLM_MALFORMED,
                         "'%s': tensor 'piece_offsets': expected %" PRIu64
                         " at the end, the bytes of 'piece_bytes', found %" PRIu64,
                         path_of(t), known->value[SIZE_BYTES], last);
    return VKDLM_OK;
}

static vkdlm_status check_evaluations(const vkdlm_trajectory *t, vkdlm_error *err)
{
    const vkdlm_trajectory_info *info = &t->info;
    if (info->kind != VKDLM_TRAJECTORY_FLOW || info->n_evaluations == 0)
        return VKDLM_OK;
    int32_t last = ids_of(t, FLOW_TOKEN_INDEX)[info->n_evaluations - 1];
    if ((uint32_t)last >= info->n_tokens)
        return refuse(t, "token_index", "numbers below that of the tokens", last, err);
    return VKDLM_OK;
}

static vkdlm_status read_tensors(vkdlm_trajectory *t, vkdlm_error *err)
{
    vkdlm_trajectory_info *info = &t->info;
    sizes known;
    memset(&known, 0xFF, sizeof known);
    const trajectory_tensor *specs = trajectory_tensors[info->kind];
    vkdlm_status status = VKDLM_OK;
    for (uint32_t i = 0; i < trajectory_n_tensors[info->kind] && status == VKDLM_OK; i++)
        status = read_tensor(t, &specs[i], &t->columns[i], &known, err);
    for (uint32_t i = 0; i < TRAJECTORY_N_PIECE_TENSORS && status == VKDLM_OK; i++)
        status =
            read_tensor(t, &trajectory_piece_tensors[i], &t->columns[TRAJECTORY_PIECE_IDS + i], &known, err);
    if (status != VKDLM_OK)
        return status;
    info->n_candidates = (uint32_t)known.value[SIZE_CANDIDATES];
    info->n_pieces = (uint32_t)known.value[SIZE_PIECES];
    if (info->kind == VKDLM_TRAJECTORY_MASKED) {
        info->n_steps = (uint32_t)known.value[SIZE_STEPS];
        info->length = (uint32_t)known.value[SIZE_LENGTH];
    } else {
        info->n_evaluations = (uint32_t)known.value[SIZE_STEPS];
        info->dim = (uint32_t)known.value[SIZE_LENGTH];
        info->n_tokens = (uint32_t)known.value[SIZE_TOKENS];
        info->tokens = ids_of(t, FLOW_TOKENS);
        info->prompt_ids = ids_of(t, FLOW_PROMPT_IDS);
        info->n_prompt_ids = info->prompt_ids ? (uint32_t)known.value[SIZE_PROMPT] : 0;
    }
    status = check_pieces(t, &known, err);
    return status == VKDLM_OK ? check_evaluations(t, err) : status;
}

vkdlm_status vkdlm_trajectory_open(const char *path, vkdlm_trajectory **out, vkdlm_error *err)
{
    if (out)
        *out = NULL;
    if (!path || !out)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "vkdlm_trajectory_open: %s is NULL",
                         path ? "out" : "path");
    vkdlm_trajectory *t = calloc(1, sizeof *t);
    if (t)
        t->path = strdup(path);
    vkdlm_status status = t && t->path
                              ? vkdlm_tensors_open(path, &t->file, err)
                              : error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory", path);
    if (status == VKDLM_OK)
        status = read_kind(t, err);
    if (status == VKDLM_OK)
        status = read_mask_id(t, err);
    if (status == VKDLM_OK)
        status = read_prompt_kind(t, err);
    if (status == VKDLM_OK)
        status = read_tensors(t, err);
    if (status == VKDLM_OK)
        status = resumptions_read(vkdlm_tensors_metadata(t->file, "resumptions"), path, &t->info,
                                  &t->resumptions, &t->info.n_resumptions, err);
    if (status != VKDLM_OK) {
        vkdlm_trajectory_close(t);
        return status;
    }
    vkdlm_trajectory_info *info = &t->info;
    info->model = text_of(t, "model");
    info->sampler = text_of(t, "sampler");
    info->seed = text_of(t, "seed");
    info->device = text_of(t, "device");
    info->prompt = text_of(t, "prompt");
    info->tokenizer = text_of(t, "tokenizer");
    info->l2d = text_of(t, "l2d");
    info->resumptions = t->resumptions;
    *out = t;
    return VKDLM_OK;
}

void vkdlm_trajectory_close(vkdlm_trajectory *trajectory)
{
    if (!trajectory)
        return;
    for (uint32_t i = 0; i < TRAJECTORY_MAX_TENSORS; i++)
        free(trajectory->columns[i].copy);
    resumptions_free(trajectory->resumptions, trajectory->info.n_resumptions);
    vkdlm_tensors_close(trajectory->file);
    free(trajectory->path);
    free(trajectory);
}

/* ---- looking --------------------------------------------------------------------------------------- */

void vkdlm_trajectory_get_info(const vkdlm_trajectory *trajectory, vkdlm_trajectory_info *out)
{
    *out = trajectory->info;
}

bool vkdlm_trajectory_get_step(const vkdlm_trajectory *trajectory, uint32_t step, vkdlm_trajectory_step *out)
{
    const vkdlm_trajectory *t = trajectory;
    const vkdlm_trajectory_info *info = &t->info;
    *out = (vkdlm_trajectory_step){0};
    if (info->kind != VKDLM_TRAJECTORY_MASKED || step > info->n_steps)
        return false;
    size_t length = info->length;
    out->tokens = ids_of(t, MASKED_TOKENS) + step * length;
    out->time = floats_of(t, MASKED_TIME)[step];
    out->evaluations = ids_of(t, MASKED_NFE)[step];
    if (step == 0)
        return true;
    size_t row = (step - 1) * length;
    out->previous = out->tokens - length;
    out->topk_ids = ids_of(t, MASKED_TOPK_IDS) + row * info->n_candidates;
    out->topk_probs = floats_of(t, MASKED_TOPK_PROBS) + row * info->n_candidates;
    out->entropy = floats_of(t, MASKED_ENTROPY) + row;
    out->confidence = floats_of(t, MASKED_CONFIDENCE) + row;
    out->host_ns = ((const int64_t *)t->columns[MASKED_HOST_NS].data)[step - 1];
    out->device_ns = ((const int64_t *)t->columns[MASKED_DEVICE_NS].data)[step - 1];
    return true;
}

bool vkdlm_trajectory_get_evaluation(const vkdlm_trajectory *trajectory, uint32_t index,
                                     vkdlm_trajectory_evaluation *out)
{
    const vkdlm_trajectory *t = trajectory;
    const vkdlm_trajectory_info *info = &t->info;
    *out = (vkdlm_trajectory_evaluation){0};
    if (info->kind != VKDLM_TRAJECTORY_FLOW || index >= info->n_evaluations)
        return false;
    *out = (vkdlm_trajectory_evaluation){
        .token_index = (uint32_t)ids_of(t, FLOW_TOKEN_INDEX)[index],
        .time = floats_of(t, FLOW_T)[index],
        .x = floats_of(t, FLOW_X) + (size_t)index * info->dim,
        .xhat_id = ids_of(t, FLOW_XHAT_ID)[index],
        .topk_ids = ids_of(t, FLOW_TOPK_IDS) + (size_t)index * info->n_candidates,
        .topk_probs = floats_of(t, FLOW_TOPK_PROBS) + (size_t)index * info->n_candidates,
        .entropy = floats_of(t, FLOW_ENTROPY)[index],
        .wd_norm = floats_of(t, FLOW_WD_NORM)[index],
        .device_ns = ((const int64_t *)t->columns[FLOW_DEVICE_NS].data)[index],
    };
    return true;
}

/* First of n ascending numbers that is not below `wanted`. */
static uint32_t lower_bound(const int32_t *numbers, uint32_t n, int64_t wanted)
{
    uint32_t low = 0, high = n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (numbers[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t vkdlm_trajectory_first_evaluation(const vkdlm_trajectory *trajectory, uint32_t token)
{
    const vkdlm_trajectory_info *info = &trajectory->info;
    if (info->kind != VKDLM_TRAJECTORY_FLOW)
        return 0;
    return lower_bound(ids_of(trajectory, FLOW_TOKEN_INDEX), info->n_evaluations, token);
}

const char *vkdlm_trajectory_piece(const vkdlm_trajectory *trajectory, int32_t id, size_t *size)
{
    const int32_t *ids = ids_of(trajectory, TRAJECTORY_PIECE_IDS);
    uint32_t n = trajectory->info.n_pieces, at = lower_bound(ids, n, id);
    *size = 0;
    if (at == n || ids[at] != id)
        return NULL;
    const int32_t *offsets = ids_of(trajectory, TRAJECTORY_PIECE_OFFSETS);
    *size = (size_t)(offsets[at + 1] - offsets[at]);
    return (const char *)trajectory->columns[TRAJECTORY_PIECE_BYTES].data + offsets[at];
}

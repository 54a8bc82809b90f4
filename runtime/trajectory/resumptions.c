/* Where a run was gone on with, as the metadata of a recording say it:
 *
 *     [{"step":12,"seed":"7","sampler":{...},"edits":[{"position":3,"from":17,"to":null}]}]
 *
 * with the members of vkdlm_trajectory_resumption, null in place of -1. */
#include "trajectory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "format/json.h"

#define KEY "resumptions"

enum { NAME_BYTES = 96 };

void resumptions_free(vkdlm_trajectory_resumption *list, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        free((void *)list[i].edits);
        free((void *)list[i].sampler);
    }
    free(list);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static vkdlm_status out_of_memory(const char *path, vkdlm_error *err)
{
    return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "'%s': out of memory reading " KEY, path);
}

/* An id, or null (also a member that is absent) for -1. */
static vkdlm_status read_id(const json_scope *scope, const char *key, int32_t *out, vkdlm_error *err)
{
    int64_t id;
    vkdlm_status status = json_get_integer_or(scope, key, 0, INT32_MAX, -1, &id, err);
    if (!status)
        *out = (int32_t)id;
    return status;
}

static vkdlm_status read_edit(const json_scope *scope, int64_t least, int64_t most,
                              vkdlm_trajectory_edit *out, vkdlm_error *err)
{
    int64_t position;
    vkdlm_status status = json_get_integer(scope, "position", least, most, &position, err);
    if (status)
        return status;
    out->position = (uint32_t)position;
    status = read_id(scope, "from", &out->from, err);
    return status ? status : read_id(scope, "to", &out->to, err);
}

/* The object that an entry of a list is; name receives what messages call it. */
static vkdlm_status enter(const json_scope *root, const char *list_name, const json_t *list, size_t index,
                          char name[NAME_BYTES], json_scope *out, vkdlm_error *err)
{
    snprintf(name, NAME_BYTES, "%.70s[%zu]", list_name, index);
    *out =
        (json_scope){.object = json_array_get(list, index), .file = root->file, .name = name, .parent = root};
    if (json_is_object(out->object))
        return VKDLM_OK;
    char found[128];
    json_describe(out->object, found, sizeof found);
    return error_set(err, VKDLM_MALFORMED, "'%s': %s: expected an object, found %s", root->file, name, found);
}

/* n_positions: of the canvas; of a flow, tokens that may have been edited. */
static vkdlm_status read_edits(const json_scope *scope, int64_t n_positions, vkdlm_trajectory_resumption *out,
                               vkdlm_error *err)
{
    char list_name[NAME_BYTES];
    const json_t *list;
    vkdlm_status status = json_get_array(scope, "edits", &list, err);
    size_t n = status ? 0 : json_array_size(list);
    if (status || !n)
        return status;
    vkdlm_trajectory_edit *edits = calloc(n, sizeof *edits);
    if (!edits)
        return out_of_memory(scope->file, err);
    out->edits = edits;
    snprintf(list_name, sizeof list_name, "%s.edits", scope->name);
    for (size_t i = 0; i < n && !status; i++) {
        char name[NAME_BYTES];
        json_scope edit;
        status = enter(scope->parent, list_name, list, i, name, &edit, err);
        if (!status)
            status =
                read_edit(&edit, i ? (int64_t)edits[i - 1].position + 1 : 0, n_positions - 1, &edits[i], err);
    }
    out->n_edits = (uint32_t)n;
    return status;
}

static vkdlm_status read_seed(const json_scope *scope, uint64_t *out, vkdlm_error *err)
{
    const char *text, *p;
    vkdlm_status status = json_get_string(scope, "seed", &text, err);
    if (status)
        return status;
    uint64_t value = 0;
    for (p = text; *p >= '0' && *p <= '9'; p++) {
        const uint64_t digit = (uint64_t)(*p - '0');
        if (value > (UINT64_MAX - digit) / 10)
            break;
        value = value * 10 + digit;
    }
    *out = value;
    return *p || p == text ? json_refuse(scope, "seed", "a number below 2^64 as text", err) : VKDLM_OK;
}

static vkdlm_status read_one(const json_scope *scope, const vkdlm_trajectory_info *info, int64_t least,
                             vkdlm_trajectory_resumption *out, vkdlm_error *err)
{
    const bool flow = info->kind == VKDLM_TRAJECTORY_FLOW;
    json_scope sampler;
    int64_t step;
    vkdlm_status status =
        json_get_integer(scope, "step", least, flow ? info->n_tokens : info->n_steps, &step, err);
    if (status)
        return status;
    out->step = (uint32_t)step;
    status = read_seed(scope, &out->seed, err);
    if (!status)
        status = json_get_object(scope, "sampler", &sampler, err);
    if (!status && !(out->sampler = trajectory_json_text(sampler.object)))
        status = out_of_memory(scope->file, err);
    return status ? status : read_edits(scope, flow ? step + 1 : info->length, out, err);
}

vkdlm_status resumptions_read(const char *text, const char *path, const vkdlm_trajectory_info *info,
                              vkdlm_trajectory_resumption **out, uint32_t *n, vkdlm_error *err)
{
    char where[512];
    json_t *list = NULL;
    *out = NULL;
    *n = 0;
    if (!text)
        return VKDLM_OK;
    snprintf(where, sizeof where, "'%.400s': " KEY " in the metadata", path);
    vkdlm_status status = json_parse_array(text, strlen(text), where, &list, err);
    const size_t size = status ? 0 : json_array_size(list);
    if (size && !(*out = calloc(size, sizeof **out)))
        status = out_of_memory(path, err);
    const json_scope root = {.file = path};
    for (size_t i = 0; i < size && !status; i++) {
        char name[NAME_BYTES];
        json_scope scope;
        status = enter(&root, KEY, list, i, name, &scope, err);
        if (!status)
            status = read_one(&scope, info, i ? (int64_t)(*out)[i - 1].step + 1 : 0, &(*out)[i], err);
        *n = (uint32_t)i + 1;
    }
    json_decref(list);
    if (status) {
        resumptions_free(*out, *n);
        *out = NULL;
        *n = 0;
    }
    return status;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static json_t *write_id(int32_t id)
{
    return id < 0 ? json_null() : json_integer(id);
}

static json_t *write_edits(const vkdlm_trajectory_resumption *r)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < r->n_edits; i++) {
        json_t *edit = json_pack("{s:I,s:o,s:o}", "position", (json_int_t)r->edits[i].position, "from",
                                 write_id(r->edits[i].from), "to", write_id(r->edits[i].to));
        if (json_array_append_new(list, edit)) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

char *resumptions_write(const vkdlm_trajectory_resumption *list, uint32_t n, bool *bad)
{
    json_t *all = json_array();
    bool good = all != NULL;
    *bad = false;
    for (uint32_t i = 0; i < n && good; i++) {
        char seed[24];
        json_error_t why;
        json_t *sampler = list[i].sampler ? json_loads(list[i].sampler, 0, &why) : NULL;
        *bad = !json_is_object(sampler);
        if (*bad) {
            json_decref(sampler);
            break;
        }
        snprintf(seed, sizeof seed, "%" PRIu64, list[i].seed);
        good = !json_array_append_new(all,
                                      json_pack("{s:I,s:s,s:o,s:o}", "step", (json_int_t)list[i].step, "seed",
                                                seed, "sampler", sampler, "edits", write_edits(&list[i])));
    }
    char *text = good && !*bad ? trajectory_json_text(all) : NULL;
    json_decref(all);
    return text;
}

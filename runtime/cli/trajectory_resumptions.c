#include "trajectory_resumptions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "info_path.h"
#include "message.h"
#include "pieces.h"
#include "report.h"

/* ---- for programs -------------------------------------------------------------------------------------- */

static json_t *id_json(int32_t id)
{
    return id < 0 ? json_null() : json_integer(id);
}

static json_t *text_json(pieces *text, int32_t id)
{
    size_t size;
    char *one = id < 0 ? NULL : pieces_one(text, id, &size);
    json_t *out = one ? json_stringn(one, size) : json_null();
    free(one);
    return out;
}

static json_t *edits_json(const vkdlm_trajectory_resumption *r, pieces *text)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < r->n_edits; i++) {
        const vkdlm_trajectory_edit *e = &r->edits[i];
        json_t *edit = json_pack("{s:o,s:o,s:o,s:o,s:o}",               //
                                 "position", report_count(e->position), //
                                 "from", id_json(e->from),              //
                                 "to", id_json(e->to),                  //
                                 "from_text", text_json(text, e->from), //
                                 "to_text", text_json(text, e->to));
        if (json_array_append_new(list, edit)) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

json_t *trajectory_resumptions_json(const vkdlm_trajectory *trajectory)
{
    vkdlm_trajectory_info info;
    vkdlm_trajectory_get_info(trajectory, &info);
    pieces *text = pieces_create(NULL, trajectory);
    json_t *list = text ? json_array() : NULL;
    for (uint32_t i = 0; list && i < info.n_resumptions; i++) {
        const vkdlm_trajectory_resumption *r = &info.resumptions[i];
        char seed[24];
        snprintf(seed, sizeof seed, "%" PRIu64, r->seed);
        json_t *one = json_pack("{s:o,s:s,s:o,s:o}",                        //
                                "step", report_count(r->step),              //
                                "seed", seed,                               //
                                "sampler", json_loads(r->sampler, 0, NULL), //
                                "edits", edits_json(r, text));
        if (json_array_append_new(list, one)) {
            json_decref(list);
            list = NULL;
        }
    }
    pieces_destroy(text);
    return list;
}

/* ---- for people ---------------------------------------------------------------------------------------- */

/* "17 'light'", its line feeds as \n; what `none` says without a token. */
static void describe_token(pieces *text, int32_t id, const char *none, char *out, size_t size)
{
    size_t n, at;
    char *one = id < 0 ? NULL : pieces_one(text, id, &n);
    if (!one) {
        snprintf(out, size, "%s", none);
        return;
    }
    at = (size_t)snprintf(out, size, "%" PRId32 " '", id);
    for (size_t i = 0; i < n && at + 4 < size; i++) {
        if (one[i] == '\n')
            out[at++] = '\\';
        out[at++] = one[i] == '\n' ? 'n' : one[i];
    }
    out[at++] = '\'';
    out[at] = 0;
    free(one);
}

static vkdlm_status report_edit(const vkdlm_trajectory_edit *e, pieces *text, bool flow, vkdlm_error *err)
{
    char from[128], to[128], line[320];
    describe_token(text, e->from, flow ? "nothing" : "masked", from, sizeof from);
    describe_token(text, e->to, flow ? "drawn anew" : "masked again", to, sizeof to);
    snprintf(line, sizeof line, "position %" PRIu32 ": %s -> %s", e->position, from, to);
    return info_report_field("  edit", line, err);
}

/* What the options of a resumption are beside those before; to be freed, NULL when out of memory. */
static char *describe_options(const char *before, const char *now)
{
    static const char *const places[] = {"first_step", "first_time", "first_token"};
    json_t *a = json_loads(before, 0, NULL), *b = json_loads(now, 0, NULL);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        json_object_del(a, places[i]);
        json_object_del(b, places[i]);
    }
    char *out = a && json_equal(a, b) ? strdup("as before") : b ? json_dumps(b, JSON_COMPACT) : NULL;
    json_decref(a);
    json_decref(b);
    return out;
}

static vkdlm_status report_one(const vkdlm_trajectory_info *info, uint32_t index, pieces *text,
                               vkdlm_error *err)
{
    const vkdlm_trajectory_resumption *r = &info->resumptions[index];
    const bool flow = info->kind == VKDLM_TRAJECTORY_FLOW;
    char edits[32] = "", line[128];
    if (r->n_edits)
        snprintf(edits, sizeof edits, " with %" PRIu32 " edit%s", r->n_edits, r->n_edits == 1 ? "" : "s");
    snprintf(line, sizeof line, "from %s %" PRIu32 "%s, seed %" PRIu64, flow ? "token" : "step", r->step,
             edits, r->seed);
    vkdlm_status status = info_report_field("went on", line, err);
    for (uint32_t i = 0; i < r->n_edits && !status; i++)
        status = report_edit(&r->edits[i], text, flow, err);
    if (status)
        return status;
    char *options =
        describe_options(index ? info->resumptions[index - 1].sampler : info->sampler, r->sampler);
    status = options ? info_report_field("  options", options, err)
                     : message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for the options");
    free(options);
    return status;
}

vkdlm_status trajectory_resumptions_report(const vkdlm_trajectory *trajectory, vkdlm_error *err)
{
    vkdlm_trajectory_info info;
    vkdlm_trajectory_get_info(trajectory, &info);
    pieces *text = pieces_create(NULL, trajectory);
    vkdlm_status status =
        text ? VKDLM_OK
             : message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for the text of tokens");
    for (uint32_t i = 0; i < info.n_resumptions && !status; i++)
        status = report_one(&info, i, text, err);
    pieces_destroy(text);
    return status;
}

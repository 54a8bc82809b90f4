#include "trajectory_export.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "report.h"

uint32_t trajectory_export_count(const trajectory_export *e)
{
    return e->info.kind == VKDLM_TRAJECTORY_MASKED ? e->info.n_steps + 1 : e->info.n_tokens;
}

/* The text of a token, freed with free(); NULL when out of memory. */
static char *text_of(const trajectory_export *e, int32_t id, size_t *size)
{
    *size = strlen(DECODE_MASK);
    return id >= 0 && id == e->info.mask_id ? strdup(DECODE_MASK) : pieces_one(e->text, id, size);
}

/* ---- CSV -------------------------------------------------------------------------------------------- */

static bool print_number(FILE *out, double value)
{
    return isnan(value) ? fputc(',', out) != EOF : fprintf(out, ",%.9g", value) > 0;
}

/* In quotes, which are doubled inside; on a terminal without what could steer it. */
static bool print_text(const trajectory_export *e, int32_t id)
{
    size_t size;
    char *text = text_of(e, id, &size);
    vkdlm_error err;
    bool good = text && fputs(",\"", e->out) != EOF;
    for (size_t i = 0; good && i < size;) {
        const char *quote = memchr(text + i, '"', size - i);
        size_t n = quote ? (size_t)(quote - text) + 1 - i : size - i;
        good = !report_text_to(e->out, text + i, n, &err) && (!quote || fputc('"', e->out) != EOF);
        i += n;
    }
    free(text);
    return good && fputc('"', e->out) != EOF;
}

static bool print_candidates(const trajectory_export *e, const int32_t *ids, const float *probs)
{
    bool good = true;
    for (uint32_t k = 0; good && k < e->info.n_candidates; k++) {
        bool there = ids && ids[k] >= 0;
        good = there ? fprintf(e->out, ",%" PRId32, ids[k]) > 0 && print_text(e, ids[k]) &&
                           print_number(e->out, (double)probs[k])
                     : fputs(",,,", e->out) != EOF;
    }
    return good && fputc('\n', e->out) != EOF;
}

bool trajectory_export_heading(const trajectory_export *e)
{
    const char *names = e->info.kind == VKDLM_TRAJECTORY_MASKED
                            ? "step,time,nfe,position,token,text,changed,confidence,entropy"
                            : "token_index,evaluation,t,xhat_id,text,entropy,wd_norm,x_norm,device_ns";
    bool good = fputs(names, e->out) != EOF;
    for (uint32_t k = 1; good && k <= e->info.n_candidates; k++)
        good = fprintf(e->out, ",top%" PRIu32 "_id,top%" PRIu32 "_text,top%" PRIu32 "_prob", k, k, k) > 0;
    return good && fputc('\n', e->out) != EOF;
}

static bool print_step(const trajectory_export *e, uint32_t step)
{
    const uint32_t n_candidates = e->info.n_candidates;
    vkdlm_trajectory_step s;
    bool good = vkdlm_trajectory_get_step(e->trajectory, step, &s);
    for (uint32_t i = 0; good && i < e->info.length; i++) {
        bool changed = s.previous && s.previous[i] != s.tokens[i];
        size_t first = (size_t)i * n_candidates;
        good = fprintf(e->out, "%" PRIu32 ",%.9g,%" PRId32 ",%" PRIu32 ",%" PRId32, step, (double)s.time,
                       s.evaluations, i, s.tokens[i]) > 0 &&
               print_text(e, s.tokens[i]) && fprintf(e->out, ",%d", changed) > 0 &&
               print_number(e->out, s.confidence ? (double)s.confidence[i] : NAN) &&
               print_number(e->out, s.entropy ? (double)s.entropy[i] : NAN) &&
               print_candidates(e, s.topk_ids ? s.topk_ids + first : NULL,
                                s.topk_probs ? s.topk_probs + first : NULL);
    }
    return good;
}

static double norm_of(const float *x, uint32_t n)
{
    double squares = 0;
    for (uint32_t i = 0; i < n; i++)
        squares += (double)x[i] * (double)x[i];
    return sqrt(squares);
}

static bool print_token(const trajectory_export *e, uint32_t token)
{
    uint32_t first = vkdlm_trajectory_first_evaluation(e->trajectory, token);
    uint32_t end = vkdlm_trajectory_first_evaluation(e->trajectory, token + 1);
    bool good = true;
    for (uint32_t i = first; good && i < end; i++) {
        vkdlm_trajectory_evaluation v;
        good = vkdlm_trajectory_get_evaluation(e->trajectory, i, &v) &&
               fprintf(e->out, "%" PRIu32 ",%" PRIu32 ",%.9g,%" PRId32, token, i - first, (double)v.time,
                       v.xhat_id) > 0 &&
               print_text(e, v.xhat_id) && print_number(e->out, (double)v.entropy) &&
               print_number(e->out, (double)v.wd_norm) && print_number(e->out, norm_of(v.x, e->info.dim)) &&
               fprintf(e->out, ",%" PRId64, v.device_ns) > 0 && print_candidates(e, v.topk_ids, v.topk_probs);
    }
    return good;
}

/* ---- JSON ------------------------------------------------------------------------------------------- */

static json_t *text_json(const trajectory_export *e, int32_t id)
{
    size_t size;
    char *text = text_of(e, id, &size);
    json_t *value = text ? json_stringn(text, size) : NULL;
    free(text);
    return value;
}

static json_t *candidates_json(const trajectory_export *e, const int32_t *ids, const float *probs)
{
    json_t *array = json_array();
    for (uint32_t k = 0; array && k < e->info.n_candidates && ids && ids[k] >= 0; k++)
        if (json_array_append_new(array,
                                  json_pack("{s:i,s:o,s:o}", "id", ids[k], "text", text_json(e, ids[k]),
                                            "probability", report_real((double)probs[k])))) {
            json_decref(array);
            return NULL;
        }
    return array;
}

/* Writes a line; takes the reference. */
static bool print_json(const trajectory_export *e, json_t *object)
{
    char *line = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    bool good = line && fprintf(e->out, "%s\n", line) > 0;
    free(line);
    json_decref(object);
    return good;
}

static bool print_step_json(const trajectory_export *e, uint32_t step)
{
    vkdlm_trajectory_step s;
    json_t *positions = json_array();
    bool good = positions && vkdlm_trajectory_get_step(e->trajectory, step, &s);
    for (uint32_t i = 0; good && i < e->info.length; i++) {
        size_t first = (size_t)i * e->info.n_candidates;
        json_t *object = json_pack("{s:i,s:o,s:b}", "token", s.tokens[i], "text", text_json(e, s.tokens[i]),
                                   "changed", (int)(s.previous && s.previous[i] != s.tokens[i]));
        bool evaluated = s.confidence && !isnan(s.confidence[i]);
        good =
            object && (!evaluated ||
                       (!json_object_set_new(object, "confidence", report_real((double)s.confidence[i])) &&
                        !json_object_set_new(object, "entropy", report_real((double)s.entropy[i])) &&
                        !json_object_set_new(object, "candidates",
                                             candidates_json(e, s.topk_ids + first, s.topk_probs + first))));
        good = !json_array_append_new(positions, object) && good;
    }
    if (!good) {
        json_decref(positions);
        return false;
    }
    return print_json(e, json_pack("{s:o,s:o,s:i,s:I,s:I,s:o}", "step", report_count(step), "time",
                                   report_real((double)s.time), "nfe", (int)s.evaluations, "host_ns",
                                   (json_int_t)s.host_ns, "device_ns", (json_int_t)s.device_ns, "positions",
                                   positions));
}

static json_t *state_json(const float *x, uint32_t n)
{
    json_t *array = json_array();
    for (uint32_t i = 0; array && i < n; i++)
        if (json_array_append_new(array, report_real((double)x[i]))) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static bool print_token_json(const trajectory_export *e, uint32_t token)
{
    uint32_t first = vkdlm_trajectory_first_evaluation(e->trajectory, token);
    uint32_t end = vkdlm_trajectory_first_evaluation(e->trajectory, token + 1);
    json_t *array = json_array();
    bool good = array;
    for (uint32_t i = first; good && i < end; i++) {
        vkdlm_trajectory_evaluation v;
        good = vkdlm_trajectory_get_evaluation(e->trajectory, i, &v);
        json_t *object = json_pack(
            "{s:o,s:i,s:o,s:o,s:o,s:I,s:o,s:o}", "t", report_real((double)v.time), "xhat_id", (int)v.xhat_id,
            "text", text_json(e, v.xhat_id), "entropy", report_real((double)v.entropy), "wd_norm",
            report_real((double)v.wd_norm), "device_ns", (json_int_t)v.device_ns, "candidates",
            candidates_json(e, v.topk_ids, v.topk_probs), "x", state_json(v.x, e->info.dim));
        good = !json_array_append_new(array, object) && good;
    }
    if (!good) {
        json_decref(array);
        return false;
    }
    int32_t id = e->info.tokens[token];
    return print_json(e, json_pack("{s:o,s:i,s:o,s:o}", "token_index", report_count(token), "token", (int)id,
                                   "text", text_json(e, id), "evaluations", array));
}

bool trajectory_export_step(const trajectory_export *e, uint32_t step)
{
    bool masked = e->info.kind == VKDLM_TRAJECTORY_MASKED;
    if (e->json)
        return masked ? print_step_json(e, step) : print_token_json(e, step);
    return masked ? print_step(e, step) : print_token(e, step);
}

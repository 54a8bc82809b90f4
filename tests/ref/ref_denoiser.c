#include "ref/ref_denoiser.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

enum { CACHE_SLOTS = 1 << 13, CACHE_BYTES = 32 << 20 };

/* Logits of one canvas at one noise level. */
typedef struct cache_entry {
    float sigma;
    uint32_t length;
    int32_t *tokens; /* NULL: free slot */
    double *logits;
} cache_entry;

typedef struct ref_denoiser {
    denoiser base;
    const ref_mdlm *net;
    uint32_t max_sequences;
    ref_token_law law;
    double *logits; /* of a canvas that is not kept, [length, V] */
    cache_entry *cache;
    size_t n_cached, n_cached_most;
} ref_denoiser;

static void *allocate(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);
    if (!p)
        abort();
    return p;
}

/* ---- tokens ----------------------------------------------------------------------------------------- */

static void sift(const double *key, uint32_t *heap, uint32_t root, uint32_t n)
{
    /* Heap with the least probable (of equals the highest id) on top. */
    for (;;) {
        uint32_t least = root;
        for (uint32_t child = 2 * root + 1; child <= 2 * root + 2 && child < n; child++) {
            double a = key[heap[child]], b = key[heap[least]];
            if (a < b || (a == b && heap[child] > heap[least]))
                least = child;
        }
        if (least == root)
            return;
        uint32_t swap = heap[root];
        heap[root] = heap[least];
        heap[least] = swap;
        root = least;
    }
}

static void sort_falling(const double *key, uint32_t *ids, uint32_t n)
{
    for (uint32_t i = n / 2; i-- > 0;)
        sift(key, ids, i, n);
    for (uint32_t end = n; end-- > 1;) {
        uint32_t least = ids[0];
        ids[0] = ids[end];
        ids[end] = least;
        sift(key, ids, 0, end);
    }
}

/* Makes the kept log-probabilities sum to one. */
static void normalize(ref_token_law *law)
{
    double max = law->log_probs[law->kept[0]], sum = 0;
    for (uint32_t i = 0; i < law->n_kept; i++)
        sum += exp(law->log_probs[law->kept[i]] - max);
    for (uint32_t i = 0; i < law->n_kept; i++)
        law->log_probs[law->kept[i]] -= max + log(sum);
}

static void keep(ref_token_law *law, uint32_t n)
{
    for (uint32_t i = n; i < law->n_kept; i++)
        law->log_probs[law->kept[i]] = -INFINITY;
    law->n_kept = n;
    normalize(law);
}

void ref_token_law_compute(ref_token_law *law, const double *logits, int32_t mask_id, double temperature,
                           uint32_t top_k, double top_p)
{
    law->n_kept = 0;
    for (uint32_t v = 0; v < law->vocab_size; v++) {
        law->log_probs[v] = (int32_t)v == mask_id ? -INFINITY : logits[v] / temperature;
        if ((int32_t)v != mask_id)
            law->kept[law->n_kept++] = v;
    }
    sort_falling(law->log_probs, law->kept, law->n_kept);
    keep(law, top_k && top_k < law->n_kept ? top_k : law->n_kept);
    if (top_p < 1) {
        uint32_t n = 0;
        for (double sum = 0; n < law->n_kept && sum < top_p; n++)
            sum += exp(law->log_probs[law->kept[n]]);
        keep(law, n);
    }
}

int32_t ref_token_draw(const ref_token_law *law, uint64_t seed, uint32_t position, uint32_t step,
                       uint32_t sample)
{
    double best = -INFINITY;
    uint32_t token = law->kept[0];
    for (uint32_t i = 0; i < law->n_kept; i++) {
        uint32_t v = law->kept[i];
        rng_block block = rng_philox(seed, v / 4, position, rng_counter2(RNG_TOKEN, step), sample);
        double u = (block.word[v % 4] + 0.5) * 0x1p-32;
        double score = law->log_probs[v] - log(-log1p(-u));
        if (score > best || (score == best && v < token)) {
            best = score;
            token = v;
        }
    }
    return (int32_t)token;
}

/* ---- denoiser --------------------------------------------------------------------------------------- */

static uint64_t hash_canvas(const eval_sequence *s, float sigma)
{
    uint32_t bits;
    memcpy(&bits, &sigma, sizeof bits);
    uint64_t hash = 14695981039346656037u ^ bits;
    for (uint32_t i = 0; i < s->length; i++)
        hash = (hash ^ (uint32_t)s->tokens[i]) * 1099511628211u;
    return hash ^ hash >> 29;
}

/* [length, V]; valid until the next call. */
static const double *logits_of(ref_denoiser *d, const eval_sequence *s)
{
    float sigma = d->net->time_conditioning ? s->sigma : 0;
    size_t bytes = s->length * sizeof *s->tokens;
    uint64_t slot = hash_canvas(s, sigma);
    cache_entry *entry;
    for (;; slot++) {
        entry = &d->cache[slot % CACHE_SLOTS];
        if (!entry->tokens)
            break;
        if (entry->sigma == sigma && entry->length == s->length &&
            memcmp(entry->tokens, s->tokens, bytes) == 0)
            return entry->logits;
    }
    if (d->n_cached == d->n_cached_most) {
        ref_mdlm_forward(d->net, s->tokens, s->length, (double)sigma, NULL, d->logits);
        return d->logits;
    }
    d->n_cached++;
    *entry = (cache_entry){.sigma = sigma, .length = s->length};
    entry->tokens = allocate(1, bytes);
    memcpy(entry->tokens, s->tokens, bytes);
    entry->logits = allocate((size_t)s->length * d->net->vocab_size, sizeof *entry->logits);
    ref_mdlm_forward(d->net, s->tokens, s->length, (double)sigma, NULL, entry->logits);
    return entry->logits;
}

static eval_result result_of(ref_denoiser *d, const eval_request *request, const eval_row *row,
                             const double *logits)
{
    bool score = row->mode == EVAL_SCORE;
    ref_token_law_compute(&d->law, logits, d->base.mask_id, score ? 1 : (double)request->temperature,
                          score ? 0 : request->top_k, score ? 1 : (double)request->top_p);
    int32_t token = (int32_t)d->law.kept[0];
    if (row->mode == EVAL_DRAW)
        token = ref_token_draw(&d->law, request->seed, row->position, row->step, row->sample);
    else if (score)
        token = row->target;
    double entropy = 0;
    for (uint32_t i = 0; i < d->law.n_kept; i++) {
        double log_prob = d->law.log_probs[d->law.kept[i]];
        entropy -= exp(log_prob) * log_prob;
    }
    return (eval_result){
        .token = token, .log_prob = (float)d->law.log_probs[token], .entropy = (float)entropy};
}

static vkdlm_status evaluate(denoiser *self, const eval_request *request, eval_result *results,
                             vkdlm_error *err)
{
    (void)err;
    ref_denoiser *d = (ref_denoiser *)self;
    uint32_t sequence = UINT32_MAX;
    const double *logits = NULL;
    for (uint32_t i = 0; i < request->n_rows; i++) {
        const eval_row *row = &request->rows[i];
        if (row->sequence != sequence)
            logits = logits_of(d, &request->sequences[row->sequence]);
        sequence = row->sequence;
        results[i] = result_of(d, request, row, logits + (size_t)row->position * d->net->vocab_size);
        for (uint32_t k = 0; k < request->n_candidates; k++) {
            candidate *to = &request->candidates[(size_t)i * request->n_candidates + k];
            uint32_t v = k < d->law.n_kept ? d->law.kept[k] : 0;
            *to = k < d->law.n_kept ? (candidate){(int32_t)v, (float)d->law.log_probs[v]}
                                    : (candidate){-1, -INFINITY};
        }
    }
    if (request->device_ns)
        *request->device_ns = 0;
    self->counters.submissions++;
    self->counters.output_rows += request->n_rows;
    for (uint32_t i = 0; i < request->n_sequences; i++)
        self->counters.network_rows += request->sequences[i].length;
    return VKDLM_OK;
}

static uint32_t max_sequences(void *self, uint32_t length)
{
    (void)length;
    return ((const ref_denoiser *)self)->max_sequences;
}

denoiser *ref_denoiser_create(const ref_mdlm *net, uint32_t n_sequences)
{
    ref_denoiser *d = allocate(1, sizeof *d);
    size_t cells = (size_t)net->length * net->vocab_size;
    d->net = net;
    d->max_sequences = n_sequences;
    d->law.vocab_size = net->vocab_size;
    d->law.kept = allocate(net->vocab_size, sizeof *d->law.kept);
    d->law.log_probs = allocate(net->vocab_size, sizeof *d->law.log_probs);
    d->logits = allocate(cells, sizeof *d->logits);
    d->cache = allocate(CACHE_SLOTS, sizeof *d->cache);
    d->n_cached_most = CACHE_BYTES / (cells * sizeof(double));
    if (d->n_cached_most > CACHE_SLOTS / 2)
        d->n_cached_most = CACHE_SLOTS / 2;
    d->base = (denoiser){.self = d,
                         .vocab_size = net->vocab_size,
                         .mask_id = (int32_t)net->vocab_size - 1,
                         .max_length = net->length,
                         .time_conditioning = net->time_conditioning,
                         .max_sequences = max_sequences,
                         .evaluate = evaluate};
    return &d->base;
}

void ref_denoiser_destroy(denoiser *self)
{
    ref_denoiser *d = (ref_denoiser *)self;
    if (!d)
        return;
    for (size_t i = 0; i < CACHE_SLOTS; i++) {
        free(d->cache[i].tokens);
        free(d->cache[i].logits);
    }
    free(d->cache);
    free(d->logits);
    free(d->law.log_probs);
    free(d->law.kept);
    free(d);
}

#include "text/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "text/byte_level.h"

/* Words up to this many symbols are merged by scanning an array for the best pair; beyond it a heap is
 * faster and keeps the time from growing with the square of the length. */
#define SCAN_MAX 48

#define NO_RANK UINT32_MAX

struct bpe_symbol {
    int32_t id;         /* -1 once merged into the symbol before it */
    int32_t prev, next; /* -1 at the ends */
};

struct bpe_candidate {
    uint32_t rank;
    int32_t position; /* of the left symbol */
    int32_t id;       /* that the pair becomes */
};

vkdlm_status bpe_init(bpe *model, size_t n_merges, vkdlm_error *err)
{
    *model = (bpe){.unk_id = -1};
    size_t n_slots = 16;
    while (n_slots / 2 < n_merges)
        n_slots *= 2;
    model->merges = malloc(n_slots * sizeof *model->merges);
    if (!model->merges)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for %zu merges", n_merges);
    model->n_slots = n_slots;
    model->seed = (uint64_t)(uintptr_t)model->merges;
    for (size_t i = 0; i < n_slots; i++)
        model->merges[i].left = -1;
    return VKDLM_OK;
}

void bpe_deinit(bpe *model)
{
    free(model->merges);
    *model = (bpe){0};
}

/* Slot that holds the pair, or the free slot where it belongs. */
static bpe_merge *slot_of(const bpe *model, int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) ^ model->seed;
    h *= 0x9E3779B97F4A7C15u;
    h ^= h >> 32;
    h *= 0xD6E8FEB86659FD93u;
    size_t mask = model->n_slots - 1;
    size_t i = (size_t)(h >> 32) & mask;
    while (model->merges[i].left >= 0 && (model->merges[i].left != left || model->merges[i].right != right))
        i = (i + 1) & mask;
    return &model->merges[i];
}

static vkdlm_status token_of(const vocab *v, const char *string, size_t size, uint32_t rank, int32_t *id,
                             vkdlm_error *err)
{
    const vocab_token *token = vocab_find(v, string, size);
    if (!token)
        return error_set(err, VKDLM_MALFORMED, "merge %u: '%.*s' is not in the vocabulary", rank,
                         (int)(size < 64 ? size : 64), string);
    *id = token->id;
    return VKDLM_OK;
}

vkdlm_status bpe_add_merge(bpe *model, const vocab *v, uint32_t rank, const char *left, size_t left_size,
                           const char *right, size_t right_size, vkdlm_error *err)
{
    text_bytes joined = {0};
    bpe_merge merge = {.rank = rank};
    vkdlm_status status = token_of(v, left, left_size, rank, &merge.left, err);
    if (!status)
        status = token_of(v, right, right_size, rank, &merge.right, err);
    if (status)
        return status;
    if (text_bytes_reserve(&joined, left_size + right_size + 1) &&
        text_bytes_append(&joined, left, left_size) && text_bytes_append(&joined, right, right_size))
        status = token_of(v, joined.data, joined.size, rank, &merge.id, err);
    else
        status = error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "out of memory for merge %u", rank);
    text_bytes_deinit(&joined);
    if (!status)
        *slot_of(model, merge.left, merge.right) = merge;
    return status;
}

bool bpe_set_bytes(bpe *model, const vocab *v)
{
    bool complete = true;
    for (int b = 0; b < 256; b++) {
        char byte = (char)b;
        char spelling[BYTE_LEVEL_MAX];
        size_t size = byte_level_spell(&byte, 1, spelling);
        const vocab_token *token = vocab_find(v, spelling, size);
        model->byte_ids[b] = token ? token->id : -1;
        complete = complete && token;
    }
    for (uint32_t i = 0; i < v->n_tokens; i++)
        if (v->tokens[i].size > model->max_token_size)
            model->max_token_size = v->tokens[i].size;
    return complete;
}

void bpe_scratch_deinit(bpe_scratch *scratch)
{
    free(scratch->symbols);
    free(scratch->heap);
    text_bytes_deinit(&scratch->spelling);
    *scratch = (bpe_scratch){0};
}

/* Room for n symbols and the candidates they can give: n - 1 pairs, and two for each of n - 1 merges. */
static bool scratch_reserve(bpe_scratch *scratch, size_t n)
{
    if (scratch->capacity >= n)
        return true;
    free(scratch->symbols);
    free(scratch->heap);
    scratch->capacity = 0;
    scratch->symbols = calloc(n, sizeof *scratch->symbols);
    scratch->heap = calloc(n, 3 * sizeof *scratch->heap);
    if (!scratch->symbols || !scratch->heap)
        return false;
    scratch->capacity = n;
    return true;
}

/* The tokens of single bytes; at most n. */
static size_t initial_ids(const bpe *model, const char *word, size_t n, int32_t *ids)
{
    size_t count = 0;
    bool in_unk = false;
    for (size_t i = 0; i < n; i++) {
        int32_t id = model->byte_ids[(unsigned char)word[i]];
        if (id >= 0) {
            ids[count++] = id;
            in_unk = false;
        } else if (model->unk_id >= 0) {
            if (!in_unk || !model->fuse_unk)
                ids[count++] = model->unk_id;
            in_unk = true;
        }
    }
    return count;
}

/* Rank of the pair and *id it becomes, NO_RANK when no merge joins it. */
static uint32_t pair_rank(const bpe *model, int32_t left, int32_t right, int32_t *id)
{
    const bpe_merge *merge = slot_of(model, left, right);
    if (merge->left < 0)
        return NO_RANK;
    *id = merge->id;
    return merge->rank;
}

/* Merges in place; returns the number of ids left. n is 1 to SCAN_MAX. */
static size_t merge_by_scanning(const bpe *model, int32_t *ids, size_t n)
{
    uint32_t ranks[SCAN_MAX]; /* of the pair i, i + 1 */
    int32_t joined[SCAN_MAX];
    for (size_t i = 0; i + 1 < n; i++)
        ranks[i] = pair_rank(model, ids[i], ids[i + 1], &joined[i]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (ranks[i] < ranks[best])
                best = i;
        if (ranks[best] == NO_RANK)
            break;
        ids[best] = joined[best];
        size_t after = n - best - 2; /* ids behind the pair */
        memmove(ids + best + 1, ids + best + 2, after * sizeof *ids);
        n--;
        if (after) {
            memmove(ranks + best + 1, ranks + best + 2, (after - 1) * sizeof *ranks);
            memmove(joined + best + 1, joined + best + 2, (after - 1) * sizeof *joined);
            ranks[best] = pair_rank(model, ids[best], ids[best + 1], &joined[best]);
        }
        if (best > 0)
            ranks[best - 1] = pair_rank(model, ids[best - 1], ids[best], &joined[best - 1]);
    }
    return n;
}

static bool before(bpe_candidate a, bpe_candidate b)
{
    return a.rank < b.rank || (a.rank == b.rank && a.position < b.position);
}

static void heap_push(bpe_candidate *heap, size_t *n, bpe_candidate item)
{
    size_t i = (*n)++;
    while (i > 0 && before(item, heap[(i - 1) / 2])) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = item;
}

static bpe_candidate heap_pop(bpe_candidate *heap, size_t *n)
{
    bpe_candidate top = heap[0];
    bpe_candidate item = heap[--(*n)];
    size_t i = 0;
    for (size_t child = 1; child < *n; child = 2 * i + 1) {
        if (child + 1 < *n && before(heap[child + 1], heap[child]))
            child++;
        if (!before(heap[child], item))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = item;
    return top;
}

/* Puts the pair that starts at `position` on the heap when a merge joins it. */
static void push_pair(const bpe *model, bpe_scratch *scratch, size_t *n_heap, int32_t position)
{
    const bpe_symbol *symbol = &scratch->symbols[position];
    bpe_candidate candidate = {.position = position};
    if (symbol->next < 0)
        return;
    candidate.rank = pair_rank(model, symbol->id, scratch->symbols[symbol->next].id, &candidate.id);
    if (candidate.rank != NO_RANK)
        heap_push(scratch->heap, n_heap, candidate);
}

/* Merges ids, n of them, by a heap of candidates over a linked list; returns the number left. */
static size_t merge_by_heap(const bpe *model, bpe_scratch *scratch, int32_t *ids, size_t n)
{
    bpe_symbol *symbols = scratch->symbols;
    size_t n_heap = 0;
    for (size_t i = 0; i < n; i++)
        symbols[i] = (bpe_symbol){ids[i], (int32_t)i - 1, i + 1 < n ? (int32_t)i + 1 : -1};
    for (size_t i = 0; i + 1 < n; i++)
        push_pair(model, scratch, &n_heap, (int32_t)i);
    while (n_heap) {
        bpe_candidate top = heap_pop(scratch->heap, &n_heap);
        bpe_symbol *left = &symbols[top.position];
        if (left->id < 0 || left->next < 0)
            continue;
        bpe_symbol *right = &symbols[left->next];
        int32_t id = -1;
        /* A candidate is stale when one of its symbols has been merged since. */
        if (pair_rank(model, left->id, right->id, &id) == NO_RANK || id != top.id)
            continue;
        left->id = id;
        left->next = right->next;
        right->id = -1;
        if (left->next >= 0)
            symbols[left->next].prev = top.position;
        if (left->prev >= 0)
            push_pair(model, scratch, &n_heap, left->prev);
        push_pair(model, scratch, &n_heap, top.position);
    }
    size_t count = 0;
    for (int32_t i = 0; i >= 0; i = symbols[i].next)
        ids[count++] = symbols[i].id;
    return count;
}

/* Id of the word as one token of the model's vocabulary, -1 when it is none; false when out of memory. */
static bool whole_word(const bpe *model, const vocab *v, bpe_scratch *scratch, const char *word, size_t n,
                       int32_t *id)
{
    *id = -1;
    if (n > model->max_token_size)
        return true;
    scratch->spelling.size = 0;
    if (!text_bytes_reserve(&scratch->spelling, BYTE_LEVEL_MAX * n))
        return false;
    size_t size = byte_level_spell(word, n, scratch->spelling.data);
    const vocab_token *token = vocab_find(v, scratch->spelling.data, size);
    if (token && token->flags & VOCAB_MODEL)
        *id = token->id;
    return true;
}

bool bpe_encode(const bpe *model, const vocab *v, bpe_scratch *scratch, const char *word, size_t n,
                text_ids *ids)
{
    if (model->ignore_merges) {
        int32_t id;
        if (!whole_word(model, v, scratch, word, n, &id))
            return false;
        if (id >= 0)
            return text_ids_push(ids, id);
    }
    if (!text_ids_reserve(ids, n))
        return false;
    int32_t *out = ids->data + ids->count;
    size_t count = initial_ids(model, word, n, out);
    if (count > SCAN_MAX) {
        if (!scratch_reserve(scratch, count))
            return false;
        count = merge_by_heap(model, scratch, out, count);
    } else if (count > 1) {
        count = merge_by_scanning(model, out, count);
    }
    ids->count += count;
    return true;
}

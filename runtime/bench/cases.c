/* Which rows there are, and which of them a pattern chooses. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

void bench_list_add(bench_list *list, const bench_case *one)
{
    if (list->n == list->capacity && !list->failed) {
        size_t capacity = list->capacity ? 2 * list->capacity : 128;
        bench_case *grown = realloc(list->cases, capacity * sizeof *grown);
        list->failed = !grown;
        if (grown) {
            list->cases = grown;
            list->capacity = capacity;
        }
    }
    if (!list->failed)
        list->cases[list->n++] = *one;
}

void bench_type_name(vkdlm_dtype dtype, char out[16])
{
    snprintf(out, 16, "%s", vkdlm_dtype_name(dtype));
    for (char *c = out; *c; c++)
        *c = (char)tolower((unsigned char)*c);
}

void bench_case_text(const bench_case *one, char out[BENCH_TEXT])
{
    char type[16] = "", shape[48] = "";
    if (one->typed)
        bench_type_name(one->dtype, type);
    if (one->m)
        snprintf(shape, sizeof shape, "%ux%ux%u", one->m, one->n, one->k);
    const char *const words[] = {one->group ? one->group->name : "model", type, shape, one->of};
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words && used < BENCH_TEXT; i++)
        if (*words[i])
            used += (size_t)snprintf(out + used, BENCH_TEXT - used, "%s%s", used ? " " : "", words[i]);
}

/* Whether the pattern that ends at `end` is found from `text` on, which `begin` stands in front of; at a
 * word's beginning if `word`. Of several gaps only the last one met has to be tried again: what stood before
 * it was found as early as possible. */
static bool finds(const char *pattern, const char *end, const char *begin, const char *text, bool word)
{
    const char *again = pattern, *from = text;
    bool at_word = word;
    for (;;) {
        if (pattern == end)
            return true;
        if (*pattern == '*' || *pattern == ' ') {
            at_word = *pattern == ' ';
            again = ++pattern;
            from = text;
        } else if (*text && (pattern != again || !at_word || text == begin || text[-1] == ' ') &&
                   (*pattern == '?' || tolower((unsigned char)*pattern) == tolower((unsigned char)*text))) {
            pattern++;
            text++;
        } else if (*from) {
            pattern = again;
            text = ++from;
        } else {
            return false;
        }
    }
}

bool bench_matches(const char *pattern, const char *text)
{
    for (;;) {
        pattern += strspn(pattern, " ");
        size_t n = strcspn(pattern, ",");
        if (n && finds(pattern, pattern + n, text, text, true))
            return true;
        if (!pattern[n])
            return false;
        pattern += n + 1;
    }
}

#include "ops/variants.h"

#include <assert.h>
#include <stdlib.h>

#include "base/size.h"
#include "ops/tune.h"

static_assert(TUNE_MAX_CANDIDATES <= VKDLM_MAX_VARIANTS, "every candidate is told");
static_assert((int)TUNE_FAILED == (int)VKDLM_VARIANT_FAILED && (int)TUNE_WRONG == (int)VKDLM_VARIANT_WRONG,
              "the states are the same");

static void tell(const tune_choice *choice, vkdlm_kernel_choice *out)
{
    const tune_table *table = tune_table_of(choice->key.group);
    *out = (vkdlm_kernel_choice){
        .group = table->name,
        .variant = choice->chosen < choice->n ? choice->candidates[choice->chosen].name : "none",
        .measured = choice->measured,
        .n_variants = choice->n,
    };
    table->describe(choice->key, out->problem);
    for (uint32_t i = 0; i < choice->n; i++) {
        const tune_candidate *c = &choice->candidates[i];
        out->variants[i] = (vkdlm_kernel_variant){c->name, (vkdlm_variant_state)c->state, c->us};
    }
}

static uint32_t tell_all(gpu_device *device, const gpu_caps *caps, const char *path,
                         vkdlm_kernel_choice *choices, uint32_t capacity)
{
    tune_choice *own = malloc(TUNE_MAX_CHOICES * sizeof *own);
    uint32_t n = 0;
    if (own)
        n = device ? tune_list(device, own, TUNE_MAX_CHOICES)
                   : tune_list_file(caps, path, own, TUNE_MAX_CHOICES);
    for (uint32_t i = 0; i < n && i < capacity; i++)
        tell(&own[i], &choices[i]);
    free(own);
    return n;
}

uint32_t variants_of_device(gpu_device *device, vkdlm_kernel_choice *choices, uint32_t capacity)
{
    return tell_all(device, NULL, NULL, choices, capacity);
}

uint32_t variants_of_file(const gpu_caps *caps, const char *path, vkdlm_kernel_choice *choices,
                          uint32_t capacity)
{
    return tell_all(NULL, caps, path, choices, capacity);
}

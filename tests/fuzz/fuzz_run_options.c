/* Options of runs as JSON. What is accepted can be written, and is the same when it is read again. */
#include <stdlib.h>
#include <string.h>

#include <vkdlm/trajectory.h>

#include "fuzz.h"

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void require_sentence(vkdlm_status status, const vkdlm_error *err)
{
    require(err->status == status && strstr(err->message, "'options'") && !strpbrk(err->message, "\r\n"));
}

static void read_masked(const char *json)
{
    vkdlm_generate_options options, again;
    vkdlm_error err = {0};
    vkdlm_status status = vkdlm_generate_options_read(json, &options, &err);
    if (status) {
        require_sentence(status, &err);
        return;
    }
    require(options.sampler < VKDLM_SAMPLER_COUNT && options.noise.schedule < VKDLM_SCHEDULE_COUNT);
    char *text = vkdlm_generate_options_write(&options);
    require(text && vkdlm_generate_options_read(text, &again, &err) == VKDLM_OK);
    char *same = vkdlm_generate_options_write(&again);
    require(same && !strcmp(text, same));
    free(same);
    free(text);
}

static void read_flow(const char *json)
{
    const vkdlm_flow_info model = {.present = true, .dim = 4};
    char temperature[VKDLM_TEMPERATURE_BYTES], other[VKDLM_TEMPERATURE_BYTES];
    vkdlm_complete_options options, again;
    vkdlm_error err = {0};
    vkdlm_status status = vkdlm_complete_options_read(json, &options, temperature, &err);
    if (status) {
        require_sentence(status, &err);
        return;
    }
    require(options.flow.solver < VKDLM_SOLVER_COUNT && options.flow.budget < VKDLM_BUDGET_COUNT);
    require(!options.flow.temperature || options.flow.temperature == temperature);
    char *text = vkdlm_complete_options_write(&options, &model);
    require(text && vkdlm_complete_options_read(text, &again, other, &err) == VKDLM_OK);
    char *same = vkdlm_complete_options_write(&again, &model);
    require(same && !strcmp(text, same));
    free(same);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *json = malloc(size + 1);
    require(json != NULL);
    if (size)
        memcpy(json, data, size);
    json[size] = 0;
    read_masked(json);
    read_flow(json);
    free(json);
    return 0;
}

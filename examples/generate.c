/* Generates a text with a masked diffusion model and reports every step: the smallest program that uses
 * vkdlm.
 *
 *   generate MODEL_DIRECTORY [PROMPT] */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vkdlm/vkdlm.h>

#define CANVAS_LENGTH 64
#define N_STEPS       16

/* Called after each evaluation of the network. Returning false would stop the run. */
static bool print_step(void *user, const vkdlm_step *step)
{
    (void)user;
    printf("step %" PRIu32 ": %" PRIu32 " tokens placed, %" PRIu32 " open\n", step->step, step->n_changed,
           step->n_masked);
    return true;
}

/* Called once the text is complete. */
static bool print_sample(void *user, const vkdlm_sample *sample)
{
    const vkdlm_model *model = user;
    vkdlm_text text;
    vkdlm_error error;

    if (vkdlm_detokenize(vkdlm_model_tokenizer(model), sample->tokens, sample->length, true, &text, &error) !=
        VKDLM_OK) {
        fprintf(stderr, "generate: %s\n", error.message);
        return false;
    }
    printf("%s\n", text.bytes);
    vkdlm_text_free(&text);
    return true;
}

/* Fills tokens[length] with the prompt's ids and then the mask, which marks the places to be filled. */
static vkdlm_status fill_canvas(const vkdlm_model *model, const char *prompt, int32_t *tokens,
                                uint32_t length, vkdlm_error *error)
{
    vkdlm_model_info info;
    vkdlm_ids ids = {NULL, 0};
    vkdlm_status status = vkdlm_tokenize(vkdlm_model_tokenizer(model), prompt, strlen(prompt),
                                         VKDLM_TOKENIZE_NO_SPECIAL, &ids, error);

    if (status != VKDLM_OK)
        return status;
    vkdlm_model_get_info(model, &info);
    for (uint32_t i = 0; i < length; i++)
        tokens[i] = i < ids.count ? ids.ids[i] : info.mask_id;
    vkdlm_ids_free(&ids);
    return VKDLM_OK;
}

int main(int argc, char **argv)
{
    vkdlm_device *device = NULL;
    vkdlm_model *model = NULL;
    vkdlm_session *session = NULL;
    int32_t tokens[CANVAS_LENGTH];
    const vkdlm_canvas canvas = {.tokens = tokens, .length = CANVAS_LENGTH};
    vkdlm_generate_options options = {.canvases = &canvas, .n_canvases = 1, .steps = N_STEPS, .seed = 1};
    vkdlm_generate_stats stats;
    vkdlm_error error;
    int exit_code = EXIT_FAILURE;

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: generate MODEL_DIRECTORY [PROMPT]\n");
        return 2;
    }
    if (vkdlm_device_open(NULL, &device, &error) != VKDLM_OK ||
        vkdlm_model_open(device, argv[1], NULL, &model, &error) != VKDLM_OK)
        goto fail;
    if (vkdlm_model_tokenizer(model) == NULL) {
        fprintf(stderr, "generate: %s has no tokenizer\n", argv[1]);
        goto close;
    }
    if (fill_canvas(model, argc > 2 ? argv[2] : "", tokens, CANVAS_LENGTH, &error) != VKDLM_OK ||
        vkdlm_session_create(model, &session, &error) != VKDLM_OK)
        goto fail;

    options.on_step = print_step;
    options.on_sample = print_sample;
    options.user = model;
    if (vkdlm_generate(session, &options, &stats, &error) != VKDLM_OK)
        goto fail;
    printf("%" PRIu64 " tokens by %" PRIu64 " evaluations in %.2f s\n", stats.tokens, stats.evaluations,
           stats.seconds);
    exit_code = EXIT_SUCCESS;
    goto close;

fail:
    fprintf(stderr, "generate: %s\n", error.message);
close:
    vkdlm_session_destroy(session);
    vkdlm_model_close(model);
    vkdlm_device_close(device);
    return exit_code;
}

#include "sample/complete_plan.h"

#include "base/error.h"
#include "base/size.h"

enum {
    DEFAULT_TOKENS = 128,
    /* More samples than this gain nothing and only delay the first. */
    AUTO_BATCH = 256,
};

static vkdlm_status check_prompt(const complete_plan *plan, const causal *network, uint32_t index,
                                 const vkdlm_complete_options *options, vkdlm_error *err)
{
    const vkdlm_canvas *prompt = &options->prompts[index];
    if (prompt->length == 0 || !prompt->tokens)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "prompt %u: expected 1 token or more, found none",
                         index);
    if (prompt->length >= plan->context)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "prompt %u: expected at most %u tokens, one below the model's context, found %u",
                         index, plan->context - 1, prompt->length);
    if (prompt->length <= plan->first_token)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "first_token: expected less than the %u tokens of prompt %u, found %u",
                         prompt->length, index, plan->first_token);
    uint32_t length = prompt->length - plan->first_token, room = plan->context - length;
    if (options->max_tokens > room)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--length: expected at most %u new tokens, which the model's context of %u leaves "
                         "prompt %u of %u, found %u",
                         room, plan->context, index, length, options->max_tokens);
    if (complete_plan_max_tokens(plan, index) <= plan->first_token)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "first_token: expected less than the %u new tokens of a sample, found %u",
                         complete_plan_max_tokens(plan, index), plan->first_token);
    for (uint32_t i = 0; i < prompt->length; i++) {
        int32_t token = prompt->tokens[i];
        if (token < 0 || (uint32_t)token >= network->vocab_size)
            return error_set(err, VKDLM_INVALID_ARGUMENT,
                             "prompt %u, position %u: expected a token from 0 to %u, found %d", index, i,
                             network->vocab_size - 1, token);
    }
    return VKDLM_OK;
}

static vkdlm_status plan_prompts(complete_plan *plan, const causal *network,
                                 const vkdlm_complete_options *options, vkdlm_error *err)
{
    if (options->n_prompts == 0 || !options->prompts)
        return error_set(err, VKDLM_INVALID_ARGUMENT, "--prompt: expected a prompt to continue, found none");
    plan->prompts = options->prompts;
    plan->context = network->context;
    plan->first_token = options->first_token;
    plan->max_tokens = options->max_tokens ? options->max_tokens : DEFAULT_TOKENS;
    for (uint32_t i = 0; i < options->n_prompts; i++) {
        vkdlm_status status = check_prompt(plan, network, i, options, err);
        if (status != VKDLM_OK)
            return status;
        uint32_t output = plan->prompts[i].length - plan->first_token + complete_plan_max_tokens(plan, i);
        plan->max_output = output > plan->max_output ? output : plan->max_output;
    }

    /* A sample's number is one word of the random counter. */
    const uint64_t limit = (uint64_t)1 << 32;
    plan->num_samples = options->num_samples ? options->num_samples : 1;
    uint64_t last = 0;
    if (!size_mul(options->n_prompts, plan->num_samples, &plan->n_samples) ||
        !size_add(options->first_sample, plan->n_samples, &last) || last > limit)
        return error_set(
            err, VKDLM_INVALID_ARGUMENT,
            "--num-samples: expected at most %llu samples in all, counted from the first sample's "
            "number %llu, found %llu for each of %u prompts",
            (unsigned long long)limit, (unsigned long long)options->first_sample,
            (unsigned long long)plan->num_samples, options->n_prompts);
    plan->first_stream = (uint32_t)options->first_sample;
    return VKDLM_OK;
}

vkdlm_status complete_plan_init(complete_plan *plan, const causal *network, const vkdlm_model_info *model,
                                const vkdlm_complete_options *options, vkdlm_error *err)
{
    *plan = (complete_plan){.seed = options->seed,
                            .end_ids = model->end_ids,
                            .n_end_ids = options->ignore_end ? 0 : model->n_end_ids};
    vkdlm_status status = plan_prompts(plan, network, options, err);
    if (status == VKDLM_OK && options->n_candidates > VKDLM_MAX_CANDIDATES)
        status = error_set(err, VKDLM_INVALID_ARGUMENT, "--top: expected at most %u candidates, found %u",
                           VKDLM_MAX_CANDIDATES, options->n_candidates);
    if (status == VKDLM_OK)
        status = token_law_init(&plan->law, options->greedy, options->temperature, options->top_k,
                                options->top_p, network->vocab_size, err);
    if (status == VKDLM_OK)
        status = flow_settings_init(&plan->flow, &options->flow, &model->flow, network, err);
    uint32_t most_tokens = 0;
    for (uint32_t i = 0; i < options->n_prompts && status == VKDLM_OK; i++) {
        uint32_t tokens = complete_plan_max_tokens(plan, i);
        most_tokens = tokens > most_tokens ? tokens : most_tokens;
    }
    if (status == VKDLM_OK)
        status = flow_settings_check_noise(&plan->flow, network->flow_dim, most_tokens, plan->n_samples, err);
    return status;
}

vkdlm_status complete_plan_batch(complete_plan *plan, const refiner *r, const causal *network,
                                 const vkdlm_complete_options *options, causal_capacity *capacity,
                                 vkdlm_error *err)
{
    /* The last token of a sample never goes through the network. */
    uint32_t context = plan->max_output - 1;
    *capacity = (causal_capacity){.sequences = 1,
                                  .context = context,
                                  .chunk_rows = u32_min(context, network->auto_rows),
                                  .held = 1,
                                  .rows = 1,
                                  .cut = plan->law.top_k != 0 || plan->law.top_p < 1,
                                  .cache_f16 = options->cache_f16};
    refiner_describe(r, capacity);
    uint32_t most = network->max_sequences(network->self, capacity);
    if (options->batch > 1 && options->batch > most)
        return error_set(err, VKDLM_INVALID_ARGUMENT,
                         "--batch: expected at most %u samples of %u tokens on this device, found %u", most,
                         plan->max_output, options->batch);
    /* When not even one fits, the reservation says what is missing. */
    uint32_t batch =
        options->batch ? options->batch : u32_min(u32_min(most ? most : 1, AUTO_BATCH), network->auto_rows);
    plan->batch = (uint32_t)u64_min(batch, plan->n_samples);
    uint64_t longest = (uint64_t)plan->batch * context;
    plan->chunk_rows = (uint32_t)u64_min(longest, network->auto_rows);
    plan->chunk_rows = plan->chunk_rows > plan->batch ? plan->chunk_rows : plan->batch;
    capacity->sequences = capacity->held = capacity->rows = plan->batch;
    capacity->chunk_rows = plan->chunk_rows;
    return VKDLM_OK;
}

uint32_t complete_plan_max_tokens(const complete_plan *plan, uint64_t prompt)
{
    return u32_min(plan->max_tokens, plan->context - (plan->prompts[prompt].length - plan->first_token));
}

bool complete_plan_ends(const complete_plan *plan, int32_t token)
{
    for (uint32_t i = 0; i < plan->n_end_ids; i++)
        if (plan->end_ids[i] == token)
            return true;
    return false;
}

// What the kernels of the output layer share: scores, and statistics that merge.
#ifndef OUTPUT_GLSL
#define OUTPUT_GLSL

#include "gumbel.glsl"
#include "philox.glsl"

// Stands for the logit of what is excluded: finite, so that differences are never NaN; its exponential is 0.
const float LOWEST = -3.0e38;

// Of some set of tokens with x = logit / temperature:
//   max, sum = sum exp(x - max), lean = sum exp(x - max) (x - max); entropy = log(sum) - lean / sum
//   the token of the largest score (x, or x + Gumbel noise), the lowest id of equals; x of the target token
struct Statistics {
    float max, sum, lean;
    float score;
    uint token;
    float x;
    float target;
};

// a's tokens have lower ids than b's, or equal scores are decided by id.
Statistics merge(Statistics a, Statistics b)
{
    Statistics r;
    r.max = max(a.max, b.max);
    float da = a.max - r.max, db = b.max - r.max;
    float ea = exp(da), eb = exp(db);
    r.sum = fma(a.sum, ea, b.sum * eb);
    r.lean = fma(fma(a.sum, da, a.lean), ea, fma(b.sum, db, b.lean) * eb);
    bool second = b.score > a.score || (b.score == a.score && b.token < a.token);
    r.score = second ? b.score : a.score;
    r.token = second ? b.token : a.token;
    r.x = second ? b.x : a.x;
    r.target = max(a.target, b.target);
    return r;
}

const Statistics NOTHING = Statistics(LOWEST, 0.0, 0.0, LOWEST, 0xFFFFFFFFu, LOWEST, LOWEST);

// The result of a row from the statistics of all its tokens.
output_result finish(Statistics s, int excluded)
{
    output_result r;
    // No score was comparable (NaN logits): still a token that exists, but no probability. Said outright, because not
    // every driver's exp and log hand a NaN on.
    bool none = s.token == 0xFFFFFFFFu;
    r.token = none ? (excluded == 0 ? 1 : 0) : int(s.token);
    r.target_logit = s.target;
    r.max = s.max;
    float log_sum = log(s.sum);
    r.log_sum_exp = s.max + log_sum;
    r.entropy = max(log_sum - s.lean / s.sum, 0.0);
    r.log_prob = none ? uintBitsToFloat(0x7FC00000u) : s.x - r.log_sum_exp;
    r.least = LOWEST;
    return r;
}

// x of tokens 4i .. 4i+3: LOWEST for the excluded token and past the vocabulary.
vec4 mask_excluded(vec4 x, uint i, uint vocab_size, int excluded)
{
    uvec4 token = 4 * i + uvec4(0, 1, 2, 3);
    bvec4 out_of_it = greaterThanEqual(token, uvec4(vocab_size));
    bvec4 the_one = equal(ivec4(token), ivec4(excluded));
    return mix(mix(x, vec4(LOWEST), out_of_it), vec4(LOWEST), the_one);
}

// Considers tokens 4i .. 4i+3, whose ids are above all that s has seen.
void add_scores(inout Statistics s, vec4 x, vec4 score, uint i)
{
    [[unroll]] for (uint c = 0; c < 4; c++)
        if (score[c] > s.score) {
            s.score = score[c];
            s.token = 4 * i + c;
            s.x = x[c];
        }
}

// exp(x - max), 0 for what is excluded.
vec4 weights_of(vec4 x, float max)
{
    return mix(exp(x - max), vec4(0.0), lessThanEqual(x, vec4(LOWEST)));
}

// Noise of tokens 4i .. 4i+3 of one row.
vec4 token_noise(uvec2 seed, output_draw d, uint i)
{
    return gumbel(philox(seed, uvec4(i, d.position, d.step & 0x0FFFFFFFu, d.sample_)));
}

#endif

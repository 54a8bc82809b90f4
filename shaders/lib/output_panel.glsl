// Statistics of one panel of 32 tokens, by one invocation in ascending order of tokens.
#ifndef OUTPUT_PANEL_GLSL
#define OUTPUT_PANEL_GLSL

#include "output.glsl"

// x of four tokens, defined by the kernel; i: a number of its own for the panel's first unit, and the seven behind it.
vec4 panel_x(uint i);

// at: the number of the panel's first unit; first: its first unit among all tokens.
Statistics panel_statistics(uint at, uint first, output_draw d, uvec2 seed)
{
    Statistics s = NOTHING;
    vec4 most = vec4(LOWEST), sum = vec4(0.0), lean = vec4(0.0);
    uint q = 0;
    do { // tested at its end: CPU drivers run the body once more where a loop is left at its top
        most = max(most, panel_x(at + q));
    } while (++q < 8);
    s.max = max(max(most.x, most.y), max(most.z, most.w));
    q = 0;
    do {
        vec4 x = panel_x(at + q), score = x;
        vec4 e = weights_of(x, s.max);
        sum += e;
        lean = fma(e, x - s.max, lean);
        if (d.draw != 0)
            score += token_noise(seed, d, first + q);
        add_scores(s, x, score, first + q);
    } while (++q < 8);
    s.sum = (sum.x + sum.y) + (sum.z + sum.w);
    s.lean = (lean.x + lean.y) + (lean.z + lean.w);
    uint target = uint(d.target) - first * 4;
    if (target < 32)
        s.target = panel_x(at + (target >> 2))[target & 3];
    return s;
}

#endif

// Activations, accurate to a few units in the last place and finite for every finite argument.
#ifndef ACTIVATION_GLSL
#define ACTIVATION_GLSL

// v / (1 + exp(e)); past e = 80 the quotient would be below |v| 2e-35 and is taken as 0.
vec4 sigmoid_gate(vec4 v, vec4 e)
{
    return mix(v / (1.0 + exp(min(e, vec4(80.0)))), vec4(0.0), greaterThan(e, vec4(80.0)));
}

// 0.5 v (1 + tanh(u)) = v / (1 + exp(-2u)), u = sqrt(2/pi) (v + 0.044715 v^3): no cancellation for negative v.
vec4 gelu(vec4 v)
{
    return sigmoid_gate(v, -1.5957691216057308 * v * fma(0.044715 * v, v, vec4(1.0)));
}

// v / (1 + exp(-v))
vec4 silu(vec4 v)
{
    return sigmoid_gate(v, -v);
}

#endif

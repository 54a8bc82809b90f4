// What the attention kernels and the rotary kernel share: the layout of queries, keys and values in slots.
//
// A slot is the place of one token of one sequence. Sequences take whole groups of ATTENTION_GROUP consecutive
// slots; the slots that fill up a sequence's last group are empty. Queries, keys and values are stored as
//   vec4 x[head][slot / 4][d], component = slot % 4,
// so that one 16-byte load yields one dimension of four neighbouring tokens.
//
// slots[s] = (row of the activations or EMPTY, position, first key slot, end of the key slots): what this token is
// and the half-open range of key slots that it attends to. Its own key lies in slot z + position.
#ifndef ATTENTION_GLSL
#define ATTENTION_GLSL

const uint EMPTY = 0xffffffffu;

// Index of x[head][slot / 4][0] for a head stride of `capacity` slots.
uint slot_vector(uint head, uint capacity, uint slot, uint dim)
{
    return (head * (capacity / 4) + slot / 4) * dim;
}

#endif

#!/bin/bash
# Converted models on a device: the logits of the model that they come from, and the commands that run them.
. "$(dirname "$0")/lib.sh"

new=$work/new.gguf
result=$work/result.safetensors
causal=(llama-tied llama-bf16 llama-untied qwen2)
masked=(tc notc)
# A slow driver: one of each.
if [[ -n ${VKDLM_TEST_QUICK:-} ]]; then
    causal=("${causal[0]}")
    masked=("${masked[0]}")
fi
for model in "${causal[@]}"; do
    expected=$GOLDEN/llm/$model/golden.safetensors
    ok quantize -m "$GOLDEN/llm/$model" -o "$new" --type f32 -q
    ok forward -m "$new" "$expected" -o "$result" -q
    "$TOOL" compare "$result" logits "$expected" logits 1e-4 > "$out" 2> "$err" || fail "$model: logits"
done
for model in "${masked[@]}"; do
    expected=$GOLDEN/mdlm/$model/expected.safetensors
    ok quantize -m "$GOLDEN/mdlm/$model" -o "$new" --type f32 -q
    ok forward -m "$new" "$expected" -o "$result" -q
    "$TOOL" compare "$result" logits "$expected" logits64 1e-4 > "$out" 2> "$err" || fail "$model: logits"
done

# The bundled masked model with quantised weights.
ok quantize -m kjv-mdlm -o "$new" --type q8_0 -q
ok info -m "$new"
matches "$out" '^can be run +yes$' "info"
ok generate -m "$new" --prompt "In the beginning" --length 12 --steps 4 --json -q
expect "$(head -1 "$out" | "$TOOL" json length)" 12 "tokens"
head -c 300 "$GOLDEN/kjv/heldout.txt" > "$work/text"
ok score -m "$new" --draws 1 --window 64 --json -q "$work/text"

# A diffusion path beside a quantised base.
ok quantize -m kjv-llama -o "$new" --type q8_0 -q
ok generate -m "$new" --l2d kjv-l2d -p "And it came to pass" --length 4 --steps 2 --json -q
expect "$(head -1 "$out" | "$TOOL" json length)" 10 "tokens"

# The path as a file of its own: the values of the directory's; in blocks, those of its values widened again.
l2d=$GOLDEN/l2d
wide=$work/wide.gguf
other=$work/other.safetensors
types=(q8_0 q4_0 q5_k_m)
cases=(llama-lora qwen2-lora-cfg qwen2-full llama-full)
if [[ -n ${VKDLM_TEST_QUICK:-} ]]; then
    types=(q4_0)
    cases=(qwen2-lora-cfg llama-full)
fi
for case in "${cases[@]}"; do
    "$TOOL" points "$l2d/$case/expected.safetensors" "$work/in.safetensors" "$work/expected.safetensors"
    ok forward -m "$l2d/$case" "$work/in.safetensors" -o "$other" -q
    ok quantize -m "$l2d/$case/l2d.safetensors" -o "$new" --type f32 -q
    ok forward -m "$l2d/$case" --l2d "$new" "$work/in.safetensors" -o "$result" -q
    "$TOOL" compare "$result" logits "$other" logits 0 > "$out" 2> "$err" || fail "$case: another path"
done
# The last case has full weights, in rows of 64 and of 256.
for type in "${types[@]}"; do
    ok quantize -m "$l2d/llama-full/l2d.safetensors" -o "$new" --type "$type" -q
    ok quantize -m "$new" -o "$wide" --type f32 -q
    ok forward -m "$l2d/llama-full" --l2d "$new" "$work/in.safetensors" -o "$result" -q
    ok forward -m "$l2d/llama-full" --l2d "$wide" "$work/in.safetensors" -o "$other" -q
    "$TOOL" compare "$result" logits "$other" logits 0 > "$out" 2> "$err" || fail "$type: other values"
    if "$TOOL" compare "$result" logits "$work/expected.safetensors" logits 1e-5 > "$out" 2> "$err"; then
        fail "$type: nothing is quantised"
    fi
done

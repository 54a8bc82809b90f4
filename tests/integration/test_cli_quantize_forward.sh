#!/bin/bash
# Converted models on a device: the logits of the model that they come from.
. "$(dirname "$0")/lib.sh"

new=$work/new.gguf
result=$work/result.safetensors
for model in llama-bf16 llama-tied llama-untied qwen2; do
    expected=$GOLDEN/llm/$model/golden.safetensors
    ok quantize -m "$GOLDEN/llm/$model" -o "$new" --type f32 -q
    ok forward -m "$new" "$expected" -o "$result" -q
    "$TOOL" compare "$result" logits "$expected" logits 1e-4 > "$out" 2> "$err" || fail "$model: logits"
done

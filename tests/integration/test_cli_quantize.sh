#!/bin/bash
# The command `quantize`: files, reports and mistakes. Needs no device.
. "$(dirname "$0")/lib.sh"

small=$GOLDEN/gguf/llama-tied-q4_k_m.gguf
mkdir "$work/folder"
new=$work/folder/new.gguf

# The library's types are those of the option.
for type in f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q2_k q3_k q4_k q5_k q6_k iq4_nl q4_k_m q5_k_m; do
    ok quantize -m "$small" -o "$new" --type $type --json
    expect "$(value type "$out")" $type "the type"
    expect "$(value tensors "$out")" 21 "$type: tensors"
    expect "$(value fell_back "$out")" "" "$type: what fell back"
    expect "$(value file_bytes "$out")" "$(stat -c %s "$new")" "$type: bytes of the file"
    ok info -m "$new" --json
    expect "$(value architecture "$out")" llama "$type: the new file"
done
expect "$(ls -A "$work/folder")" new.gguf "the folder"

# A model in the Hugging Face layout, its tokenizer with it.
ok quantize -m kjv-llama -o "$new" --type f16 --json
expect "$(n_lines "$out")" 1 "quantize --json: lines"
expect "$(value architecture "$out")" llama "the architecture"
expect "$(value types.F16 "$out")" 43 "matrices"
expect "$(value types.F32 "$out")" 13 "vectors"
expect "$(value tokenizer "$out")" true "the tokenizer"
expect "$(value no_tokenizer "$out")" null "the tokenizer"
text="In the beginning God created the heaven, 123 <|endoftext|> and the earth."
ok tokenize -m "$MODELS/kjv-llama" "$text"
cp "$out" "$work/ids"
ok tokenize --tokenizer "$new" "$text"
cmp -s "$out" "$work/ids" || fail "the tokenizer gives other ids"
ok info -m "$new"
matches "$out" '^llama.attention.head_count_kv 2$' "info of the new file"
matches "$out" '^blk\.5\.ffn_down\.weight +F16 +[0-9]+ +256 x 768$' "info of the new file"

# A masked model.
ok quantize -m kjv-mdlm -o "$new" --type q8_0 --json
expect "$(value architecture "$out")" mdlm "the architecture"
expect "$(value types.Q8_0 "$out")" 35 "matrices"
ok info -m "$new"
matches "$out" '^mdlm.context_length    256$' "info of a masked model"
matches "$out" '^tokenizer.ggml.mask_token_id 4096$' "info of a masked model"

# A diffusion path: a directory that holds nothing else, or its weights beside a base; with a type of blocks its LoRA
# is halves, and its timestep and modulation matrices are q8_0.
ok quantize -m kjv-l2d -o "$new" --type q4_0 --json
expect "$(value architecture "$out")" l2d "the architecture"
expect "$(value types.F16 "$out")" 60 "LoRA"
expect "$(value types.Q8_0 "$out")" 16 "timestep and modulation"
expect "$(value types.Q4_0 "$out")" 3 "other matrices"
expect "$(value tokenizer "$out")" false "the tokenizer"
ok info -m kjv-llama --l2d "$new" --json
expect "$(value runnable "$out")" true "the path beside its base"
expect "$(value l2d.path "$out")" "$new" "info of a path"
expect "$(value l2d.configuration.ode_kwargs.method "$out")" midpoint "info of a path"
ok info -m "$new"
matches "$out" "^can be run +no: .* found 'l2d', a diffusion path, which runs beside its base model$" "a path alone"
refuses 1 "found 'l2d', a diffusion path, which runs beside its base model" generate -m "$new"
refuses 1 "general.architecture: expected a diffusion path .l2d., found 'llama'" info -m kjv-llama --l2d "$small"
ok quantize -m "$GOLDEN/l2d/qwen2-full" -o "$new" --type f16 --json
expect "$(value architecture "$out")" qwen2 "the base of a directory that holds both"
ok quantize -m "$GOLDEN/l2d/qwen2-full/l2d.safetensors" -o "$new" --type f16 --json
expect "$(value architecture "$out")" l2d "the path of a directory that holds both"
refuses 1 "base_model_type: expected the base model's, \"llama\", found \"qwen2\"" generate -m kjv-llama --l2d "$new" --ids 1
ok quantize -m "$new" -o "$work/folder/again.gguf" --type q8_0 --json
expect "$(value architecture "$out")" l2d "a path from GGUF to GGUF"
rm "$work/folder/again.gguf"

# The report for people; rows that are no whole blocks.
ok quantize -m "$GOLDEN/llm/llama-tied" -o "$new" --type q4_k
matches "$out" ': llama, [0-9]+ parameters in 30 tensors, [0-9.]+ MB to [0-9.]+ MB \([0-9.]+ bits a weight\)$' "the report"
matches "$out" '^22 matrices took another type, their rows are no whole blocks \(--verbose lists them\)$' "the report"
matches "$out" "^no tokenizer: '.*': expected a tokenizer.json, found none$" "the report"
ok quantize -m "$GOLDEN/llm/llama-tied" -o "$new" --type q4_k --verbose
matches "$out" '^  blk\.0\.ffn_down\.weight: F16$' "the list of what fell back"
ok quantize -m "$GOLDEN/llm/llama-tied" -o "$new" --quiet
[[ ! -s $out ]] || fail "quantize --quiet says something"

# What cannot be converted leaves the old file as it was, and nothing else.
echo old > "$new"
mkdir "$work/path"
cp "$GOLDEN/l2d/llama-lora/l2d.json" "$work/path"
"$TOOL" model "$GOLDEN/l2d/llama-lora/l2d.safetensors" "$work/path/l2d.safetensors" extra model.layers.0.surprise
refuses 1 "tensor 'model.layers.0.surprise': expected one of a diffusion path" quantize -m "$work/path" -o "$new"
sed -i 's/"version": 1/"version": 2/' "$work/path/l2d.json"
refuses 1 "$work/path/l2d.json': version: expected 1, found 2" quantize -m "$work/path" -o "$new"
cp -r "$GOLDEN/llm/llama-bf16" "$work/nan"
rm "$work/nan/model.safetensors"
"$TOOL" model "$GOLDEN/llm/llama-bf16/model.safetensors" "$work/nan/model.safetensors" nan model.layers.1.mlp.up_proj.weight
refuses 1 "tensor 'model.layers.1.mlp.up_proj.weight': element 0: expected a magnitude of at most .* for Q8_0, found -?nan" \
    quantize -m "$work/nan" -o "$new" --type q8_0
refuses 1 "'$work/none': expected a model" quantize -m "$work/none" -o "$new"
refuses 1 "'?$work/none" quantize -m "$small" -o "$work/none/new.gguf"
refuses 2 "'--type' takes " quantize -m "$small" -o "$new" --type q4_x
refuses 2 "'quantize' needs '--output OUT.gguf'" quantize -m "$small"
if [[ -w /dev/full ]]; then
    refuses 1 "/dev/full" quantize -m "$small" -o /dev/full
fi
expect "$(cat "$new")" old "a file that was to be replaced"
expect "$(ls -A "$work/folder")" new.gguf "the folder"

# Ctrl-C, as soon as it is noticed: the conversion takes longer than that.
code=0
"$VKDLM" quantize -m kjv-mdlm -o "$new" --type iq4_nl > "$out" 2> "$err" &
pid=$!
until_it_listens $pid
kill -INT $pid
wait $pid || code=$?
drop_progress
expect "$code" 130 "an interrupted conversion"
one_line "interrupted, '.*' was not written" "an interrupted conversion"
expect "$(cat "$new")" old "a file that was to be replaced"
expect "$(ls -A "$work/folder")" new.gguf "the folder after an interruption"

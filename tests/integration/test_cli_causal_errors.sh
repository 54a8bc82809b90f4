#!/bin/bash
# Inputs that cannot work with an autoregressive model, on a device: one sentence, the exit status, nothing left behind.
. "$(dirname "$0")/lib.sh"

llama=$GOLDEN/llm/llama-tied
lora=$GOLDEN/l2d/llama-lora
cfg=$GOLDEN/l2d/qwen2-lora-cfg

# ---- prompts -------------------------------------------------------------------------------------------------
context=$("$VKDLM" info -m "$lora" --json | "$TOOL" json configuration.max_position_embeddings)
expect "$context" 256 "the context"
refuses 1 "'--ids' has 256 tokens, but the model's context of 256 has room for 255 before a new one" \
    generate -m "$lora" --ids "$(seq -s ' ' 0 255)"
refuses 2 "--length: expected at most 246 new tokens" generate -m "$lora" --ids "$(seq -s ' ' 1 10)" -n 247
refuses 1 "token 1 is 311, but the model's ids are 0 to 310" generate -m "$lora" --ids "1 311"
refuses 2 "entry 1 is 'x', not a token id" generate -m "$lora" --ids "1 x"
refuses 1 "no tokenizer" generate -m "$llama" -p "text"
refuses 1 "no tokenizer" generate -m "$llama" --chat -p "text"
printf '%s\n' '{"ids":[1]}' '{"ids":[5,99999]}' > "$work/prompts.jsonl"
refuses 1 "line 2 of '$work/prompts.jsonl': token 1 is 99999" generate -m "$llama" --prompts "$work/prompts.jsonl"

# ---- classes and guidance --------------------------------------------------------------------------------------
refuses 2 "--class: expected a model with classes" generate -m "$lora" --ids 1 --class 0
refuses 2 "--class: expected a model with classes" generate -m "$lora" --ids 1 --class 0 --guidance 2
refuses 2 "--class: expected 0 to 2, found 3" generate -m "$cfg" --ids 1 --class 3
refuses 2 "'--guidance' needs '--class'" generate -m "$cfg" --ids 1 --guidance 2

# ---- solvers ---------------------------------------------------------------------------------------------------
for option in --rtol=1e-3 --atol=1e-3 --max-evals=50 --first-step=0.1; do
    refuses 2 "${option%%=*}: expected an adaptive --solver" generate -m "$lora" --ids 1 --solver euler "$option"
done
refuses 2 "--xhat-temperature: " generate -m "$lora" --ids 1 --xhat-temperature polynomial_1
refuses 2 "--xhat-temperature: " generate -m "$lora" --ids 1 --xhat-temperature=-x

# ---- noise -----------------------------------------------------------------------------------------------------
noise=$work/noise.safetensors
# noise_refused PATTERN OPTION...
noise_refused()
{
    local pattern=$1
    shift
    refuses 1 "$pattern" generate -m "$lora" --ids 1 --noise "$noise" "$@"
}
noise_refused "$noise"
"$TOOL" make "$noise" x:F32:2x48:1
noise_refused "has no tensor 'noise' \(F32 \[tokens, 48\]\)"
"$TOOL" make "$noise" noise:I32:2x48:1
noise_refused "tensor 'noise' is I32 with 2 dimensions, expected F32 with 2 or 3"
"$TOOL" make "$noise" noise:F32:48:1
noise_refused "tensor 'noise' is F32 with 1 dimensions, expected F32 with 2 or 3"
"$TOOL" make "$noise" noise:F32:2x47:1
noise_refused "tensor 'noise' has 2 tokens of 47 components, expected 1 or more of 48"
"$TOOL" make "$noise" noise:F32:0x48:1
noise_refused "tensor 'noise' has 0 tokens"
"$TOOL" make "$noise" noise:F32:2x3x48:1
noise_refused "tensor 'noise' has 3 rows, expected 1 or one for each of the 2 samples" --num-samples 2
"$TOOL" make "$noise" noise:F32:2x48:nan
noise_refused "tensor 'noise' has a value at element 0 that is no finite number"
"$TOOL" make "$noise" noise:F32:2x48:1
noise_refused "tensor 'noise' is for 2 tokens, but '--length' is 3" -n 3

# ---- weights that give no numbers ------------------------------------------------------------------------------
mkdir "$work/nan"
cp "$lora"/config.json "$lora"/l2d.* "$work/nan"
"$TOOL" model "$lora/model.safetensors" "$work/nan/model.safetensors" nan model.norm.weight
refuses 1 "no usable probabilities|NaN|not finite" generate -m "$work/nan" --ids 1 -n 2 --solver none
refuses 1 "no usable probabilities|NaN|not finite" generate -m "$work/nan" --ids 1 -n 2

# ---- score -----------------------------------------------------------------------------------------------------
printf 'a' > "$work/one"
refuses 1 "is one token, which leaves nothing to predict" score -m kjv-llama "$work/one"
: > "$work/nothing"
refuses 1 "holds no text to score" score -m kjv-llama "$work/nothing"
refuses 1 "no tokenizer" score -m "$llama" "$work/one"
printf 'a b c d' > "$work/text"
refuses 2 "--window" score -m kjv-llama "$work/text" --window 513
refuses 2 "--class: expected a model with classes" score -m kjv-llama --l2d kjv-l2d "$work/text" --class 1

# ---- forward ---------------------------------------------------------------------------------------------------
input=$work/in.safetensors result=$work/result.safetensors
# forward_refuses CODE PATTERN MODEL TENSOR...: what `make` makes is no input.
forward_refuses()
{
    local code=$1 pattern=$2 model=$3
    shift 3
    "$TOOL" make "$input" "$@"
    # shellcheck disable=SC2086 # words
    refuses "$code" "$pattern" forward -m "$model" "$input" -o "$result" ${options:-}
    [[ -z $(find "$work" -name 'result*') ]] || fail "forward leaves a file behind"
}
tokens=tokens:I32:2x5:3
forward_refuses 1 "has no tensor 'tokens'" "$cfg" x:F32:2x32:1 t:F32:2:0.5
forward_refuses 1 "one sequence of 1 to 256 tokens" "$lora" tokens:I32:1x257:3
forward_refuses 1 "tensor 'sigma' belongs to masked diffusion models" "$llama" $tokens sigma:F32:2:0
forward_refuses 1 "tensor 'x' belongs to L2D models .*; '--l2d PATH' adds a diffusion path" "$llama" $tokens x:F32:2x32:1 t:F32:2:0.5
forward_refuses 1 "has the tensor 'x' without 't'" "$cfg" $tokens x:F32:2x32:1
forward_refuses 1 "has the tensor 't' without 'x'" "$cfg" $tokens t:F32:2:0.5
forward_refuses 1 "has the tensor 'class' without 'x'" "$cfg" $tokens class:I32:2:0
forward_refuses 1 "tensor 'x' has 3 rows, expected one for each of the 2 sequences" "$cfg" $tokens x:F32:3x32:1 t:F32:2:0.5
forward_refuses 1 "tensor 'x' has rows of 31, but the diffusion path has 32 components" "$cfg" $tokens x:F32:2x31:1 t:F32:2:0.5
forward_refuses 1 "tensor 'x' is F32 with 1 dimensions, expected F32 with 2" "$cfg" $tokens x:F32:64:1 t:F32:2:0.5
forward_refuses 1 "tensor 't' has 1 elements" "$cfg" $tokens x:F32:2x32:1 t:F32:1:0.5
forward_refuses 1 "tensor 't' is I32 .*expected F32" "$cfg" $tokens x:F32:2x32:1 t:I32:2:0
for t in -0.1 1.01 nan inf; do
    forward_refuses 1 "tensor 't' has .* at \[0\], expected 0 to 1" "$cfg" $tokens x:F32:2x32:1 t:F32:2:$t
done
forward_refuses 1 "tensor 'x' has a value at element 0 that is no finite number" "$cfg" $tokens x:F32:2x32:nan t:F32:2:0
for class in 3 -2; do
    forward_refuses 1 "tensor 'class' has $class at \[0\], but the diffusion path has 3 classes" "$cfg" \
        $tokens x:F32:2x32:1 t:F32:2:0.5 class:I32:2:$class
done
forward_refuses 1 "tensor 'class' has 0 at \[0\], but the diffusion path has 0 classes" "$lora" \
    $tokens x:F32:2x48:1 t:F32:2:0.5 class:I32:2:0
forward_refuses 1 "tensor 'class' is I64 .*expected I32" "$cfg" $tokens x:F32:2x32:1 t:F32:2:0.5 class:I64:2:0
options="--rows 0" forward_refuses 2 "'--rows' does not go with the tensor 'x'" "$cfg" $tokens x:F32:2x32:1 t:F32:2:0.5

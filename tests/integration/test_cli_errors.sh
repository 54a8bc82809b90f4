#!/bin/bash
# Inputs that cannot work, on a device: one sentence, the exit status, and nothing left behind.
. "$(dirname "$0")/lib.sh"

notc=$GOLDEN/mdlm/notc

# ---- prompts -----------------------------------------------------------------------------------------------
long=$(printf 'word %.0s' {1..400})
refuses 1 "the prompt has [0-9]+ tokens, more than the canvas of 256 .the model's length is 256" generate -p "$long"
refuses 1 "the prompt has 4 tokens, more than the canvas of 3" generate -p "In the beginning" -n 3
refuses 1 "leaves nothing to generate" generate -p "In the beginning" -n 4
refuses 1 "the template marks nothing to fill" generate --template "no mark"
refuses 1 "'\[MASK:0\]'" generate --template "a[MASK:0]"
refuses 1 "1 to the model's length, 256" generate --template "a[MASK:257]"
refuses 1 "1 to the model's length, 256" generate --template "a[MASK:99999999999999999999]"
refuses 1 "more tokens than the model's length, 256" generate --template "${long}[MASK]"
refuses 1 "token 1 is 515, but the model's ids are 0 to 514" generate -m "$notc" --ids "1 515"
refuses 2 "entry 0 is '-1', not a token id" generate -m "$notc" --ids "-1"
refuses 2 "entry 1 is 'x', not a token id" generate -m "$notc" --ids "1 x"
refuses 1 "no tokenizer" generate -m "$notc" -p "text"
refuses 1 "no tokenizer" generate -m "$notc" --template "text[MASK]"
refuses 2 "'--length' is 1 to the model's length, 256, not 257" generate -n 257
refuses 1 "cannot open '$work/none'" generate -f "$work/none"
refuses 1 "cannot open '$work/none'" generate --prompts "$work/none"
refuses 1 "Is a directory" generate -f "$work"
printf '{"text":"a"}\n{"text":1}\n' > "$work/prompts.jsonl"
refuses 1 "line 2 of '$work/prompts.jsonl' has a \"text\" that is not a string" generate --prompts "$work/prompts.jsonl"
: > "$work/prompts.jsonl"
refuses 1 "holds no prompt" generate --prompts "$work/prompts.jsonl"

# ---- options that the model or the sampler does not take ---------------------------------------------------
refuses 2 "--stride" generate -m "$notc" --stride 65 --strides 1
refuses 2 "--stride" generate -m "$notc" --stride 8 --strides 2 --sampler ddpm
refuses 2 "--end-time" generate -m "$notc" --sampler first-hitting --end-time 0.1
refuses 2 "--window" score --window 257 "$GOLDEN/mdlm/README.md"

# ---- tokenizer and model of different vocabularies -----------------------------------------------------------
cp -r "$notc" "$work/mixed"
cp "$MODELS/kjv-mdlm/tokenizer.json" "$work/mixed"
refuses 1 "tokenizer.json'?: .*4096" generate -m "$work/mixed"
refuses 1 "tokenizer.json'?: .*4096" generate -m "$notc" --tokenizer "$MODELS/kjv-mdlm/tokenizer.json"
refuses 1 "$work/none" generate -m "$notc" --tokenizer "$work/none"

# ---- weights that give no numbers ----------------------------------------------------------------------------
mkdir "$work/nan"
cp "$notc/config.json" "$work/nan"
"$TOOL" model "$notc/model.safetensors" "$work/nan/model.safetensors" nan backbone.output_layer.linear.bias
refuses 1 "no usable probabilities|NaN|not finite" generate -m "$work/nan" -n 8 --steps 2

# ---- score ---------------------------------------------------------------------------------------------------
refuses 1 "cannot open '$work/none'" score "$work/none"
: > "$work/nothing"
refuses 1 "'$work/nothing' holds no text to score" score "$work/nothing"
refuses 1 "no tokenizer" score -m "$notc" "$GOLDEN/mdlm/README.md"
refuses 1 "Is a directory" score "$work"

# ---- forward: inputs ------------------------------------------------------------------------------------------
result=$work/result.safetensors
# forward_refuses PATTERN INPUT OPTION...
forward_refuses()
{
    local pattern=$1 input=$2
    shift 2
    refuses "${code:-1}" "$pattern" forward -m "$notc" "$input" -o "$result" "$@"
    [[ -z $(find "$work" -name 'result*') ]] || fail "forward leaves a file behind"
}
"$TOOL" tokens "$work/good.safetensors" I32 2 8 5
forward_refuses "$work/none" "$work/none"
forward_refuses "." "$notc/config.json"
forward_refuses "has no tensor 'tokens'" "$notc/model.safetensors"
"$TOOL" tokens "$work/wide.safetensors" I64 2 8 5
forward_refuses "tensor 'tokens' is I64 .*expected I32" "$work/wide.safetensors"
"$TOOL" tokens "$work/flat.safetensors" FLAT 2 8 5
forward_refuses "tensor 'tokens' is I32 with 1 dimensions, expected I32 with 2" "$work/flat.safetensors"
"$TOOL" tokens "$work/long.safetensors" I32 2 65 5
forward_refuses "expected at least one sequence of 1 to 64 tokens" "$work/long.safetensors"
"$TOOL" tokens "$work/large.safetensors" I32 2 8 515
forward_refuses "has 515 at \[0, 0\], but the model's ids are 0 to 514" "$work/large.safetensors"
"$TOOL" tokens "$work/negative.safetensors" I32 2 8 -1
forward_refuses "has -1 at \[0, 0\]" "$work/negative.safetensors"
"$TOOL" tokens "$work/sigma.safetensors" I32 2 8 5 3
forward_refuses "tensor 'sigma' has 3 elements, expected one for each of the 2" "$work/sigma.safetensors"
for rows in x "1," ",1" 3-1 -1 1-x "" 8 0-8; do
    code=2 forward_refuses "'--rows'" "$work/good.safetensors" --rows="$rows"
done

# ---- forward: outputs ------------------------------------------------------------------------------------------
refuses 1 "$work/no/such" forward -m "$notc" "$work/good.safetensors" -o "$work/no/such/file"
refuses 1 "." forward -m "$notc" "$work/good.safetensors" -o "$work"
if [[ -e /dev/full ]]; then
    refuses 1 "/dev/full.*No space left" forward -m "$notc" "$work/good.safetensors" -o /dev/full
fi
# An output that is there stays as it was when the run fails.
echo old > "$result"
refuses 1 "has 515" forward -m "$notc" "$work/large.safetensors" -o "$result"
expect "$(cat "$result")" old "the old output"

# ---- standard output that fails ----------------------------------------------------------------------------------
if [[ -e /dev/full ]]; then
    for words in "generate -m $notc -n 8 --steps 2" "generate -m $notc -n 8 --steps 2 --json --num-samples 50" \
        "devices" "devices --json"; do
        code=0
        : > "$out"
        # shellcheck disable=SC2086
        "$VKDLM" $words > /dev/full 2> "$err" || code=$?
        drop_progress
        expect "$code" 1 "vkdlm $words on a full disk"
        one_line "cannot write to standard output: No space left" "vkdlm $words on a full disk"
    done
fi
{
    code=0
    "$VKDLM" generate -m "$notc" -n 8 --steps 2 --json --num-samples 5000 2> "$err" || code=$?
    echo "$code" > "$work/code"
} | head -n 1 > "$out"
drop_progress
expect "$(cat "$work/code")" 1 "a reader that leaves"
one_line "cannot write to standard output: Broken pipe" "a reader that leaves"
expect "$(n_lines "$out")" 1 "a reader that leaves"

# ---- devices -----------------------------------------------------------------------------------------------------
refuses 2 "no-such-device" devices --device no-such-device
refuses 2 "no-such-device" generate -m "$notc" --device no-such-device
refuses 2 "77" generate -m "$notc" --device 77
VK_ICD_FILENAMES=/nonexistent VK_DRIVER_FILES=/nonexistent refuses 1 "." devices
VK_ICD_FILENAMES=/nonexistent VK_DRIVER_FILES=/nonexistent refuses 1 "." generate -m "$notc"
VK_ICD_FILENAMES=/nonexistent VK_DRIVER_FILES=/nonexistent refuses 1 "." forward -m "$notc" "$work/good.safetensors" -o "$work/x"
[[ ! -e $work/x ]] || fail "an output file without a device"

# A device that is too small for the model, which is refused before anything is uploaded.
mkdir "$work/huge"
if "$TOOL" huge "$work/huge/model.safetensors" "$work/huge/config.json" 2> "$err"; then
    ok info -m "$work/huge"
    refuses 1 "MiB of free memory on device" generate -m "$work/huge"
    refuses 1 "MiB of free memory on device" forward -m "$work/huge" "$work/good.safetensors" -o "$result.2"
    [[ ! -e $result.2 ]] || fail "an output file on a device that is too small"
fi
rm -rf "$work/huge"

# ---- a damaged cache is ignored and written again -------------------------------------------------------------------
ok generate -m "$notc" -n 8 --steps 2 --json
head -n 1 "$out" | "$TOOL" json ids > "$work/expected"
files=$(find "$XDG_CACHE_HOME" -type f)
[[ -n $files ]] || fail "no cache was written"
for file in $files; do
    head -c 3000 /dev/urandom > "$file"
done
ok generate -m "$notc" -n 8 --steps 2 --json
head -n 1 "$out" | "$TOOL" json ids | cmp -s - "$work/expected" || fail "a damaged cache changes the tokens"
for file in $files; do
    : > "$file"
done
ok generate -m "$notc" -n 8 --steps 2 --json
# A cache that cannot be written is no failure.
XDG_CACHE_HOME=/dev/null ok generate -m "$notc" -n 8 --steps 2 --json

#!/bin/bash
# The command `generate` on a device, with ids: what it prints follows from options and seed alone.
. "$(dirname "$0")/lib.sh"

tiny=$GOLDEN/mdlm/tiny
notc=$GOLDEN/mdlm/notc

# ---- the same seed gives the same tokens, whatever the batch; another seed gives others -----------------
ok generate -m "$notc" -n 24 --steps 12 --num-samples 5 --seed 7 --json --batch 1
ids "$out" > "$work/one"
ok generate -m "$notc" -n 24 --steps 12 --num-samples 5 --seed 7 --json --batch 4
expect "$(tail -n 1 "$out" | "$TOOL" json summary.batch)" 4 "the batch"
ids "$out" | cmp -s - "$work/one" || fail "the batch changes the tokens"
ok generate -m "$notc" -n 24 --steps 12 --num-samples 5 --seed 7 --json
ids "$out" | cmp -s - "$work/one" || fail "the automatic batch changes the tokens"
ok generate -m "$notc" -n 24 --steps 12 --num-samples 5 --seed 8 --json
if ids "$out" | cmp -s - "$work/one"; then
    fail "the seed changes nothing"
fi
expect "$(sort -u "$work/one" | wc -l)" 5 "different samples"
expect "$(grep -v summary "$out" | "$TOOL" json sample | tr '\n' ' ')" "0 1 2 3 4 " "the order of samples"
expect "$(grep -v summary "$out" | "$TOOL" json text | sort -u)" null "text without a tokenizer"

# ---- every sampler and schedule -------------------------------------------------------------------------
for words in "--sampler ddpm" "--sampler ddpm-cache" "--sampler analytic" "--sampler first-hitting" \
    "--sampler ddpm --schedule cosine" "--sampler analytic --schedule geometric --sigma-min 0.01 --sigma-max 2" \
    "--sampler ddpm --schedule linear" "--sampler analytic --schedule cosinesqr --schedule-eps 0.01" \
    "--temperature 0.5 --top-k 3 --top-p 0.9" "--end-time 0.2" "--steps 1" "--schedule-eps 0.2"; do
    # shellcheck disable=SC2086
    ok generate -m "$notc" -n 12 --steps 6 $words --json
    expect "$(ids "$out" | wc -w)" 12 "$words"
    if ids "$out" | grep -qw 514; then
        fail "$words leaves a mask"
    fi
done
refuses 2 "--schedule" generate -m "$notc" --sampler ddpm-cache --schedule cosine
ok generate -m "$notc" -n 64 --steps 2 --end-time 0.9 --no-final-denoise --json
ids "$out" | grep -qw 514 || fail "--no-final-denoise leaves nothing masked"

# ---- what is given ---------------------------------------------------------------------------------------
ok generate -m "$notc" --ids "5 514 7 514" -n 4 --json
ids "$out" | grep -qE '^5 [0-9]+ 7 [0-9]+$' || fail "ids are not kept"
if ids "$out" | grep -qw 514; then
    fail "a mask in --ids is not filled"
fi
echo "5 514 7 514" > "$work/ids"
ok generate -m "$notc" --ids - -n 4 --json < "$work/ids"
ids "$out" | grep -qE '^5 [0-9]+ 7 [0-9]+$' || fail "ids on standard input are not kept"

# Beyond the model's length.
ok generate -m "$notc" --stride 16 --strides 3 --steps 8 --json
expect "$(ids "$out" | wc -w)" 112 "semi-autoregressive generation"

run 0 generate -m "$tiny" -q
matches "$out" '^[0-3] [0-3] [0-3]$' "ids of a model without tokenizer"

# The device by number and by a part of its name.
run 0 devices --json
device=$(head -n 1 "$out" | "$TOOL" json name)
ok generate -m "$tiny" --device 0 --json
expect "$(tail -n 1 "$out" | "$TOOL" json summary.device)" "$device" "--device 0"
part=$(tr '[:upper:]' '[:lower:]' <<< "${device:0:6}")
ok generate -m "$tiny" --device "$part" --json

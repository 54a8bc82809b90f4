#!/bin/bash
# The command `forward` on a device, against what the model's authors' code computed.
. "$(dirname "$0")/lib.sh"

result=$work/result.safetensors
for model in tc notc tiny tiny-tc; do
    expected=$GOLDEN/mdlm/$model/expected.safetensors
    ok forward -m "$GOLDEN/mdlm/$model" "$expected" -o "$result" -q
    "$TOOL" compare "$result" logits "$expected" logits64 5e-5 > "$out" 2> "$err" || fail "$model: logits"
    cat "$out"
done

for model in tc notc; do
    expected=$GOLDEN/mdlm/$model/expected.safetensors
    ok forward -m "$GOLDEN/mdlm/$model" "$expected" -o "$result" --hidden --json
    rows=$(value rows "$out")
    "$TOOL" compare "$result" logits "$expected" logits64 5e-5 > "$out" 2> "$err" || fail "$model: logits beside hidden"
    for n in 0 1 2; do
        "$TOOL" compare "$result" "hidden.$n" "$expected" "hidden.$n" 5e-5 > "$out" 2> "$err" || fail "$model: hidden.$n"
    done
    ok forward -m "$GOLDEN/mdlm/$model" "$expected" -o "$result" --hidden --rows 7-9,0,5,8 --json
    expect "$(value rows "$out")" 5 "$model: rows"
    expect "$(value length "$out")" "$rows" "$model: length"
    "$TOOL" compare "$result" logits "$expected" logits64 5e-5 0,5,7,8,9 > "$out" 2> "$err" || fail "$model: rows of logits"
    "$TOOL" compare "$result" hidden.1 "$expected" hidden.1 5e-5 0,5,7,8,9 > "$out" 2> "$err" ||
        fail "$model: rows of hidden states"
done

# The file appears whole, in place of an old one, and nothing else is left.
expected=$GOLDEN/mdlm/notc/expected.safetensors
mkdir "$work/folder"
echo old > "$work/folder/x.safetensors"
run 0 forward -m "$GOLDEN/mdlm/notc" "$expected" -o "$work/folder/x.safetensors"
matches "$err" 'logits of 1 x 64 positions' "forward for people"
expect "$(ls -A "$work/folder")" x.safetensors "the folder"
"$TOOL" compare "$work/folder/x.safetensors" logits "$expected" logits64 5e-5 > "$out" 2> "$err" || fail "a replaced file"

#!/bin/bash
# The command `generate` with the bundled model: prompts, templates, text, and what people see.
. "$(dirname "$0")/lib.sh"

# ---- one sample, as JSON -------------------------------------------------------------------------------
ok generate -n 16 --steps 8 -p "In the beginning" --json
expect "$(n_lines "$out")" 2 "lines"
number='[0-9]+\.[0-9]+(e[-+]?[0-9]+)?'
matches "$out" '^\{"sample":0,"seed":0,"ids":\[[0-9]+(,[0-9]+){15}\],"text":".*","length":16,"nfe":[0-9]+,"steps":8,"seconds":'"$number"',"tokens_per_second":'"$number"'\}$' "a sample"
[[ $(sed -n 1p "$out" | "$TOOL" json ids) == "41 78 259 2073 "* ]] || fail "the given tokens are not there"
[[ $(sed -n 1p "$out" | "$TOOL" json text) == "In the beginning"* ]] || fail "the given text is not there"
nfe=$(sed -n 1p "$out" | "$TOOL" json nfe)
[[ $nfe -ge 1 && $nfe -le 9 ]] || fail "nfe is $nfe"
sed -n 2p "$out" > "$work/summary"
expect "$(value summary.samples "$work/summary")" 1 "summary"
expect "$(value summary.evaluations "$work/summary")" "$nfe" "summary: evaluations"
expect "$(value summary.tokens "$work/summary")" 12 "summary: tokens"
for member in seconds device tokens_per_second peak_device_bytes network_rows output_rows output_rows_full submissions \
    batch first_evaluation_seconds; do
    [[ -n $(value "summary.$member" "$work/summary") ]] || fail "summary: $member"
done
[[ $(value summary.peak_device_bytes "$work/summary") -gt 1000000 ]] || fail "summary: peak_device_bytes"
[[ $(value summary.output_rows "$work/summary") -le $(value summary.output_rows_full "$work/summary") ]] ||
    fail "summary: output_rows"

# With a tokenizer, what is left masked reads [MASK].
ok generate -n 32 --steps 2 --end-time 0.9 --no-final-denoise --json
[[ $(sed -n 1p "$out" | "$TOOL" json text) == *"[MASK]"* ]] || fail "a mask that is left does not show in the text"
ids "$out" | grep -qw 4096 || fail "a mask that is left does not show in the ids"

# ---- what is given ---------------------------------------------------------------------------------------
ok generate --template "And[MASK:3] said unto[MASK]." --steps 4 --json
text=$(sed -n 1p "$out" | "$TOOL" json text)
[[ $text == And*" said unto"*. ]] || fail "the template is not kept: $text"
expect "$(sed -n 1p "$out" | "$TOOL" json length)" "$(($("$VKDLM" tokenize --no-special "And" | wc -w) + \
    $("$VKDLM" tokenize --no-special " said unto" | wc -w) + $("$VKDLM" tokenize --no-special "." | wc -w) + 4))" \
    "the length of a template"

# The same prompt by every door gives the same sample; the line feed that ends a file is no token.
ok generate -p "And God said" -n 12 --steps 4 --json
ids "$out" > "$work/one"
echo "And God said" > "$work/prompt"
ok generate -f "$work/prompt" -n 12 --steps 4 --json
ids "$out" | cmp -s - "$work/one" || fail "-f differs from -p"
ok generate -f - -n 12 --steps 4 --json < "$work/prompt"
ids "$out" | cmp -s - "$work/one" || fail "-f - differs from -p"
ok generate -p - -n 12 --steps 4 --json < "$work/prompt"
ids "$out" | cmp -s - "$work/one" || fail "-p - differs from -p"
ok generate --ids "$("$VKDLM" tokenize "And God said")" -n 12 --steps 4 --json
ids "$out" | cmp -s - "$work/one" || fail "--ids differs from -p"

# Many prompts: the same order, each with its own samples.
{
    echo '{"text":"And God said"}'
    echo '{"ids":[5,4096,7]}'
    echo
    for i in 10 11 12 13 14 15; do
        echo "{\"ids\":[$i]}"
    done
} > "$work/prompts.jsonl"
ok generate --prompts "$work/prompts.jsonl" --num-samples 2 -n 12 --steps 4 --json
expect "$(ids "$out" | wc -l)" 16 "samples of eight prompts"
expect "$(ids "$out" | sed -n '5~2p' | cut -d' ' -f1 | tr '\n' ' ')" "10 11 12 13 14 15 " "the order of prompts"
expect "$(ids "$out" | sed -n '6~2p' | cut -d' ' -f1 | tr '\n' ' ')" "10 11 12 13 14 15 " "the order of prompts"
expect "$(ids "$out" | sed -n 1p)" "$(cat "$work/one")" "the first prompt"
ids "$out" | sed -n 3,4p | grep -cqE '^5 [0-9]+ 7 ' || fail "the second prompt is not kept"

# ---- for people ------------------------------------------------------------------------------------------
run 0 generate -p "In the beginning" -n 16 --steps 4
matches "$out" '^In the beginning' "the text"
expect "$(n_lines "$err")" 1 "the summary's lines"
matches "$err" '^12 tokens in .* evaluations' "the summary"
ok generate -p "In the beginning" -n 16 --steps 4 -q
run 0 generate -n 8 --steps 2 --num-samples 3 -q
expect "$(grep -c '^=== sample [123] of 3 ===$' "$out")" 3 "headings of samples"
run 0 generate -n 8 --steps 2 -v -q
matches "$err" '^opening the device: [0-9.]+ s$' "-v"
matches "$err" '^loading the model: [0-9.]+ s$' "-v"
matches "$err" '^first evaluation: [0-9.]+ s$' "-v"
run 0 generate -n 8 --steps 4 --show -q
matches "$err" '^sample 0  step [0-9]+ of 4 .* masked .*: ' "--show without a terminal"


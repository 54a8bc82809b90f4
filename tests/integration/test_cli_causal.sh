#!/bin/bash
# Autoregressive models on a device: generate, score and forward against recorded data, and what they print.
. "$(dirname "$0")/lib.sh"

llm=$GOLDEN/llm
result=$work/result.safetensors

# ---- forward ------------------------------------------------------------------------------------------------
for model in llama-tied llama-untied llama-bf16 qwen2 qwen2-untied; do
    golden=$llm/$model/golden.safetensors
    ok forward -m "$llm/$model" "$golden" -o "$result" --hidden -q
    "$TOOL" compare "$result" logits "$golden" logits 1e-4 > "$out" 2> "$err" || fail "$model: logits"
    for n in 0 1; do
        "$TOOL" compare "$result" "hidden.$n" "$golden" "hidden@$n" 1e-4 > "$out" 2> "$err" || fail "$model: hidden.$n"
    done
done
golden=$llm/qwen2/golden.safetensors
ok forward -m "$llm/qwen2" "$golden" -o "$result" --hidden --rows 0,5,7-9 --json
expect "$(value rows "$out")" 5 "rows"
"$TOOL" compare "$result" logits "$golden" logits 1e-4 0,5,7,8,9 > "$out" 2> "$err" || fail "rows of logits"
"$TOOL" compare "$result" hidden.1 "$golden" hidden@1 1e-4 0,5,7,8,9 > "$out" 2> "$err" || fail "rows of hidden states"

# ---- greedy continuations as recorded -----------------------------------------------------------------------
for model in llama-tied llama-untied llama-bf16 qwen2 qwen2-untied; do
    prompt=$("$TOOL" ints "$llm/$model/golden.safetensors" prompt 0)
    ok generate -m "$llm/$model" --ids "$prompt" -n 16 --temperature 0 --ignore-eos --json
    expect "$(ids "$out")" "$prompt $("$TOOL" ints "$llm/$model/golden.safetensors" generated 0)" "$model: greedy"
    cp "$out" "$work/last"
done
head -n 1 "$work/last" > "$work/line"
expect "$(value length "$work/line")" 25 "length"
expect "$(value prompt_length "$work/line")" 9 "prompt_length"
expect "$(value nfe "$work/line")" 16 "nfe"
expect "$(value steps "$work/line")" 0 "steps"
expect "$(value ended "$work/line")" false "ended"
expect "$(value text "$work/line")" null "text without a tokenizer"
expect "$(value evaluations "$work/line")" \
    '{"main":16,"path":0,"velocity_calls":0,"per_token":{"main":1.0,"path":0.0,"velocity_calls":0.0}}' "evaluations"
for member in accepted_steps rejected_steps limited_tokens refined_tokens; do
    expect "$(value $member "$work/line")" 0 "$member"
done
expect "$(value entropy_before "$work/line")" "$(value entropy_after "$work/line")" "entropies without refinement"
tail -n 1 "$work/last" > "$work/summary"
expect "$(value summary.samples "$work/summary")" 1 "summary: samples"
expect "$(value summary.tokens "$work/summary")" 16 "summary: tokens"
expect "$(value summary.nfe "$work/summary")" 16 "summary: nfe"
expect "$(value summary.evaluations.main "$work/summary")" 16 "summary: evaluations"
expect "$(value summary.prompt_tokens "$work/summary")" 9 "summary: prompt_tokens"
for member in seconds device tokens_per_second peak_device_bytes prompt_seconds submissions batch; do
    [[ -n $(value "summary.$member" "$work/summary") ]] || fail "summary: $member"
done

# ---- the same seed gives the same tokens, whatever the batch; another seed gives others ------------------------
many=(generate -m "$llm/llama-tied" --ids "5 6 7" -n 8 --ignore-eos --num-samples 5 --json)
ok "${many[@]}" --seed 7 --batch 1
ids "$out" > "$work/one"
expect "$(sort -u "$work/one" | wc -l)" 5 "different samples"
ok "${many[@]}" --seed 7 --batch 3
expect "$(tail -n 1 "$out" | "$TOOL" json summary.batch)" 3 "the batch"
ids "$out" | cmp -s - "$work/one" || fail "the batch changes the tokens"
ok "${many[@]}" --seed 8
if ids "$out" | cmp -s - "$work/one"; then
    fail "the seed changes nothing"
fi
expect "$(grep -v summary "$out" | "$TOOL" json sample | tr '\n' ' ')" "0 1 2 3 4 " "the order of samples"
ok "${many[@]}" --temperature 0.7 --top-k 3 --top-p 0.9 --kv-type f16
expect "$(ids "$out" | wc -w)" 55 "--top-k, --top-p, --kv-type"

# Prompts of different lengths in one run, each as if it were alone.
printf '%s\n' '{"ids":[9,8,7,6,5,4,3]}' '{"ids":[11]}' '' '{"ids":[20,21,22]}' > "$work/prompts.jsonl"
ok generate -m "$llm/llama-tied" --prompts "$work/prompts.jsonl" -n 6 --temperature 0 --ignore-eos --json
ids "$out" > "$work/together"
expect "$(cut -d' ' -f1 "$work/together" | tr '\n' ' ')" "9 11 20 " "the order of prompts"
for prompt in "9 8 7 6 5 4 3" 11 "20 21 22"; do
    ok generate -m "$llm/llama-tied" --ids "$prompt" -n 6 --temperature 0 --ignore-eos --json
    grep -qx "$(ids "$out")" "$work/together" || fail "the company changes the continuation of '$prompt'"
done

# The base alone may be asked for by name.
ok generate -m "$llm/llama-tied" --ids 11 -n 6 --temperature 0 --ignore-eos --steps 0 --solver none --json
grep -qx "$(ids "$out")" "$work/together" || fail "--solver none changes a base without a path"

# A slow driver: what follows does not depend on it.
[[ -z ${VKDLM_TEST_QUICK:-} ]] || exit 0

# ---- text ----------------------------------------------------------------------------------------------------
run 0 generate -m kjv-llama -p "In the beginning" -n 6 --temperature 0
matches "$out" '^In the beginning' "the text"
matches "$err" '^6 tokens in .* 6 evaluations \(base 6, diffusion path 0\)' "the summary"
ok generate -m kjv-llama -p "In the beginning" -n 6 --temperature 0 -q
cp "$out" "$work/text"
# What streams is the text, and standard output has it once more.
run 0 generate -m kjv-llama -p "In the beginning" -n 6 --temperature 0 -q --show
cmp -s "$out" "$work/text" || fail "--show changes the output"
cmp -s "$err" "$work/text" || fail "--show streams another text"
# An empty prompt is the end-of-text token of this tokenizer, which the text leaves out.
ok generate -m kjv-llama -n 3 --temperature 0 --json
[[ $(ids "$out") == "0 "* ]] || fail "an empty prompt begins with another token"
text=$(head -n 1 "$out" | "$TOOL" json text)
[[ $text != *endoftext* ]] || fail "a special token is in the text"
run 0 generate -m kjv-llama -n 3 --num-samples 3 -q
expect "$(grep -c '^=== sample [123] of 3 ===$' "$out")" 3 "headings of samples"
# An end-of-text token ends a sample and stays in its ids.
ok generate -m kjv-llama -p "And there was evening and there was morning." -n 60 --temperature 0.001 --top-k 1 --json
head -n 1 "$out" > "$work/line"
if [[ $(value ended "$work/line") == true ]]; then
    [[ $(value ids "$work/line") == *" 0" ]] || fail "the end-of-text token is not in the ids"
else
    expect "$(value length "$work/line")" "$(($(value prompt_length "$work/line") + 60))" "the length of a sample"
fi

# ---- score -----------------------------------------------------------------------------------------------------
echo "In the beginning God created the heaven and the earth. And the earth was without form, and void;" > "$work/text"
n_tokens=$("$VKDLM" tokenize --no-special -f "$work/text" | wc -w)
n_bytes=$(wc -c < "$work/text")
ok score -m kjv-llama "$work/text" --json
expect "$(n_lines "$out")" 1 "lines"
expect "$(value tokens "$out")" $((n_tokens - 1)) "predictions"
expect "$(value bound "$out")" exact "bound"
expect "$(value stderr "$out")" null "stderr"
expect "$(value refined "$out")" null "refined"
[[ $(value bytes "$out") -lt $n_bytes ]] || fail "the first token's bytes are counted"
awk -v nats="$(value nats_per_token "$out")" -v bits="$(value bits_per_byte "$out")" \
    -v perplexity="$(value perplexity "$out")" -v tokens="$(value tokens "$out")" -v bytes="$(value bytes "$out")" \
    -v base="$(value base.nats "$out")" -v hits="$(value base.accuracy "$out")" '
    function near(a, b) { return a - b < 1e-6 * b && b - a < 1e-6 * b }
    BEGIN {
        exit !(nats > 0.5 && nats < 8 && near(perplexity, exp(nats)) && near(bits, nats * tokens / bytes / log(2)) &&
               base == nats && near(hits * tokens, int(hits * tokens + 0.5)))
    }' || fail "the numbers do not belong together"
cp "$out" "$work/expected"
ok score -m kjv-llama - --json --batch 3 < "$work/text"
expect "$(value nats_per_token "$out")" "$(value nats_per_token "$work/expected")" "the batch changes the figures"
ok score -m kjv-llama "$work/text" --json --window 8
# A last window of one token predicts nothing.
expect "$(value windows "$out")" "$(((n_tokens + 6) / 8))" "windows of 8"
expect "$(value tokens "$out")" "$((n_tokens - (n_tokens + 7) / 8))" "predictions in windows of 8"
ok score -m kjv-llama "$work/text" --json --max-tokens 5
expect "$(value tokens "$out")" 5 "--max-tokens"
run 0 score -m kjv-llama "$work/text"
matches "$out" '^nats per token +[0-9.]+ \(exact\)$' "score for people"
matches "$out" '^accuracy +0\.[0-9]+ \(standard error 0\.[0-9]+\)$' "score for people"

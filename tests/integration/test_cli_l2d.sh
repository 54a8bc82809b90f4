#!/bin/bash
# Models with a diffusion path on a device, against what the method's authors' code computed.
. "$(dirname "$0")/lib.sh"

l2d=$GOLDEN/l2d
result=$work/result.safetensors

# ---- forward: every recorded evaluation of the path --------------------------------------------------------
for case in llama-lora llama-full qwen2-lora-cfg qwen2-full; do
    "$TOOL" points "$l2d/$case/expected.safetensors" "$work/in.safetensors" "$work/expected.safetensors" ||
        fail "$case: the recorded evaluations"
    ok forward -m "$l2d/$case" "$work/in.safetensors" -o "$result" --hidden --json
    expect "$(value rows "$out")" 1 "$case: rows"
    for tensor in logits hidden.0 hidden.1 hidden.2; do
        "$TOOL" compare "$result" "$tensor" "$work/expected.safetensors" "$tensor" 1e-4 > "$out" 2> "$err" ||
            fail "$case: $tensor"
    done
done

# Without a point it is the base.
"$TOOL" take "$work/in.safetensors" "$l2d/llama-lora/expected.safetensors" prompt tokens base.logits logits
ok forward -m "$l2d/llama-lora" "$work/in.safetensors" -o "$result" -q
"$TOOL" compare "$result" logits "$work/in.safetensors" logits 1e-4 > "$out" 2> "$err" || fail "the base alone"

# ---- generations from the recorded noise ---------------------------------------------------------------------
# reproduces CASE NAME STEPS SOLVER VELOCITY_CALLS NETWORK OPTION...: calls a token, and network evaluations with the
# final one.
reproduces()
{
    local case=$1 name=$2 steps=$3 solver=$4 calls=$5 network=$6
    local expected=$l2d/$case/expected.safetensors
    shift 6
    "$TOOL" take "$work/noise.safetensors" "$expected" "generate.$name.x0" noise
    prompt=$("$TOOL" ints "$expected" "generate.$name.prompt" 0)
    ok generate -m "$l2d/$case" --ids "$prompt" --noise "$work/noise.safetensors" --steps "$steps" --solver "$solver" \
        --temperature 0 --xhat-temperature 0 --ignore-eos --json "$@"
    expect "$(ids "$out")" "$prompt $("$TOOL" ints "$expected" "generate.$name.tokens" 0)" "$case: $name"
    head -n 1 "$out" > "$work/line"
    expect "$(value steps "$work/line")" "$steps" "$case, $name: steps"
    expect "$(value evaluations.per_token "$work/line")" \
        "{\"main\":1.0,\"path\":$network.0,\"velocity_calls\":$calls.0}" "$case, $name: evaluations"
    expect "$(value nfe "$work/line")" \
        $(($(value evaluations.main "$work/line") + $(value evaluations.path "$work/line"))) "$case, $name: nfe"
    expect "$(value refined_tokens "$work/line")" "$(value evaluations.main "$work/line")" "$case, $name: refined"
}
# What follows compiles many kernels: on a slow driver one case of each kind of weights.
cases="llama-lora qwen2-full"
[[ -n ${VKDLM_TEST_QUICK:-} ]] || cases="$cases llama-full qwen2-lora-cfg"
for case in $cases; do
    reproduces "$case" single 4 midpoint 6 6
    reproduces "$case" euler8 8 euler 7 7
    base=$("$TOOL" ints "$l2d/$case/expected.safetensors" generate.base.prompt 0)
    ok generate -m "$l2d/$case" --ids "$base" -n 12 --steps 0 --temperature 0 --ignore-eos --json
    expect "$(ids "$out")" "$base $("$TOOL" ints "$l2d/$case/expected.safetensors" generate.base.tokens 0)" "$case: base"
    head -n 1 "$out" | "$TOOL" json evaluations.path | grep -qx 0 || fail "$case: the base alone runs the path"
done
[[ -z ${VKDLM_TEST_QUICK:-} ]] || exit 0
class=$("$TOOL" ints "$l2d/qwen2-lora-cfg/expected.safetensors" generate.class_only.class 0)
reproduces qwen2-lora-cfg class_only 4 midpoint 6 6 --class "$class"
reproduces qwen2-lora-cfg class_only 4 midpoint 6 6 --class "$class" --guidance 1

# ---- the seed, the batch ---------------------------------------------------------------------------------------
many=(generate -m "$l2d/qwen2-lora-cfg" --ids "5 6 7" -n 4 --ignore-eos --num-samples 4 --steps 3 --xhat-temperature 1 --json)
ok "${many[@]}" --batch 1
ids "$out" > "$work/one"
ok "${many[@]}" --batch 3
ids "$out" | cmp -s - "$work/one" || fail "the batch changes the tokens"
ok "${many[@]}" --seed 1
if ids "$out" | cmp -s - "$work/one"; then
    fail "the seed changes nothing"
fi

# Guidance runs two branches, but for the final evaluation.
ok "${many[@]}" --class 1 --guidance 1.5 --num-samples 1
expect "$(head -n 1 "$out" | "$TOOL" json evaluations.per_token)" '{"main":1.0,"path":7.0,"velocity_calls":4.0}' "guidance"

# ---- every solver and switch -------------------------------------------------------------------------------------
for words in "--solver heun2" "--solver heun3" "--solver rk4" "--estimate average --xhat-temperature 1" \
    "--estimate average --xhat-temperature polynomial_1_1" "--velocity edm" "--flow-end 0.9" \
    "--solver bosh3 --rtol 1e-2 --atol 1e-2" "--solver dopri5 --max-evals 20" "--kv-type f16" "--budget off"; do
    # shellcheck disable=SC2086
    ok generate -m "$l2d/qwen2-lora-cfg" --ids "5 6 7" -n 2 --ignore-eos --steps 3 $words --json
    expect "$(ids "$out" | wc -w)" 5 "$words"
    expect "$(head -n 1 "$out" | "$TOOL" json refined_tokens)" 2 "$words: refined tokens"
done
ok generate -m "$l2d/llama-lora" --ids "5 6 7" -n 2 --ignore-eos --solver dopri5 --rtol 1e-8 --atol 1e-8 --max-evals 20 --json
expect "$(head -n 1 "$out" | "$TOOL" json limited_tokens)" 2 "a limit of evaluations"
ok generate -m "$l2d/llama-lora" --ids "5 6 7" -n 2 --ignore-eos --solver bosh3 --rtol 1e-2 --atol 1e-2 --json
[[ $(head -n 1 "$out" | "$TOOL" json accepted_steps) -gt 0 ]] || fail "an adaptive solver without steps"

# What no token needs costs nothing.
for rule in entropy:1000 confidence:0; do
    ok generate -m "$l2d/llama-lora" --ids "5 6 7" -n 3 --ignore-eos --temperature 0 --budget $rule --json
    expect "$(head -n 1 "$out" | "$TOOL" json evaluations.path)" 0 "--budget $rule"
    expect "$(head -n 1 "$out" | "$TOOL" json refined_tokens)" 0 "--budget $rule"
done
ids "$out" > "$work/budget"
ok generate -m "$l2d/llama-lora" --ids "5 6 7" -n 3 --ignore-eos --temperature 0 --solver none --json
ids "$out" | cmp -s - "$work/budget" || fail "a token that is not refined is not the base's"

# ---- the bundled pair ----------------------------------------------------------------------------------------------
run 0 generate -m kjv-llama --l2d kjv-l2d -p "In the beginning" -n 4 --steps 2
matches "$out" '^In the beginning' "the text"
matches "$err" '^4 tokens in .* evaluations \(base 4, diffusion path 8\)' "the summary"
# Beside the base it needs no option.
mkdir "$work/both"
ln -s "$MODELS"/kjv-llama/* "$MODELS"/kjv-l2d/* "$work/both"
ok generate -m "$work/both" -p "In the beginning" -n 4 --steps 2 -q
cp "$out" "$work/text"
ok generate -m kjv-llama --l2d "$MODELS/kjv-l2d/l2d.safetensors" -p "In the beginning" -n 4 --steps 2 -q
cmp -s "$out" "$work/text" || fail "a path beside the base gives other tokens"

echo "In the beginning God created the heaven and the earth." > "$work/text"
ok score -m "$work/both" "$work/text" --steps 2 --draws 2 --json
expect "$(value draws "$out")" 2 "draws"
expect "$(value steps "$out")" 2 "steps"
expect "$(value evaluations.per_token "$out")" '{"main":1.0,"path":2.0,"velocity_calls":2.0}' "score: evaluations"
for member in accuracy accuracy_stderr expected_accuracy expected_accuracy_stderr nats nats_stderr entropy; do
    for part in base refined; do
        [[ $(value $part.$member "$out") != null ]] || fail "score: $part.$member"
    done
done
value base "$out" > "$work/base"
ok score -m "$work/both" "$work/text" --solver none --json
value base "$out" | cmp -s - "$work/base" || fail "the path changes the base's figures"
expect "$(value refined "$out")" null "score: the base alone"
run 0 score -m "$work/both" "$work/text" --steps 2 --max-tokens 4
matches "$out" '^refined +midpoint, 2 points, draws: 1$' "score for people"
matches "$out" '^cross-entropy +[0-9.]+ nats at t = 1 \(says little' "score for people"
matches "$out" '^evaluations +a token: 1.00 of the base; a draw: 2.00 of the diffusion path' "score for people"

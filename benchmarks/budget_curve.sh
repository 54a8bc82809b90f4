#!/bin/bash
# Accuracy against compute: what refining every token, none, or only the uncertain ones gives on a text.
#
#   benchmarks/budget_curve.sh FILE [VKDLM] [predictions] [MODEL] [L2D]
#
# One line a policy: mean evaluations of the diffusion path a token, share of the tokens that were refined, accuracy and
# expected accuracy (mean probability of the true token) with its standard error. x_hat is the likeliest token, the
# solver euler on a grid of evaluations + 1 points, windows of 256 tokens, seed 0.
set -euo pipefail

file=${1:?usage: budget_curve.sh FILE [VKDLM] [predictions] [MODEL] [L2D]}
vkdlm=${2:-build/release/bin/vkdlm}
predictions=${3:-12288}
model=${4:-kjv-llama}
path=${5:-kjv-l2d}

# value KEY OBJECT: the first number of a key in one line of JSON.
value() {
    sed -E "s/.*\"$1\":([-+0-9.e]+).*/\1/" <<< "$2"
}

# policy NAME OPTION...: one line of the table.
policy() {
    local name=$1 json quality
    shift
    json=$("$vkdlm" score --model "$model" --l2d "$path" --window 256 --max-tokens "$predictions" --json --quiet "$@" "$file")
    quality=$json
    [[ $json == *'"refined":{'* ]] && quality=${json#*'"refined":'}
    [[ $json == *'"refined":null'* ]] && quality=${json#*'"base":'}
    quality=${quality%%\}*}
    # The refined tokens are the last key of that name.
    awk -v name="$name" -v path="$(value path "${json#*per_token}")" \
        -v refined="$(value refined_tokens "$json")" -v tokens="$(value tokens "$json")" \
        -v accuracy="$(value accuracy "$quality")" -v expected="$(value expected_accuracy "$quality")" \
        -v error="$(value expected_accuracy_stderr "$quality")" -v seconds="$(value seconds "$json")" 'BEGIN {
        printf "%-28s %12.3f %9.1f %% %10.4f %10.4f +- %.4f %9.1f\n",
               name, path, 100 * refined / tokens, accuracy, expected, error, seconds }'
}

printf '%-28s %12s %11s %10s %20s %9s\n' policy evaluations refined accuracy 'expected accuracy' seconds
policy 'off' --steps 0
for n in 2 4 8 16; do
    policy "every token, $n" --solver euler --steps $((n + 1)) --xhat-temperature 0
done
for n in 2 8; do
    for threshold in 0.5 1 2 3; do
        policy "entropy >= $threshold, $n" --solver euler --steps $((n + 1)) --xhat-temperature 0 --budget "entropy:$threshold"
    done
done

#!/bin/bash
# The command `score` on a device.
. "$(dirname "$0")/lib.sh"

text=$work/text
echo "In the beginning God created the heaven and the earth. And the earth was without form, and void;" > "$text"
n_bytes=$(wc -c < "$text")
n_tokens=$("$VKDLM" tokenize --no-special -f "$text" | wc -w)

ok score "$text" --json --draws 4
expect "$(n_lines "$out")" 1 "lines"
expect "$(value tokens "$out")" "$n_tokens" "tokens"
expect "$(value bytes "$out")" "$n_bytes" "bytes"
expect "$(value draws "$out")" 4 "draws"
expect "$(value windows "$out")" 1 "windows"
expect "$(value stderr_text "$out")" null "stderr_text of one window"
expect "$(value bound "$out")" continuous "bound"
# A model that has read this book: below log(4096) = 8.3 nats, though a short text and few draws say little.
awk -v nats="$(value nats_per_token "$out")" -v bits="$(value bits_per_byte "$out")" \
    -v perplexity="$(value perplexity "$out")" -v error="$(value stderr "$out")" -v tokens="$n_tokens" -v bytes="$n_bytes" '
    function near(a, b) { return a - b < 1e-6 * b && b - a < 1e-6 * b }
    BEGIN {
        exit !(nats > 0.5 && nats < 8 && error > 0 && error < 2 && near(perplexity, exp(nats)) &&
               near(bits, nats * tokens / bytes / log(2)))
    }' || fail "the numbers do not belong together"

# A slow driver: what follows does not depend on it.
[[ -z ${VKDLM_TEST_QUICK:-} ]] || exit 0

# The same seed, the same figures, whatever the batch; standard input is a file like others.
value nats_per_token "$out" > "$work/expected"
ok score - --json --draws 4 --batch 1 < "$text"
value nats_per_token "$out" | cmp -s - "$work/expected" || fail "the batch changes the figures"
ok score "$text" --json --draws 4 --seed 1
if value nats_per_token "$out" | cmp -s - "$work/expected"; then
    fail "the seed changes nothing"
fi

ok score "$text" --json --window 16 --draws 2
expect "$(value windows "$out")" "$(((n_tokens + 15) / 16))" "windows of 16"
[[ $(value stderr_text "$out") != null ]] || fail "stderr_text of several windows"
ok score "$text" --json --window 16 --draws 1
expect "$(value stderr "$out")" null "stderr of one draw"
ok score "$text" --json --bound discrete --steps 16 --draws 4
expect "$(value bound "$out")" discrete "bound"
ok score "$text" --json --schedule cosine --draws 2

run 0 score "$text" --draws 2
matches "$out" '^nats per token +[0-9.]+ \(continuous bound\)$' "score for people"
matches "$out" '^perplexity +[0-9.]+$' "score for people"
matches "$err" 'evaluations in' "score for people"
ok score "$text" --draws 2 -q

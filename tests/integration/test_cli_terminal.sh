#!/bin/bash
# What a terminal shows: progress, and --show, which draws in place and leaves nothing behind.
. "$(dirname "$0")/lib.sh"

command -v script > /dev/null || exit 77
export TERM=xterm

# on_terminal COLUMNS ROWS ARGUMENT...: runs the program on a terminal; its bytes are in $out, the screen that they make
# in $work/screen.
on_terminal()
{
    local columns=$1 rows=$2 words
    shift 2
    printf -v words '%q ' "$VKDLM" "$@"
    : > "$err"
    script -qec "stty cols $columns rows $rows; exec $words" /dev/null < /dev/null > "$out" || fail "vkdlm $*: exit status $?"
    "$TOOL" screen "$columns" < "$out" > "$work/screen" 2> "$err" || fail "vkdlm $*: the screen"
}

# The text alone, in lines of the terminal's width: what the last screen must be.
ids="--ids $(seq -s , 300 340)"
# shellcheck disable=SC2086
ok generate $ids -n 60 --steps 6 --json
head -n 1 "$out" | "$TOOL" json text > "$work/text"
[[ $(wc -l < "$work/text") -ge 1 ]] || fail "no text"

for columns in 80 40 23; do
    # shellcheck disable=SC2086
    on_terminal "$columns" 24 generate $ids -n 60 --steps 6 --show -q
    grep -q $'\e\[[0-9]*A' "$out" || fail "--show does not draw in place"
    grep -q $'\e\[1;32m' "$out" || fail "--show: fresh tokens have no colour"
    grep -q $'\e\[2;36m' "$out" || fail "--show: masks have no colour"
    fold -w "$columns" "$work/text" | sed 's/ *$//' > "$work/expected"
    LC_ALL=C sed 's/[^ -~]\+/?/g' "$work/expected" > "$work/expected.ascii"
    cmp -s "$work/screen" "$work/expected.ascii" || {
        diff "$work/screen" "$work/expected.ascii" >&2 || true
        fail "--show at $columns columns leaves another screen"
    }
done

# A recorded run is replayed like it was shown.
# shellcheck disable=SC2086
ok generate $ids -n 60 --steps 6 -q --trajectory "$work/run.trajectory.safetensors"
for columns in 80 23; do
    on_terminal "$columns" 24 view --text --speed 0 "$work/run.trajectory.safetensors"
    grep -q $'\e\[[0-9]*A' "$out" || fail "view --text does not draw in place"
    grep -q $'\e\[1;32m' "$out" || fail "view --text: fresh tokens have no colour"
    fold -w "$columns" "$work/text" | sed 's/ *$//' > "$work/expected"
    LC_ALL=C sed 's/[^ -~]\+/?/g' "$work/expected" > "$work/expected.ascii"
    cmp -s "$work/screen" "$work/expected.ascii" || fail "view --text at $columns columns leaves another screen"
done

# A canvas higher than the terminal.
# shellcheck disable=SC2086
on_terminal 30 6 generate $ids -n 200 --steps 5 --show -q
if awk 'length > 30' "$work/screen" | grep -q .; then
    fail "a line is wider than the terminal"
fi

# Without colour, but still in place.
export NO_COLOR=1
# shellcheck disable=SC2086
on_terminal 80 24 generate $ids -n 60 --steps 6 --show -q
unset NO_COLOR
if grep -qE $'\e\[[0-9;]*[34][0-9]' "$out"; then
    fail "NO_COLOR is not honoured"
fi
grep -q $'\e\[1;4m' "$out" || fail "fresh tokens do not stand out without colour"

# A terminal without escape sequences gets lines.
export TERM=dumb
words="$(printf '%q ' "$VKDLM" generate -n 20 --steps 4 --show -q)"
script -qec "$words" /dev/null < /dev/null > "$out" || fail "--show on a dumb terminal"
if grep -q $'\e' "$out"; then
    fail "an escape sequence on a dumb terminal"
fi
export TERM=xterm

# What an autoregressive model says streams onto the terminal, once, and nothing else is there.
ok generate -m kjv-llama -p "In the beginning" -n 8 --temperature 0 -q
cp "$out" "$work/text"
on_terminal 80 24 generate -m kjv-llama -p "In the beginning" -n 8 --temperature 0 -q --show
fold -w 80 "$work/text" | sed 's/ *$//' > "$work/expected"
cmp -s "$work/screen" "$work/expected" || fail "--show streams another text"
on_terminal 80 24 generate -m kjv-llama --ids 5 -n 3 --num-samples 2 --show -q
expect "$(grep -c '^=== sample [12] of 2 ===$' "$work/screen")" 2 "headings of streamed samples"

# The progress bar is taken away before anything else is printed.
on_terminal 60 24 generate -n 60 --steps 40 --num-samples 3
expect "$(grep -c '^=== sample [123] of 3 ===$' "$work/screen")" 3 "headings"
if grep -q '\[[#.]*\]' "$work/screen"; then
    fail "a progress bar is left"
fi
tail -n 2 "$work/screen" | tr -d '\n' | grep -q 'tokens in .*evaluations' || fail "the summary is not the last line"

# Nothing of the model's steers the terminal: control characters are shown as '?'.
"$VKDLM" tokenize $'a\e[31mb\x07' > "$work/ids"
on_terminal 80 24 tokenize --decode "$(cat "$work/ids")"
expect "$(cat "$work/screen")" "a?[31mb?" "control characters"

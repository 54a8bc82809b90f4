#!/bin/bash
# The command `bench` on a device: rows, choices, pictures, comparisons.
. "$(dirname "$0")/lib.sh"

# A few small rows of several groups, and what every row must say.
few='matmul q4_0 768x1x768,norm 768x1x,cached *768x1x1024,probe dispatch'
ok bench --only "$few" --seconds 0.01 --json
cp "$out" "$work/a.json"
expect "$(head -n 1 "$out" | "$TOOL" json kind)" conditions "the first object"
expect "$(tail -n 1 "$out" | "$TOOL" json kind)" summary "the last object"
expect "$(tail -n 1 "$out" | "$TOOL" json complete)" true "the summary"
expect "$(tail -n 1 "$out" | "$TOOL" json rows)" 4 "rows of the summary"
grep '^{"kind":"probe"' "$out" | "$TOOL" json group | sort > "$work/probes"
expect "$(paste -sd' ' "$work/probes")" "dispatch multiply-add read" "the probes"
grep '^{"kind":"kernel"' "$out" > "$work/kernels"
expect "$(n_lines "$work/kernels")" 4 "kernels"
for key in us us_min us_max percent_of_limit gbps limit_gflops limit_gbps; do
    "$TOOL" json $key < "$work/kernels" | awk -v key=$key '
        !($1 + 0 > 0 && $1 + 0 < 1e12) { print key " is " $1; exit 1 }' || fail "a number that is not positive"
done
awk '!/"bound":"(compute|memory)"/ { exit 1 }' "$work/kernels" || fail "a row without its bound"
expect "$("$TOOL" json group < "$work/kernels" | sort | uniq -c | awk '{ print $2 $1 }' | paste -sd' ')" "cached2 matmul1 norm1" "groups"

# The table for people.
ok bench --only 'norm 768x1x' --seconds 0.01 --quiet
matches "$out" '^norm .* median .* % limit' "the heading"
matches "$out" '^  f32 +768 x 1 x 768 +mdlm-owt ' "the row"

# A model: the smallest there is.
ok bench -m "$GOLDEN/mdlm/notc" --only 'model *evaluation*' --seconds 0.01 --json
grep '^{"kind":"model"' "$out" > "$work/models"
expect "$(n_lines "$work/models")" 3 "rows of a model"
"$TOOL" json seconds_per_evaluation < "$work/models" | awk '!($1 > 0) { exit 1 }' || fail "an evaluation takes no time"

# Mistakes.
refuses 2 "'nothing-like-it' matches no row" bench --only nothing-like-it --json --quiet
refuses 2 "'--seconds' takes " bench --seconds 0
refuses 2 "'--seconds' takes " bench --seconds nan
refuses 2 "'--l2d' needs '--model" bench --l2d kjv-l2d
refuses 2 "takes files with '--compare' only" bench a.json
refuses 2 "'--compare' takes two files" bench --compare "$work/a.json"
refuses 1 "cannot open '$work/none.json'" bench --compare "$work/a.json" "$work/none.json"

# A file against itself; and damaged ones.
ok bench --compare "$work/a.json" "$work/a.json"
matches "$out" '^  geometric mean +1\.00 +1\.00$' "the comparison"
matches "$out" '^7 rows compared, 0 in A alone, 0 in B alone' "the comparison"
ok bench --compare "$work/a.json" "$work/a.json" --json
expect "$(tail -n 1 "$out" | "$TOOL" json rows)" 7 "the comparison"
grep '"kind":"kernel"' "$out" | "$TOOL" json ratio | awk '$1 != 1 { exit 1 }' || fail "a ratio is not 1"
expect "$(tail -n 1 "$out" | "$TOOL" json complete)" true "the comparison"
head -c -8 "$work/a.json" > "$work/cut.json"
refuses 1 "line $(n_lines "$work/a.json") of '$work/cut.json' is not JSON" bench --compare "$work/a.json" "$work/cut.json"
# A cut between two lines is seen by the summary that is missing.
head -n -1 "$work/a.json" > "$work/cut.json"
ok bench --compare "$work/a.json" "$work/cut.json"
matches "$out" "^B: $work/cut\.json, .*, not complete$" "a file without its end"
grep -q '^A: .* not complete$' "$out" && fail "a whole file is said not to be complete"
ok bench --compare "$work/a.json" "$work/cut.json" --json
expect "$(tail -n 1 "$out" | "$TOOL" json complete)" false "the comparison"
grep -v '"kind":"kernel"' "$work/a.json" | grep -v '"kind":"probe"' > "$work/empty.json"
refuses 1 "'$work/empty.json' has no row" bench --compare "$work/empty.json" "$work/a.json"

# The picture, where this build draws: a PNG that is complete, and nothing beside it.
mkdir "$work/folder"
code=0
"$VKDLM" bench --only 'norm 768x1x' --seconds 0.01 --png "$work/folder/roof.png" > "$out" 2> "$err" || code=$?
drop_progress
if grep -q 'not part of this build' "$err"; then
    expect "$code" 1 "exit status without cairo"
    expect "$(ls -A "$work/folder")" "" "the folder"
else
    expect "$code" 0 "exit status with a picture"
    expect "$(ls -A "$work/folder")" roof.png "the folder"
    expect "$(head -c 8 "$work/folder/roof.png" | od -An -tx1 | tr -d ' ')" 89504e470d0a1a0a "the signature"
    expect "$(tail -c 8 "$work/folder/roof.png" | head -c 4)" IEND "the end"
    refuses 1 "cannot write '$work/none/roof.png'" bench --only norm --png "$work/none/roof.png"
    refuses 1 "no regular file" bench --only norm --png /dev/null
fi

# Ctrl-C: what is done is printed.
"$VKDLM" bench --all --json --seconds 0.01 > "$out" 2> "$err" &
pid=$!
for ((i = 0; i < 600 && $(n_lines "$out") < 3; i++)); do
    sleep 0.1
done
kill -INT $pid
code=0
wait $pid || code=$?
drop_progress
expect "$code" 130 "exit status after Ctrl-C"
one_line '^vkdlm: interrupted after [0-9]+ rows$' "Ctrl-C"
expect "$(tail -n 1 "$out" | "$TOOL" json complete)" false "the summary after Ctrl-C"

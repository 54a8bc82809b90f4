#!/bin/bash
# Recorded runs: what `generate --trajectory` writes, and what `trajectory` and `view --text` show of it.
. "$(dirname "$0")/lib.sh"

file=$work/run.trajectory.safetensors
model=("-m" "$GOLDEN/mdlm/notc")

# Recording changes no token; the file ends where the run ended.
ok generate "${model[@]}" --steps 12 --seed 4 --json -q
head -n 1 "$out" | "$TOOL" json ids > "$work/ids"
nfe=$(head -n 1 "$out" | "$TOOL" json nfe)
ok generate "${model[@]}" --steps 12 --seed 4 --json -q --trajectory "$file" --top 3
head -n 1 "$out" | "$TOOL" json ids > "$work/recorded"
cmp -s "$work/ids" "$work/recorded" || fail "recording changes the tokens"
ok trajectory info "$file" --json
expect "$("$TOOL" json kind < "$out")" masked "the kind"
expect "$("$TOOL" json evaluations < "$out")" "$nfe" "evaluations"
expect "$("$TOOL" json candidates < "$out")" 3 "candidates"
expect "$("$TOOL" json sampler.steps < "$out")" 12 "the sampler's steps"
length=$("$TOOL" json length < "$out")
expect "$("$TOOL" json filled < "$out")" "$length" "positions that were filled"
ok trajectory info "$file"
matches "$out" "^canvas +$length tokens, of which $length were filled in $nfe recorded steps" "the summary"

# The last step has the run's tokens, the first only masks; every position takes its token once.
ok trajectory export "$file"
expect "$(n_lines "$out")" $((length + 1)) "lines of a step"
"$TOOL" json ids < <(printf '{"ids":[%s]}\n' "$(tail -n +2 "$out" | cut -d, -f5 | paste -sd,)") > "$work/exported"
cmp -s "$work/ids" "$work/exported" || fail "the last step has other tokens than the run"
ok trajectory export "$file" --step 0
expect "$(tail -n +2 "$out" | cut -d, -f5 | sort -u | wc -l)" 1 "tokens at the start"
ok trajectory export "$file" --all -o "$work/all.csv"
[[ ! -s $out ]] || fail "--output also writes to standard output"
expect "$(n_lines "$work/all.csv")" $(((nfe + 1) * length + 1)) "lines of all steps"
expect "$(tail -n +2 "$work/all.csv" | awk -F, '$7 == 1' | wc -l)" "$length" "positions that changed"
expect "$(head -n 1 "$work/all.csv")" \
    "step,time,nfe,position,token,text,changed,confidence,entropy,top1_id,top1_text,top1_prob,top2_id,top2_text,top2_prob,top3_id,top3_text,top3_prob" "the names"
ok trajectory export "$file" --all --format json
expect "$(n_lines "$out")" $((nfe + 1)) "objects of all steps"
expect "$(tail -n 1 "$out" | "$TOOL" json step)" "$nfe" "the last object"
refuses 2 "'--step' is 0 to $nfe of this file, not $((nfe + 1))" trajectory export "$file" --step $((nfe + 1))

# Every masked position.
ok generate "${model[@]}" --steps 3 --seed 4 -q --trajectory "$file" --top 1 --every-position
ok trajectory export "$file" --step 1
expect "$(tail -n +2 "$out" | awk -F, '$8 == ""' | wc -l)" 0 "positions that were not evaluated"

# A replay ends with the text of the run, and tells every step.
ok generate -n 30 --steps 6 --seed 2 -q --trajectory "$file"
cp "$out" "$work/text"
run 0 view --text "$file"
cmp -s "$out" "$work/text" || fail "view --text prints another text"
expect "$(grep -c '^sample 0  step [0-9]* of [0-9]*  t ' "$err")" "$(($("$VKDLM" trajectory info "$file" --json | "$TOOL" json steps) + 1))" "steps of the replay"

# Runs of a flow.
l2d=("-m" "$GOLDEN/l2d/llama-lora" --ids "5 9" -n 3 --steps 4 --ignore-eos --seed 1)
ok generate "${l2d[@]}" --json -q
head -n 1 "$out" | "$TOOL" json ids > "$work/ids"
velocities=$(head -n 1 "$out" | "$TOOL" json evaluations.velocity_calls)
ok generate "${l2d[@]}" --json -q --trajectory "$file" --top 2
head -n 1 "$out" | "$TOOL" json ids > "$work/recorded"
cmp -s "$work/ids" "$work/recorded" || fail "recording changes the tokens of a flow"
ok trajectory info "$file" --json
expect "$("$TOOL" json kind < "$out")" flow "the kind of a flow"
expect "$("$TOOL" json prompt_kind < "$out")" ids "what the prompt of a flow is"
expect "$("$TOOL" json prompt_ids < "$out")" "5 9" "the prompt's tokens"
expect "$("$TOOL" json evaluations < "$out")" $((velocities + 3)) "evaluations of a flow"
ok trajectory export "$file" --all
expect "$(n_lines "$out")" $((velocities + 4)) "lines of a flow"
ok trajectory export "$file" --all --format json
expect "$(n_lines "$out")" 3 "objects of a flow"
ok view --text "$file"
expect "$(grep -c "entropy .* nats in .* evaluations: '" "$out")" 3 "tokens of the replay"

# What cannot be recorded, and where.
refuses 2 "'--trajectory' records one sample, but 2 were asked for" generate "${model[@]}" --num-samples 2 --trajectory "$file"
refuses 2 "which '--steps 0' leaves out" generate -m "$GOLDEN/l2d/llama-lora" --ids 5 --steps 0 --trajectory "$file"
refuses 1 "cannot create '$work/none/x'" generate "${model[@]}" --trajectory "$work/none/x"
if [[ -w /dev/full ]]; then
    run 1 generate "${model[@]}" --steps 2 -q --trajectory /dev/full
    one_line "cannot write '/dev/full'" "a full disk"
fi

# Ctrl-C keeps the steps that were finished, as a whole file.
rm -f "$file"
code=0
"$VKDLM" generate -n 256 --sampler ddpm --steps 100000 --trajectory "$file" -q > "$out" 2> "$err" &
pid=$!
sleep 4
kill -INT "$pid"
wait "$pid" || code=$?
expect "$code" 130 "the exit status of a recording that was stopped"
if [[ -e $file ]]; then
    ok trajectory info "$file" --json
    steps=$("$TOOL" json steps < "$out")
    [[ $steps -ge 1 && $steps -lt 100000 ]] || fail "$steps steps were kept"
else
    matches "$err" "interrupted|expected a step, found none" "a recording that was stopped before its first step"
fi

# kill -9 leaves nothing under the name.
rm -f "$file"
"$VKDLM" generate -n 256 --sampler ddpm --steps 100000 --trajectory "$file" -q > "$out" 2> "$err" &
pid=$!
sleep 3
kill -KILL "$pid"
wait "$pid" || true
[[ ! -e $file ]] || fail "a recording that was killed left a file"
[[ -z $(find "$work" -name '.vkdlm*') ]] || fail "a recording that was killed left its steps behind"

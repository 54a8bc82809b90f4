#!/bin/bash
# Ctrl-C on a device: what is finished is kept and printed, the exit status is 130.
. "$(dirname "$0")/lib.sh"

# interrupt SIGNAL CODE ARGUMENT...: starts the program, waits for its first line of output, sends the signal.
interrupt()
{
    local signal=$1 expected=$2 code=0 i
    shift 2
    : > "$out" # it is counted before the program's shell may have opened it
    "$VKDLM" "$@" > "$out" 2> "$err" &
    local pid=$!
    for ((i = 0; i < 600 && $(n_lines "$out") == 0; i++)); do
        sleep 0.1
    done
    kill -s "$signal" "$pid"
    wait "$pid" || code=$?
    drop_progress
    [[ $code -eq $expected ]] || fail "vkdlm $*: exit status $code after SIG$signal, expected $expected"
}

many=100000
interrupt INT 130 generate -m "$GOLDEN/mdlm/notc" --steps 16 --batch 2 --num-samples $many --json
one_line "interrupted when [0-9]+ of $many samples were finished" "generate"
n=$(n_lines "$out")
[[ $n -ge 2 && $n -lt $many ]] || fail "generate: $n lines"
expect "$(head -n $((n - 1)) "$out" | "$TOOL" json sample | sort -n | uniq | wc -l)" $((n - 1)) "samples that are whole"
expect "$(tail -n 1 "$out" | "$TOOL" json summary.samples)" $((n - 1)) "the summary"
matches "$err" "interrupted when $((n - 1)) of" "the sentence"

interrupt TERM 143 generate -m "$GOLDEN/mdlm/notc" --steps 16 --batch 2 --num-samples $many --json
one_line "interrupted when [0-9]+ of $many" "SIGTERM"

# A text that takes long to score. --foreground: one signal, to the program alone; a second one would kill it.
seq 1 20000 > "$work/text"
code=0
timeout --foreground --preserve-status -s INT 4 "$VKDLM" score "$work/text" --draws 1000 --window 32 --batch 2 > "$out" 2> "$err" || code=$?
expect "$code" 130 "score"
matches "$err" '^vkdlm: interrupted' "score"

# An autoregressive model: samples that are whole are there, the one that was running is not.
interrupt INT 130 generate -m "$GOLDEN/l2d/llama-lora" --ids 5 -n 8 --steps 2 --ignore-eos --num-samples $many --batch 2 --json
one_line "interrupted when [0-9]+ of $many samples were finished" "generate with a diffusion path"
n=$(n_lines "$out")
[[ $n -ge 2 && $n -lt $many ]] || fail "generate with a diffusion path: $n lines"
expect "$(head -n $((n - 1)) "$out" | "$TOOL" json length | sort -u)" 9 "samples that are whole"
expect "$(tail -n 1 "$out" | "$TOOL" json summary.samples)" $((n - 1)) "the summary of samples with a diffusion path"
matches "$err" "interrupted when $((n - 1)) of" "the sentence"

# The predictions that were made are reported, the bytes that they stand for are not known.
seq 1 60000 > "$work/text"
code=0
timeout --foreground --preserve-status -s INT 6 "$VKDLM" score -m kjv-llama "$work/text" --window 64 --json > "$out" 2> "$err" || code=$?
drop_progress
expect "$code" 130 "score with an autoregressive model"
one_line '^vkdlm: interrupted' "score with an autoregressive model"
if [[ -s $out ]]; then
    expect "$(value bits_per_byte "$out")" null "bits per byte of a text that was scored in part"
fi

#!/bin/bash
# Help, exit statuses and mistakes on the command line. Needs no device.
. "$(dirname "$0")/lib.sh"

commands="devices info generate score forward tokenize quantize bench view trajectory"

ok --help
for command in $commands; do
    matches "$out" "^  $command " "the list of commands"
done
cp "$out" "$work/list"
ok -h
cmp -s "$out" "$work/list" || fail "-h and --help differ"
ok --version
matches "$out" '^vkdlm [0-9]+\.[0-9]+\.[0-9]+$' "--version"

for command in $commands; do
    ok "$command" --help
    for option in device json quiet verbose help version; do
        matches "$out" "--$option" "the help of $command"
    done
    # Every option that takes a value tells its default: the entry ends before the next option or an empty line.
    awk '/^ {2,6}(-[a-z], )?--[a-z0-9-]+ [A-Z"]/ { if (open) exit 1; open = 1 }
         /default: |^$/ { open = 0 }
         END { exit open }' <(sed '/^For other kinds/,$d' "$out") || fail "the help of $command lacks a default"
    ok "$command" -h
    ok "$command" --version
    refuses 2 "no option '--nonsense-xyz'" "$command" --nonsense-xyz
    refuses 2 "no option '--quite'; did you mean '--quiet'" "$command" --quite
    refuses 2 "no option '-Z'" "$command" -Z
    refuses 2 "'--device' lacks its value" "$command" --device
    refuses 2 "'--json' takes no value" "$command" --json=1
done
refuses 1 "'x'|the viewer is not installed" view x
refuses 2 "'--text' and '--png' exclude each other" view --text --png y x

refuses 2 "a command is missing"
refuses 2 "no command 'generat'; did you mean 'generate'" generat
refuses 2 "no command 'xyz'" xyz
refuses 2 "no command '--json'" --json

refuses 2 "'generate' takes no argument" generate text
refuses 2 "'devices' takes no argument" devices 0
refuses 2 "'score' needs FILE" score
refuses 2 "'forward' needs IN.safetensors" forward
refuses 2 "needs '--output" forward in.safetensors
refuses 2 "needs '--output" quantize
refuses 2 "one too many" tokenize a b
refuses 2 "lacks its value N: the next word is the option '--json'" generate --length --json
refuses 2 "lacks its value" generate --steps

# Values out of range, and values that are no numbers.
while read -r option values; do
    for value in $values; do
        refuses 2 "'$option' takes " generate "$option" "$value"
        refuses 2 "'$option' takes " generate "$option=$value"
    done
done <<'END'
--steps 0 -1 1000001 18446744073709551616 3.5 x 0x10
--length 0 -4 x 1e3
--num-samples 0 x
--batch 0 -1
--seed -1 x 1.5
--top-k -1 x
--top-p 0 1.5 nan -1 x
--temperature 0 -1 inf nan x
--end-time 0 1 nan x
--schedule-eps 0 1 nan
--stride 0
--strides 0
--sampler x DDPM
--schedule x
END
refuses 2 "'--draws' takes " score --draws 0 x
refuses 2 "'--bound' takes one of continuous, discrete" score --bound exact x

# Options that exclude each other.
refuses 2 "'--prompt' and '--file' exclude" generate -p a -f b
refuses 2 "'--ids' and '--prompts' exclude" generate --ids 1 --prompts b
refuses 2 "'--prompt' and '--template' exclude" generate -p a --template 'b[MASK]'
refuses 2 "'--length' does not go with '--template'" generate --template 'b[MASK]' -n 3
refuses 2 "'--stride' needs '--strides'" generate --stride 3
refuses 2 "'--strides' needs '--stride'" generate --strides 3
refuses 2 "does not go with the schedule linear" generate --schedule linear --schedule-eps 0.1
refuses 2 "does not go with the schedule loglinear" generate --sigma-max 3
refuses 2 "'--sigma-min' is 5" generate --schedule linear --sigma-min 5 --sigma-max 4
refuses 2 "'--steps' goes with '--bound discrete'" score --steps 3 x
refuses 2 "'--model' and '--tokenizer' exclude" tokenize -m a --tokenizer b c
refuses 2 "'--decode' and a text exclude" tokenize --decode 1 a

# Recordings.
refuses 2 "'--top' needs '--trajectory' or '--view' beside it" generate --top 3
refuses 2 "'--every-position' needs '--trajectory' or '--view' beside it" generate --every-position
refuses 2 "'trajectory' takes info or export, not 'inform'" trajectory inform x
refuses 2 "'--step', '--all', '--format' and '--output' belong to 'trajectory export'" trajectory info x --all
refuses 2 "'--json' belongs to 'trajectory info'" trajectory export x --json
refuses 2 "'--step' and '--all' exclude each other" trajectory export x --all --step 3
refuses 1 "cannot open|No such file|not found" trajectory info /nonexistent/x
refuses 1 "expected a trajectory" view --text "$MODELS/kjv-mdlm/model.safetensors"

# Options of other kinds of models are never ignored: the line names those that fit.
while read -r option kind; do
    # shellcheck disable=SC2086 # an option and its value
    refuses 2 "'${option%%=*}' belongs to $kind models and does not fit .*mdlm.* takes --sampler, --steps, " generate $option
done <<'END'
--solver=euler L2D
--solver=none L2D
--rtol=1 L2D
--atol=1 L2D
--max-evals=3 L2D
--first-step=-1 L2D
--estimate=sample L2D
--xhat-temperature=1 L2D
--velocity=edm L2D
--flow-end=0.9 L2D
--guidance=2 L2D
--class=1 L2D
--noise=x L2D
--budget=off L2D
--l2d=x autoregressive
--kv-type=f16 autoregressive
--ignore-eos autoregressive
END
refuses 2 "'--chat' belongs to autoregressive models" generate --chat -p x
for sampler in confidence margin entropy random threshold factor; do
    refuses 2 "'--sampler $sampler' belongs to LLaDA and Dream models .* takes ddpm-cache, ddpm, analytic, first-hitting" \
        generate --sampler "$sampler"
done
refuses 2 "'--solver' belongs to L2D models .* takes --bound, --steps, " score --solver euler "$0"
refuses 2 "'--max-tokens' belongs to autoregressive models" score --max-tokens 5 "$0"
refuses 2 "'--l2d' belongs to autoregressive models .* takes --output, --hidden" \
    forward --l2d kjv-l2d "$GOLDEN/mdlm/tiny/expected.safetensors" -o "$work/x"

llama="-m $MODELS/kjv-llama"
l2d="$llama --l2d $MODELS/kjv-l2d"
# shellcheck disable=SC2086 # words
{
    for option in --sampler=ddpm --schedule=cosine --schedule-eps=0.1 --sigma-min=1 --end-time=0.1 --no-final-denoise \
        --stride=3 --strides=2 "--template=a[MASK]"; do
        for model in "$llama" "$l2d"; do
            refuses 2 "'${option%%=*}' belongs to masked diffusion models and does not fit .*kjv-llama' \(llama with.* takes .*--temperature" \
                generate $model "$option"
        done
    done
    refuses 2 "'--bound' belongs to masked diffusion models" score $l2d --bound discrete "$0"
    # A base without a path takes what asks for the base alone, and is told how a path is added.
    for option in --solver=euler --steps=8 --steps=1 --rtol=1e-3 --guidance=2 --class=1 --noise=x --budget=off --first-step=1; do
        refuses 2 "'${option%%=*}' belongs to (masked diffusion and )?L2D models and does not fit .*kjv-llama' \(llama without a diffusion path\).* takes .*; '--l2d PATH' adds a diffusion path" \
            generate $llama $option
    done
    refuses 2 "'--draws' belongs to masked diffusion and L2D models" score $llama --draws 3 "$0"

    # Values that no diffusion path takes.
    refuses 2 "'--solver' takes one of none, euler, .*, not 'midpiont'; did you mean 'midpoint'" generate $l2d --solver midpiont
    refuses 2 "'--solver' takes one of none, euler, .*, not 'rk5'; did you mean 'rk4'" score $l2d --solver rk5 "$0"
    while read -r option values; do
        for value in $values; do
            refuses 2 "'$option' takes " generate $l2d "$option=$value"
        done
    done <<'END'
--steps 1 10001 -1 x
--rtol 0 -1 2 nan x
--atol 0 1.5
--max-evals 0 1000001 x
--first-step 0 2 x
--flow-end 0 1.1
--estimate mean
--velocity linear
--class -1 x
--guidance inf x 1e9
--budget on entropy entropy: entropy:-1 entropy:x confidence:2 confidence:nan
--kv-type f8
--temperature -1
END
    refuses 2 "'--guidance' needs '--class'" generate $l2d --guidance 2
    refuses 2 "'--steps 4' does not go with '--solver none'" generate $l2d --steps 4 --solver none
    refuses 2 "'--system' needs '--chat'" generate $llama --system x -p y
    refuses 2 "'--chat' needs a text" generate $llama --chat
    refuses 2 "'--chat' needs a text" generate $llama --chat --ids 1
    refuses 2 "'--window' is 2 tokens or more" score $llama --window 1 "$0"
}

# A hostile word does not steer the terminal.
refuses 2 "no option" generate $'--x\e[2J\nlast'

# Writes that fail: a full disk, a closed pipe, a closed descriptor.
if [[ -e /dev/full ]]; then
    for words in "--help" "--version" "generate --help" "info --json" "info" "tokenize text"; do
        code=0
        # shellcheck disable=SC2086
        "$VKDLM" $words > /dev/full 2> "$err" || code=$?
        : > "$out"
        expect "$code" 1 "vkdlm $words on a full disk"
        one_line "cannot write to standard output: No space left" "vkdlm $words on a full disk"
    done
fi
for words in "--help" "info --json" "tokenize text"; do
    # The reader is gone before the program writes.
    # shellcheck disable=SC2086
    { sleep 0.3; c=0; "$VKDLM" $words 2> "$err" || c=$?; echo "$c" > "$work/code"; } | true
    expect "$(cat "$work/code")" 1 "vkdlm $words into a closed pipe"
    one_line "cannot write to standard output: Broken pipe" "vkdlm $words into a closed pipe"
done
code=0
"$VKDLM" tokenize text >&- 2> "$err" || code=$?
expect "$code" 1 "vkdlm tokenize with standard output closed"
one_line "cannot write to standard output" "vkdlm tokenize with standard output closed"

#!/bin/bash
# What `view` and `generate --view` start the viewer with, on a viewer that prints its words. Needs no device.
. "$(dirname "$0")/lib.sh"

# The program in a folder of its own, where its viewer is looked for first.
cd "$work"
mkdir bin search
cp "$VKDLM" bin/vkdlm
VKDLM=$work/bin/vkdlm
make_viewer()
{
    # shellcheck disable=SC2016 # for the script
    printf '#!/bin/bash\necho "I am %s"\nprintf "[%%s]\\n" "$@"\n' "$1" > "$2"
    chmod +x "$2"
}

# ---- without a viewer -------------------------------------------------------------------------------------
export PATH=/usr/bin:/bin
refuses 1 "the viewer is not installed: there is no program '$work/bin/vkdlm-view'; '--text' replays the run on a terminal" \
    view some.file
refuses 1 "the viewer is not installed: there is no program '$work/bin/vkdlm-view'; '--show' draws the run on a terminal" \
    generate --view

# ---- the one that is found by PATH, and the one beside the program ------------------------------------------
export PATH=$work/search:$PATH
make_viewer searched "$work/search/vkdlm-view"
ok view some.file
expect "$(head -n 1 "$out")" "I am searched" "the viewer"
make_viewer beside "$work/bin/vkdlm-view"
ok view some.file
expect "$(cat "$out")" $'I am beside\n[--]\n[some.file]' "the words"
ok view one two --png=a.png --report "r r.json" --device 1 --step 4 --guesses
expect "$(cat "$out")" \
    $'I am beside\n[--step=4]\n[--guesses]\n[--png=a.png]\n[--report=r r.json]\n[--device=1]\n[--]\n[one]\n[two]' "the words"

# ---- runs in the window -----------------------------------------------------------------------------------
# word NAME: what stands behind --NAME=
word()
{
    sed -n "s/^\[--$1=\(.*\)\]\$/\1/p" "$out"
}
# run_is MEMBER VALUE: in the JSON of --run
run_is()
{
    expect "$(word run | "$TOOL" json "$1")" "$2" "$1 of the run"
}

ok generate --view
expect "$(grep -c '^\[' "$out")" 5 "words"
[[ -r $(word live) && $(word live) == *kjv-mdlm-q8_0.gguf ]] || fail "the model is not there"
expect "$(word given)" prompt "what is given"
expect "$(grep -c '^\[--text=\]$' "$out")" 1 "an empty text"
expect "$(word seed)" 0 "the seed"
run_is sampler ddpm-cache
run_is steps 64
run_is candidates 8
run_is evaluate_all true

ok generate --view -p "In the = beginning --seed" -n 40 --steps 9 --sampler analytic --schedule geometric --seed 12345678901 \
    --temperature 0.5 --top 3 --every-position --trajectory "a b.safetensors" --device llvm -q
expect "$(word text)" "In the = beginning --seed" "the text"
expect "$(word length)" 40 "the length"
expect "$(word seed)" 12345678901 "the seed"
expect "$(word save)" "a b.safetensors" "the file"
expect "$(word device)" llvm "the device"
run_is sampler analytic
run_is schedule geometric
run_is steps 9
run_is temperature 0.5
run_is candidates 3
run_is evaluate_all true
[[ ! -e "a b.safetensors" ]] || fail "a file was written"

printf 'two\nlines\n' > "$work/prompt"
ok generate --view -f "$work/prompt" --sampler first-hitting
grep -qzF $'[--text=two\nlines]\n' "$out" || fail "the text of a file"
run_is steps 0
run_is first_time 1.0
ok generate --view --template "the [MASK:2] of"
expect "$(word given)" masks "a template is given"
expect "$(word text)" "the [MASK:2] of" "the template"
ok generate --view --ids "1 2, 3" --tokenizer "$MODELS/kjv-mdlm"
expect "$(word given)" ids "ids are given"
expect "$(word text)" "1 2, 3" "the ids"
expect "$(word tokenizer)" "$MODELS/kjv-mdlm" "the tokenizer"

ok generate --view -m kjv-llama --l2d kjv-l2d -p "And" -n 20 --solver bosh3 --max-evals 40 --temperature 0 --kv-type f16 \
    --ignore-eos
[[ -e $(word live) && -e $(word l2d) && $(word l2d) == *kjv-l2d ]] || fail "the path is not there"
run_is max_tokens 20
run_is solver bosh3
run_is max_evaluations 40
run_is greedy true
run_is kv_type f16
run_is ignore_end true
run_is candidates 8
run_is base_alone false
ok generate --view -m kjv-llama --l2d kjv-l2d --steps 0
run_is base_alone true

# ---- what does not go together --------------------------------------------------------------------------------
refuses 2 "'--view' shows one sample, but 2 were asked for" generate --view --num-samples 2
for option in --json --show --prompts=x --memory-limit=100; do
    [[ $option != --prompts=x ]] || echo '{"text":"a"}' > x
    refuses 2 "'--view' and '${option%%=*}' exclude each other" generate --view "$option"
done
refuses 2 "'--view' and '--noise' exclude each other" generate --view -m kjv-llama --l2d kjv-l2d --noise x
refuses 2 "'--view' and '--chat' exclude each other" generate --view -m kjv-llama --l2d kjv-l2d --chat -p a
refuses 2 "'--view' belongs to masked diffusion and L2D models" generate --view -m kjv-llama
refuses 2 "'--trajectory' records the diffusion path, which '--steps 0' leaves out" \
    generate --view -m kjv-llama --l2d kjv-l2d --steps 0 --trajectory x
refuses 2 "'--solver' belongs to L2D models" generate --view --solver euler
refuses 2 "'--sampler' takes" generate --view --sampler none
refuses 2 "'--ids': entry 1 is 'x', not a token id" generate --view --ids "1 x"
refuses 1 "nowhere" generate --view -m "$work/nowhere"
printf 'a\0b' > "$work/zero"
refuses 2 "has a byte that is 0" generate --view -f "$work/zero"
head -c 200000 /dev/zero | tr '\0' a > "$work/long"
refuses 1 "the viewer '.*' cannot be started: Argument list too long" generate --view -f "$work/long"

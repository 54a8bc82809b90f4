#!/bin/bash
# A live run is recorded when its window is closed, as --save asks; the recording is opened, its model with it, edited,
# gone on with, and saved again. Windows that are closed while a model loads are closed. MODEL is a small masked model
# of 210 tokens, TOKENIZER one of as many.
source "$(dirname "$0")/lib.sh"
: "${MODEL:?}" "${TOKENIZER:?}"

close()
{
    if [[ -n ${CLOSE_WINDOW:-} ]]; then
        "$CLOSE_WINDOW" "$window"
    else
        press q
    fi
}

tokens()
{
    for ((i = 0; i < 16; i++)); do
        ask "runs.0.position=$i.token"
    done | paste -sd " "
}

start_display 1000 700
options=(--live "$MODEL" --given ids --text "5 7" --seed 3 --length 16 --run '{"sampler":"ddpm","steps":6}')
start_viewer "${options[@]}" --save run.safetensors
expect phase finished
steps=$(ask n_steps)
ran=$(tokens)
[[ ! -e run.safetensors ]] || fail "the recording is there too early"
close
ends_with 0
[[ -s run.safetensors ]] || fail "the run was not recorded"

# Paused, it is recorded as far as it is.
start_viewer "${options[@]}" --save part.safetensors
press p
expect phase "@(paused|finished)"
close
ends_with 0
[[ -s part.safetensors ]] || fail "the part was not recorded"

# Opened with its model.
start_viewer run.safetensors
press End
expect step "$steps"
expect n_steps "$steps"
[[ $(tokens) == "$ran" ]] || fail "the recording has other tokens"
press o
expect phase ready
expect step "$steps"
point_token 9
xdotool click 1 key m key Tab key Tab key m
expect edits "9 -1 11 -1"
xdotool key Return
expect edits ""
expect phase finished
expect runs.0.position=9.token "[0-9]*"
expect runs.0.position=11.token "[0-9]*"
rest_mouse
tokens_right 16
last=$(tokens)
xdotool key ctrl+s key ctrl+a type --delay 4 "edited.safetensors"
xdotool key Return
until_true test -s edited.safetensors || fail "nothing is saved"
expect typing false
press q
ends_with 0

start_viewer edited.safetensors
press End
steps=$(ask n_steps)
expect step "$steps"
[[ $(tokens) == "$last" ]] || fail "the saved recording has other tokens"
press q
ends_with 0

# Closed while the model loads, and its kernels are compiled anew.
export XDG_CACHE_HOME=$work/cache MESA_SHADER_CACHE_DIR=$work/mesa
start_viewer "${options[@]}"
close
ends_with 0
echo "recordings are gone on with"

#!/bin/bash
# A run of a flow that the window makes, of a prompt that is typed; a token of it is replaced, the run goes on from
# there, and all its steps are drawn as an animation. FLOW is a small causal model with a diffusion path.
source "$(dirname "$0")/lib.sh"
: "${FLOW:?}" "${TOKENIZER:?}"

is_gif()
{
    [[ $(head -c 6 "$1") == GIF89a && $(tail -c 1 "$1" | od -An -tx1) == " 3b" ]]
}

start_display 1000 700
start_viewer --live "$FLOW" --tokenizer "$TOKENIZER" --text "In" --seed 3 --length 4 \
    --run '{"solver":"euler","max_tokens":4,"steps":2}'
expect phase finished
expect n_steps 4
xdotool key i key End type --delay 4 " the"
xdotool key ctrl+Return
expect prompt "In the"
expect typing false
expect phase finished
expect n_steps 4
rest_mouse
tokens_right 4
first=$(ask runs.0.position=0.token)

# The second token becomes another: those behind it are made anew.
press Tab Tab
expect selected 1
xdotool key alt+2
expect edits "1 *"
chosen=$(ask edits)
xdotool key Return
expect edits ""
expect phase finished
expect n_steps 4
expect runs.0.position=1.token "${chosen#1 }"
expect runs.0.position=0.token "$first"

# The window goes on while the animation is drawn; it has all steps when the window is closed.
xdotool key ctrl+s
until_true ask areas.Animation || fail "nothing asks for a name"
point Animation
xdotool click 1 key ctrl+a type --delay 4 "run.gif"
xdotool key Return
expect typing false
press Home
expect step 0
press q
ends_with 0
is_gif run.gif || fail "there is no animation"
echo "a flow is run"

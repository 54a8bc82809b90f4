#!/bin/bash
# A run that the window makes: paused, a step at a time, cancelled, with another prompt; then a token is masked again,
# the run goes on, and is saved as a recording. MODEL is a small masked model of 210 tokens.
source "$(dirname "$0")/lib.sh"
: "${MODEL:?}"

more_steps_than()
{
    (($(ask n_steps) > $1))
}

start_display 1280 800
# It does not end before it is cancelled.
start_viewer --live "$MODEL" --given ids --text "5 7" --seed 3 --length 24 --run '{"sampler":"ddpm","steps":5000}'
until_true more_steps_than 3 || fail "the run does not run: $(ask phase) $(ask live_problem)"
press p
expect phase paused
steps=$(ask n_steps)
expect step "$steps"
press n
expect n_steps $((steps + 1))
expect phase paused
rest_mouse
point "one step"
xdotool click 1
expect n_steps $((steps + 2))
expect phase paused
rest_mouse
tokens_right 12
expect runs.0.position=1.token 7
press p
until_true more_steps_than $((steps + 3)) || fail "the run does not resume"
point "cancel run"
xdotool click 1
expect phase stopped
rest_mouse

# Another prompt, and fewer steps.
press i
expect typing true
press ctrl+a
xdotool type --delay 30 "9 11 13"
expect prompt "9 11 13"
press Tab Tab
xdotool type --delay 30 60
press ctrl+Return
expect runs.0.position=2.token 13
expect phase finished
# It ends where nothing is masked any more.
(($(ask n_steps) <= 60)) || fail "the run takes $(ask n_steps) steps"
expect step "$(ask n_steps)"
tokens_right 24

# A token is masked again, and another one is replaced; then the first edit is all there is.
point_token 20
xdotool click 1
expect selected 20
press m
expect edits "20 -1"
press Tab alt+2
expect edits "20 -1 21 *"
press u
expect edits "20 -1"
press Home
expect step 0
press shift+u
expect edits ""
press End m
expect edits "21 -1"
expect runs.0.position=20.token "[0-9]*"
kept=$(ask runs.0.position=20.token)
steps=$(ask n_steps)
point "go on"
xdotool click 1
expect edits ""
expect phase finished
rest_mouse
expect runs.0.position=21.token "[0-9]*"
expect runs.0.position=20.token "$kept"
tokens_right 24

# Saved, and shown as a recording.
press ctrl+s
until_true ask areas.write || fail "nothing asks for a name"
expect typing true
press ctrl+a
xdotool type --delay 30 "saved.safetensors"
press Return
until_true test -s saved.safetensors || fail "nothing is saved"
expect typing false
last=$(ask runs.0.position=21.token)
press q
ends_with 0
start_viewer saved.safetensors
press End
expect runs.0.position=21.token "$last"
press q
ends_with 0

# What cannot be run is told about in the window.
start_viewer --live nowhere --text "5"
expect phase failed
expect live_problem "*nowhere*"
press q
ends_with "[01]"
echo "runs are made"

#!/bin/bash
# The window opens, shows the run's text where it says, in the colours that are chosen; and closes. A bad file is told
# about in the window.
source "$(dirname "$0")/lib.sh"
"$MAKE_RUNS" masked run.safetensors
"$MAKE_RUNS" flow flow.safetensors
: > empty.safetensors

title_is()
{
    [[ $(xdotool getwindowname "$window") == "$1" ]]
}

start_display 1000 700
start_viewer run.safetensors
expect step 0
expect n_steps 16
until_true title_is "run.safetensors – step 0 of 16 – vkdlm" || fail "the title is $(xdotool getwindowname "$window")"
press End
expect step 16
until_true title_is "run.safetensors – step 16 of 16 – vkdlm" || fail "the title does not follow"
tokens_right 96
press Left Page_Up
expect step 5
tokens_right 60
ring_around "$(ask runs.0.changed=true.position)" changed

# Colours, by keys and by their buttons.
press 2
expect colour probability
tokens_right 60
point Entropy
xdotool click 1
expect colour entropy
rest_mouse
tokens_right 60
press c
expect colour guess
press 1
expect colour step
tokens_right 60
press t
expect theme dark
tokens_right 60
shows background 0 0 4 4
press g
expect guesses true
tokens_right 60
press g t
expect theme light

# Another size of the window.
xdotool windowsize --sync "$window" 800 600
until_true reports areas.plot "* * 770 *" || fail "the panels do not follow the window"
tokens_right 60
keep_screen
press F1
expect help true
differs_in canvas0
press Escape
expect help false
press q
ends_with 0

start_viewer flow.safetensors --step 7 --theme dark
expect step 7
tokens_right 5
if [[ -n ${CLOSE_WINDOW:-} ]]; then
    "$CLOSE_WINDOW" "$window"
else
    press ctrl+q
fi
ends_with 0

start_viewer empty.safetensors
expect problem "*empty.safetensors*"
shows panel 500 300 501 301
press Escape
ends_with 1
[[ $(wc -l < err) -eq 1 ]] || fail "a bad file is not told about in one line"
"$VIEW" run.safetensors --report nowhere/report.json > out 2> err && fail "a report is written nowhere"
grep -q "cannot create 'nowhere/report.json" err || fail "not told why nothing was reported"
echo "the window shows runs"

#!/bin/bash
# What is typed with real keys, as fast as it comes: a prompt, a template, numbers, and another text for a position.
# MODEL is a small masked model of 210 tokens, TOKENIZER one of as many.
source "$(dirname "$0")/lib.sh"
: "${MODEL:?}" "${TOKENIZER:?}"

# text_at POSITION TEXT
text_at()
{
    expect "runs.0.position=$1.text" "$2"
}

start_display 1280 800
start_viewer --live "$MODEL" --tokenizer "$TOKENIZER" --text "" --seed 1 --run '{"sampler":"ddpm","steps":4}'
expect phase finished

# A prompt: nothing waits for the field, or for what was typed.
xdotool key i type --delay 4 "In the lightt"
xdotool key BackSpace
xdotool type --delay 4 ", and all God"
xdotool key ctrl+Return
text_at 0 In
text_at 1 " the"
text_at 2 " light"
text_at 3 ,
text_at 6 " God"
expect prompt "In the light, and all God"
expect phase finished
rest_mouse
tokens_right 20

# A template in its place: a space before a mask is a token.
xdotool key f key i key ctrl+a type --delay 4 "In the [MASK][MASK] was the [MASK]"
xdotool key ctrl+Return
text_at 5 " was"
expect phase finished
ask runs.0.position=8.text > /dev/null || fail "the template has no third mask"
ask runs.0.position=9 && fail "the canvas is longer than the template"
tokens_right 9

# A number, from field to field by Tab: as many positions as were typed, of which no letter is one.
xdotool key f key f key i key ctrl+a type --delay 4 "And"
xdotool key Tab Tab Tab type --delay 4 "1o2"
xdotool key ctrl+Return
text_at 0 And
expect phase finished
ask runs.0.position=11.text > /dev/null || fail "the canvas is too short"
ask runs.0.position=12.text && fail "the canvas is too long"

# Another text for a position, over two of them; with one behind it masked again the run goes on from there.
point_token 2
xdotool click 1
expect selected 2
xdotool key e type --delay 4 " light of"
xdotool key Return
expect edits "2 * 3 *"
rest_mouse
xdotool key Tab key Tab key Tab key m key Return
text_at 2 " light"
text_at 3 " of"
expect edits ""
expect phase finished
expect runs.0.position=5.text "?*"
press q
ends_with 0
echo "texts are typed"

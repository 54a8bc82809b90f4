#!/bin/bash
# Pictures of what the window shows: Ctrl S, a name, Enter.
source "$(dirname "$0")/lib.sh"
"$MAKE_RUNS" masked run.safetensors
start_display 800 600
start_viewer run.safetensors --step 9

# save NAME KIND: opens the overlay, chooses by a button, writes under the name.
save()
{
    expect typing false
    press ctrl+s
    until_true ask areas.write || fail "nothing asks for a name"
    expect typing true
    if [[ -n ${2:-} ]]; then
        local x0 y0 y1
        read -r x0 y0 _ y1 < <(ask "areas.$2")
        point "$2"
        xdotool click 1
        rest_mouse
        shows accent $((${x0%.*} + 3)) $((${y0%.*} + 8)) $((${x0%.*} + 6)) $((${y1%.*} - 8))
    fi
    expect typing true
    press ctrl+a
    xdotool type --delay 60 "$1"
    press Return
}

is_gif()
{
    [[ $(head -c 6 "$1") == GIF89a && $(tail -c 1 "$1" | od -An -tx1) == " 3b" ]]
}

n_frames_are()
{
    [[ $(find "$2" -name '*.png' | wc -l) -eq $1 ]]
}

save picture.png
until_true "$CHECK_PICTURE" tokens picture.png report.json 60 || fail "the picture is not that of the window"
save run.gif Animation
until_true is_gif run.gif || fail "there is no animation"
save frames Frames
until_true n_frames_are 17 frames || fail "there are not 17 frames"
expect step 9
tokens_right 60

# A name that exists is asked about; Escape leaves it.
cp picture.png before.png
press Right
expect step 10
save picture.png
until_true ask areas.write || fail "a picture is replaced without a question"
cmp picture.png before.png || fail "a picture is replaced without a question"
press Escape
expect typing false
press q
ends_with 0
echo "pictures are saved"

#!/bin/bash
# The replay and the mouse: scrubbing, playing, pointing, selecting, and the heat map.
source "$(dirname "$0")/lib.sh"
"$MAKE_RUNS" masked run.safetensors
start_display 1000 700
start_viewer run.safetensors --speed 2

# The step under the pointer.
step_at()
{
    ask areas.plot | awk -v x="$1" '{ u = (x - $1) / ($3 - $1); u = u < 0 ? 0 : u > 1 ? 1 : u; printf "%.0f", 16 * u }'
}

# Dragging in the timeline.
point plot 0.25
xdotool mousedown 1
for u in 0.25 0.4 0.7 0.95; do
    read -r x y < <(place plot "$u" 0.4)
    xdotool mousemove "$x" "$y"
    expect step "$(step_at "$x")"
    cursor_at "$(step_at "$x")"
done
read -r x y < <(place plot 1.5 0.4)
xdotool mousemove 998 "$y"
expect step 16
xdotool mouseup 1
rest_mouse
expect step 16
tokens_right 96
point first
xdotool click 1
expect step 0
point next
xdotool click 1
expect step 1
point last
xdotool click 1
expect step 16
point previous
xdotool click 1
expect step 15

# Playing.
press Home
expect step 0
point play
xdotool click 1
expect playing true
expect step "[3-9]"
xdotool click 1
expect playing false
step=$(ask step)
press Right
expect step $((step + 1))
press plus plus plus
expect speed 16
press space
expect step 16
expect playing false
press minus minus minus
expect speed 2
press space
expect step "[1-9]"
press space

# Pointing and selecting.
press Home Right Right
expect step 2
rest_mouse
expect hovered -1
for position in 3 17 60; do
    keep_screen
    point_token "$position"
    expect hovered "$position"
    differs_in token
    ring_around "$position" text
done
xdotool click 1
expect selected 60
rest_mouse
expect hovered -1
ring_around 60 text
press Tab
expect selected 61
press Escape
expect selected -1

# The heat map: what is under the pointer, zoom around it, a click.
point heat 0.5 0.5
expect hovered "4[78]"
keep_screen
xdotool click 4
expect heat.steps "0.1 0.9"
expect heat.positions "0.1 0.9"
differs_in heat
expect hovered "4[78]"
xdotool click 1
expect selected "4[78]"
read -r x y < <(place heat 0.5 0.5)
expect step "$(ask areas.heat | awk -v x="$x" '{ print int(16 * (0.1 + 0.8 * (x - $1) / ($3 - $1))) + 1 }')"
xdotool click 5
expect heat.steps "0 1"
keep_screen
press h
expect heat.probability true
differs_in heat
press bracketright
expect heat.steps "0.25 0.75"

# A drag, and two turns of the wheel, that are over before a frame is drawn.
moved_left()
{
    ask heat.steps | awk '{ exit !($1 < 0.24) }'
}
read -r x y < <(place heat 0.5 0.5)
xdotool mousemove "$x" "$y" mousedown 1 mousemove $((x + 20)) "$y" mousemove $((x + 60)) "$y" mouseup 1
until_true moved_left || fail "dragging does not move the heat map"
press 0
expect heat.steps "0 1"
xdotool mousemove "$x" "$y" click 4 click 4
expect heat.steps "0.1[78]* 0.8[12]*"
press q
ends_with 0
echo "the replay and the mouse work"

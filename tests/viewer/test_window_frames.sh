#!/bin/bash
# No frame takes over 100 ms: 1,024 positions in 1,000 steps at 1280x800, played, scrubbed, pointed at and zoomed. What
# counts is the processor time of a frame, all threads of the viewer and its driver together: on a machine of its own
# that is no less than the time itself, and it does not depend on who else runs. With ALONE=1 the time itself counts.
source "$(dirname "$0")/lib.sh"
"$MAKE_RUNS" large run.safetensors
start_display 1280 800
start_viewer run.safetensors --speed 64
expect n_steps 1000

# Playing.
press space
expect playing true
expect step "[4-9]?"
press space
expect playing false

# Scrubbing to both ends.
point plot 0.1
xdotool mousedown 1
for u in 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 0.97 0.5; do
    point plot "$u"
done
expect step "50?"
xdotool mouseup 1

# Pointing at tokens with all colourings, and with guesses.
for key in 2 3 4 1 g g t t; do
    press "$key"
    point canvas0 0.2 0.2
    point canvas0 0.7 0.5
    point canvas0 0.4 0.8
done
press Tab Tab Down Down Up

# The heat map: zoom in and out, move, the other quantity.
point heat 0.3 0.6
xdotool click 4 click 4 click 4 click 5 click 4
expect heat.steps "0.* *"
press comma period k j h bracketright bracketleft 0
expect heat.steps "0 1"
press End
expect step 1000
press F1
expect help true
press Escape q
ends_with 0

count=$(ask frames.count)
worst=$(ask frames.worst_ms)
cpu=$(ask frames.worst_cpu_ms)
echo "$count frames, on average $(ask frames.mean_ms) ms; the worst took $worst ms, or $cpu ms of processor time"
[[ $count -ge 60 ]] || fail "there were only $count frames"
awk -v ms="$([[ -n ${ALONE:-} ]] && echo "$worst" || echo "$cpu")" 'BEGIN { exit !(ms > 0 && ms <= 100) }' ||
    fail "a frame took over 100 ms"

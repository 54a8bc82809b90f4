#!/bin/bash
# The window on a made-up display: opens, steps by keys, shows what the mouse points at, closes. Skipped without Xvfb
# and xdotool. VIEW and MAKE_RUNS are programs.
set -euo pipefail
: "${VIEW:?}" "${MAKE_RUNS:?}"
command -v Xvfb > /dev/null && command -v xdotool > /dev/null || exit 77
work=$(mktemp -d)
jobs_started=()
trap 'for job in "${jobs_started[@]}"; do kill "$job" 2> /dev/null || true; done; rm -rf "$work"' EXIT
unset WAYLAND_DISPLAY
cd "$work"
"$MAKE_RUNS" masked run.safetensors

fail()
{
    echo "FAILED: $*" >&2
    cat err >&2 || true
    exit 1
}

# until_true COMMAND...: waits at most 20 seconds.
until_true()
{
    local i
    for ((i = 0; i < 200; i++)); do
        if "$@" > /dev/null 2>&1; then
            return 0
        fi
        sleep 0.1
    done
    return 1
}

title_has()
{
    [[ $(xdotool getwindowname "$window") == *"$1"* ]]
}

mkdir screen
Xvfb -displayfd 3 -screen 0 1000x700x24 -fbdir screen 3> number > /dev/null 2>&1 &
jobs_started+=($!)
until_true test -s number || fail "Xvfb does not start"
DISPLAY=:$(cat number)
export DISPLAY
"$VIEW" run.safetensors --size 1000x700 > out 2> err &
viewer=$!
jobs_started+=("$viewer")
until_true xdotool search --name 'run.safetensors' || fail "no window"
window=$(xdotool search --name 'run.safetensors' | head -n 1)
xdotool windowfocus "$window"
until_true title_has "step 0 of 16" || fail "the window does not begin at step 0"
xdotool key Right Right Right
until_true title_has "step 3 of 16" || fail "three steps do not lead to step 3"
xdotool key End
until_true title_has "step 16 of 16" || fail "End does not lead to the last step"
xdotool key Left Page_Up
until_true title_has "step 5 of 16" || fail "back to step 5"
xdotool mousemove 900 690
sleep 0.5
cp screen/Xvfb_screen0 before
changed()
{
    ! cmp -s screen/Xvfb_screen0 before
}
xdotool mousemove 60 100
until_true changed || fail "pointing at a token changes nothing"
xdotool key Home
until_true title_has "step 0 of 16" || fail "Home does not lead to the start"
xdotool key space
until_true title_has "step 16 of 16" || fail "the replay does not run"
xdotool key q
until_true bash -c "! kill -0 $viewer" || fail "q does not close the window"
wait "$viewer" || fail "the viewer ends with $?"
[[ ! -s out && ! -s err ]] || fail "the viewer is not silent"
echo "the window works"

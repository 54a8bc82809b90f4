# What the tests of the window share: a made-up display, real keys and mouse events, and what the viewer reports of
# itself (--report). To be sourced; skips the test without Xvfb and xdotool. VIEW, MAKE_RUNS, CHECK_PICTURE and
# READ_REPORT are programs.
set -Eeuo pipefail
: "${VIEW:?}" "${MAKE_RUNS:?}" "${CHECK_PICTURE:?}" "${READ_REPORT:?}"
command -v Xvfb > /dev/null && command -v xdotool > /dev/null || exit 77
work=$(mktemp -d)
jobs_started=()
trap 'echo "line $LINENO: $BASH_COMMAND" >&2' ERR
trap 'for job in "${jobs_started[@]}"; do kill "$job" 2> /dev/null || true; done; wait; rm -rf "$work"' EXIT
unset WAYLAND_DISPLAY
cd "$work"
deadline=${DEADLINE:-100} # seconds for what takes a moment on a machine that nobody else uses

fail()
{
    echo "FAILED: $* (line ${BASH_LINENO[*]})" >&2
    cat out err >&2 || true
    if [[ -n ${KEEP:-} ]]; then
        cp -r "$work" "$KEEP"
    fi
    exit 1
}

# until_true COMMAND...: waits until it succeeds.
until_true()
{
    local end=$((SECONDS + deadline))
    while ! "$@" > tried 2>&1; do
        if ((SECONDS > end)); then
            cat tried >&2
            return 1
        fi
        sleep 0.04
    done
}

# start_display WIDTH HEIGHT: the screen is then in the file $screen.
start_display()
{
    mkdir -p display
    screen=$work/display/Xvfb_screen0
    rm -f number
    # A key that a slow machine lets go of late is not to repeat (-r).
    Xvfb -displayfd 3 -noreset -r -screen 0 "$1x$2x24" -fbdir display 3> number > /dev/null 2>&1 &
    jobs_started+=($!)
    until_true test -s number || fail "Xvfb does not start"
    DISPLAY=:$(cat number)
    export DISPLAY
    size=$1x$2
}

# The mouse's arrow is part of the screen: out of the way, and over nothing.
rest_mouse()
{
    xdotool mousemove $((${size%x*} - 2)) $((${size#*x} - 2))
}

# It may be there before it is shown.
window_has_keyboard()
{
    window=$(xdotool search --onlyvisible --pid "$viewer" | tail -n 1)
    [[ -n $window ]] || window=$(xdotool search --onlyvisible --name vkdlm | tail -n 1)
    [[ -n $window ]] && xdotool windowfocus --sync "$window" && [[ $(xdotool getwindowfocus) == "$window" ]] &&
        [[ $(xdotool getwindowgeometry "$window") == *"Position: 0,0"*"Geometry: $size"* ]]
}

# start_viewer ARGUMENT...: over the whole screen, with the keyboard's focus.
start_viewer()
{
    rest_mouse
    rm -f report.json
    "$VIEW" "$@" --size "$size" --report report.json > out 2> err &
    viewer=$!
    jobs_started+=("$viewer")
    until_true test -s report.json || fail "the viewer reports nothing"
    until_true window_has_keyboard || fail "there is no window of $size with the keyboard"
}

is_over()
{
    ! kill -0 "$viewer" 2> /dev/null
}

# ends_with CODE: (or a pattern) the viewer has ended in this way and said nothing.
ends_with()
{
    local code=0
    until_true is_over || fail "the viewer does not end"
    wait "$viewer" || code=$?
    # shellcheck disable=SC2053 # the code may be a pattern
    [[ $code == $1 ]] || fail "the viewer ends with $code, expected $1"
    [[ $code -ne 0 || (! -s out && ! -s err) ]] || fail "the viewer is not silent"
}

# ask PATH [REPORT]: what the report tells.
ask()
{
    "$READ_REPORT" "${2:-report.json}" "$1"
}

reports()
{
    local found
    found=$(ask "$1") || return 1
    echo "$1 is '$found'"
    # shellcheck disable=SC2053 # the value may be a pattern
    [[ $found == $2 ]]
}

# expect PATH VALUE: the report comes to tell this; VALUE may be a pattern.
expect()
{
    until_true reports "$1" "$2" || fail "$1 does not become '$2'"
}

# place AREA X Y: a point in an area of the report, by fractions of its size.
place()
{
    ask "${4:-areas}.$1" | awk -v x="$2" -v y="$3" '{ printf "%d %d\n", $1 + ($3 - $1) * x, $2 + ($4 - $2) * y }'
}

# point AREA [X Y]: moves the mouse there, to the middle unless told.
point()
{
    local x y
    read -r x y < <(place "$1" "${2:-0.5}" "${3:-0.5}")
    xdotool mousemove "$x" "$y"
}

# point_token POSITION [RUN]
point_token()
{
    local x y
    read -r x y < <(place "position=$1.box" 0.5 0.5 "runs.${2:-0}")
    xdotool mousemove "$x" "$y"
}

press()
{
    xdotool key --delay 30 "$@"
}

# tokens_right LEAST [RUN]: waits until the screen shows the tokens as the report tells.
tokens_right()
{
    until_true "$CHECK_PICTURE" tokens "$screen" report.json "$@" || fail "the screen's tokens are not the report's"
}

# shows COLOUR X0 Y0 X1 Y1: waits until a colour of the report is in the rectangle.
shows()
{
    local name=$1 red green blue
    shift
    read -r red green blue _ < <(ask "colours.$name")
    until_true "$CHECK_PICTURE" has "$screen" "$@" "$red" "$green" "$blue" || fail "nothing is $name in $*"
}

# keep_screen: as it is now, for differs_in.
keep_screen()
{
    cp "$screen" before
}

changed_in()
{
    # shellcheck disable=SC2046 # four numbers
    ! "$CHECK_PICTURE" same before "$screen" $(ask "areas.$1")
}

# differs_in AREA: waits until this area of the screen is no longer as it was kept.
differs_in()
{
    until_true changed_in "$1" || fail "nothing changes in $1"
}

# cursor_at STEP: the timeline's line stands there.
cursor_at()
{
    local x y
    read -r x y < <(place plot "$(awk -v s="$1" -v n="$(ask n_steps)" 'BEGIN { print s / n }')" 0.5)
    shows changed $((x - 2)) $((y - 30)) $((x + 3)) $((y + 30))
}

# ring_around POSITION COLOUR [RUN]: above the token's box.
ring_around()
{
    local x0 y0 x1
    read -r x0 y0 x1 _ < <(ask "runs.${3:-0}.position=$1.box")
    shows "$2" "${x0%.*}" $((${y0%.*} - 5)) "${x1%.*}" "${y0%.*}"
}

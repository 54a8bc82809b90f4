# shellcheck shell=bash
# What the scripts of this folder share. They run with VKDLM (the program), TOOL (integration_tool), MODELS (the bundled
# models) and GOLDEN (tests/golden) in the environment.
#
# Each check runs the program once and compares; the first that fails ends the script with what was found.
set -euo pipefail
: "${VKDLM:?}" "${TOOL:?}" "${MODELS:?}" "${GOLDEN:?}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=$work/out
err=$work/err
unset NO_COLOR DISPLAY WAYLAND_DISPLAY
export TERM=dumb

# A device cache of the test's own.
export XDG_CACHE_HOME=$work/cache

fail()
{
    echo "FAILED: $*" >&2
    echo "--- standard output (its first lines)" >&2
    head -c 2000 "$out" >&2 || true
    echo "--- standard error" >&2
    head -c 4000 "$err" >&2 || true
    exit 1
}

# run CODE ARGUMENT...: runs the program with standard output in $out and standard error, but for progress, in $err.
run()
{
    local expected=$1 code=0
    shift
    "$VKDLM" "$@" > "$out" 2> "$err" || code=$?
    drop_progress
    [[ $code -eq $expected ]] || fail "vkdlm $*: exit status $code, expected $expected"
}

# A slow device makes the program tell how far it is: lines that belong to no result.
drop_progress()
{
    sed -i -E '/^(loading|generating|scoring|evaluating|converting|measuring): [0-9]+ % after /d' "$err"
}

# ok ARGUMENT...: the program succeeds and has nothing to say on standard error.
ok()
{
    run 0 "$@"
    [[ ! -s $err ]] || fail "vkdlm $*: standard error is not empty"
}

# refuses CODE PATTERN ARGUMENT...: the program fails with exactly one line, which matches the extended regular
# expression and leaves standard output empty.
refuses()
{
    local code=$1 pattern=$2
    shift 2
    run "$code" "$@"
    one_line "$pattern" "vkdlm $*"
    [[ ! -s $out ]] || fail "vkdlm $*: standard output is not empty"
}

# one_line PATTERN WHAT: $err is one complete line that begins "vkdlm: " and matches.
one_line()
{
    [[ $(wc -l < "$err") -eq 1 && $(tail -c 1 "$err" | od -An -tx1) == " 0a" ]] || fail "$2: not one line of standard error"
    grep -q '^vkdlm: .' "$err" || fail "$2: the line does not begin 'vkdlm: '"
    grep -qE -- "$1" "$err" || fail "$2: the line does not match '$1'"
}

# until_it_listens PID: waits until the program has begun and would notice SIGINT (bit 1 of the signals it catches).
until_it_listens()
{
    local i caught
    for ((i = 0; i < 6000; i++)); do
        caught=$(sed -nE 's/^SigCgt:\s*//p' "/proc/$1/status" 2> /dev/null) || true
        [[ /proc/$1/exe -ef $VKDLM && -n $caught ]] && ((0x$caught & 2)) && return
        [[ -d /proc/$1 ]] || return 0
        sleep 0.01
    done
    fail "process $1 does not wait for signals"
}

# matches FILE PATTERN WHAT
matches()
{
    grep -qE -- "$2" "$1" || fail "$3: no line matches '$2'"
}

# value PATH FILE: what each line of JSON holds at PATH ("summary.samples", "ids", "text"), one line each.
value()
{
    "$TOOL" json "$1" < "$2" || fail "$2 is not JSON with '$1'"
}

# expect FOUND EXPECTED WHAT
expect()
{
    [[ $1 == "$2" ]] || fail "$3: found '$1', expected '$2'"
}

# n_lines FILE
n_lines()
{
    wc -l < "$1"
}

# ids FILE: the ids of the samples, a line each.
ids()
{
    grep -v '^{"summary"' "$1" | "$TOOL" json ids
}

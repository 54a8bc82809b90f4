#!/bin/bash
# Pictures of runs, drawn without a display: what is drawn lies where the layout says, in its colour; bad files and
# options are refused in one sentence. VIEW, MAKE_RUNS and CHECK_PICTURE are programs.
set -euo pipefail
: "${VIEW:?}" "${MAKE_RUNS:?}" "${CHECK_PICTURE:?}"
unset DISPLAY WAYLAND_DISPLAY
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail()
{
    echo "FAILED: $*" >&2
    cat out err >&2
    exit 1
}

# ok ARGUMENT...: succeeds and says nothing. The validation layer speaks on standard output.
ok()
{
    "$VIEW" "$@" > out 2> err || fail "$* ends with $?"
    [[ ! -s out && ! -s err ]] || fail "$* is not silent"
}

# refuses CODE PATTERN ARGUMENT...
refuses()
{
    local expected=$1 pattern=$2 code=0
    shift 2
    "$VIEW" "$@" > out 2> err || code=$?
    [[ $code -eq $expected ]] || fail "$* ends with $code, expected $expected"
    [[ $(wc -l < err) -eq 1 ]] || fail "$*: not one line"
    grep -qE "^vkdlm: .*$pattern" err || fail "$*: the line does not match '$pattern'"
}

"$MAKE_RUNS" masked masked.safetensors
"$MAKE_RUNS" flow flow.safetensors

ok masked.safetensors --step 9 --png a.png --layout a.json
"$CHECK_PICTURE" tokens a.png a.json 40
grep -q '"changed":true' a.json || fail "no token is marked in step 9"
[[ $(grep -c '"position":' a.json) -ge 96 ]] || fail "not every position has a place"
ok masked.safetensors --step 9 --png again.png
cmp a.png again.png || fail "the same picture differs"
for colour in probability entropy guess; do
    ok masked.safetensors --step 16 --colour "$colour" --theme dark --select 5 --png b.png --layout b.json
    "$CHECK_PICTURE" tokens b.png b.json 40
done
ok masked.safetensors --step 4 --guesses --size 2560x1440 --png c.png --layout c.json
"$CHECK_PICTURE" tokens c.png c.json 20
ok flow.safetensors --step 7 --select 3 --png d.png --layout d.json
"$CHECK_PICTURE" tokens d.png d.json 5
ok masked.safetensors masked.safetensors --step 12 --size 640x480 --png e.png --layout e.json
"$MAKE_RUNS" edited edited.safetensors
ok edited.safetensors --step 9 --select 1 --size 640x480 --png g.png --layout g.json
"$CHECK_PICTURE" tokens g.png g.json 20
ok flow.safetensors --step 7 --select 3 --size 640x480 --theme dark --png h.png --layout h.json
"$CHECK_PICTURE" tokens h.png h.json 5
ok masked.safetensors --size 320x240 --scale 4 --png f.png
if [[ -z ${QUICK:-} ]]; then
    ok flow.safetensors --size 400x300 --frames frames --gif a.gif
    [[ $(find frames -name '*.png' | wc -l) -eq 13 ]] || fail "not 13 frames"
    [[ $(head -c 6 a.gif) == GIF89a ]] || fail "no GIF"
fi

# Bad files and options.
: > empty
head -c 3000 masked.safetensors > short
echo '{"a":1}' > other
for file in empty short other none .; do
    refuses 1 "." "$file" --png x.png
    refuses 1 "." "$file"
done
refuses 1 "cannot be compared" masked.safetensors flow.safetensors --png x.png
refuses 2 "'--step' is 0 to 16" masked.safetensors --step 17 --png x.png
refuses 2 "'--select' is below 96" masked.safetensors --select 96 --png x.png
refuses 2 "no option '--pgn'" --pgn x masked.safetensors
refuses 1 "nowhere" masked.safetensors --png nowhere/x.png
refuses 1 "no window can be opened" masked.safetensors
[[ ! -e x.png ]] || fail "a picture was left behind"
echo "pictures are right"

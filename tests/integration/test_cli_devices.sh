#!/bin/bash
# `devices`: what is measured is kept and told, a measurement can be stopped, and a variant that is known to be wrong is
# neither used nor kept quiet.
. "$(dirname "$0")/lib.sh"

# How many choices in $out are measured.
measured()
{
    grep -oE '"measured": ?true' "$out" | wc -l
}

ok devices
matches "$out" 'kernels +matmul, .*by its features' "the kernels of a device that nothing is known of"
ok devices --json
expect "$(measured)" 0 "what is measured before anything ran"
for group in attention matmul "output layer"; do
    matches "$out" "\"group\": ?\"$group\"" "the groups of devices --json"
done
matches "$out" '"state": ?"untried"' "the states of devices --json"

# All of it takes minutes on a CPU: it is stopped after a while, and what was learned is kept.
"$VKDLM" devices --tune > "$out" 2> "$err" &
pid=$!
for ((i = 0; i < 1200; i++)); do
    grep -qs '"measured": true' "$XDG_CACHE_HOME"/vkdlm/kernels-*.json && break
    sleep 0.1
done
kill -INT "$pid"
code=0
wait "$pid" || code=$?
expect "$code" 130 "the exit status of an interrupted devices --tune"
matches "$out" '^ +matmul +F32, 1 row +[a-z]+ [0-9]+ +[0-9.]+ .*\(measured\)' "the table of times"
chosen=$(sed -nE 's/^ +matmul +F32, 1 row +([a-z]+ [0-9]+) .*/\1/p' "$out")
ok devices --json
[[ $(measured) -gt 0 ]] || fail "what was measured is not told"
matches "$out" '"state": ?"timed", ?"microseconds": ?[0-9]' "the times of devices --json"

# A variant that was found to be wrong.
file=$(echo "$XDG_CACHE_HOME"/vkdlm/kernels-*.json)
sed -i "/\"name\": \"$chosen\"/ { n; s/timed/wrong/ }" "$file"
ok devices
matches "$out" "matmul, F32, 1 row: '$chosen' is wrong on this driver, not used" "a faulty variant"
! grep -qE "matmul, F32[^:]*: 1 row $chosen" "$out" || fail "the faulty variant is taken"

# A damaged file is no error.
echo '{"format": 1, "choices": [' > "$file"
ok devices --json
expect "$(measured)" 0 "what is read from a damaged file"

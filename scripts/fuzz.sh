#!/bin/bash
# Builds the fuzzers (preset `fuzz`: clang, AddressSanitizer, UndefinedBehaviorSanitizer) and runs them all at once.
#
#   scripts/fuzz.sh [SECONDS [NAME...]]    60 seconds; names of tests/fuzz/fuzz_NAME.c, all without one
#
# New inputs stay in build/fuzz/new/NAME. An input that fails is kept in build/fuzz/failed and shown; the exit status
# then is 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-60}
shift $(($# > 0))
names=("$@")
if [[ ${#names[@]} -eq 0 ]]; then
    for source in tests/fuzz/fuzz_*.c; do
        name=${source##*/fuzz_}
        names+=("${name%.c}")
    done
fi

folder=build/fuzz
mkdir -p "$folder"
log=$folder/build.log
if ! { cmake --preset fuzz && cmake --build --preset fuzz --target "${names[@]/#/fuzz_}"; } > "$log" 2>&1; then
    tail -n 200 "$log"
    exit 1
fi

rm -rf "$folder/failed"
mkdir "$folder/failed"
pids=()
for name in "${names[@]}"; do
    mkdir -p "$folder/new/$name"
    inputs=("$folder/new/$name" "tests/fuzz/corpus/$name")
    [[ ! -d tests/golden/malformed/$name ]] || inputs+=("tests/golden/malformed/$name")
    "$folder/tests/fuzz/fuzz_$name" "-dict=tests/fuzz/fuzz_$name.dict" "-max_total_time=$seconds" -timeout=25 \
        -rss_limit_mb=2500 "-artifact_prefix=$folder/failed/$name-" -print_final_stats=1 "${inputs[@]}" \
        > "$folder/$name.log" 2>&1 &
    pids+=($!)
done

failed=0
for i in "${!names[@]}"; do
    name=${names[i]}
    if wait "${pids[i]}"; then
        sed -nE "s/^stat::number_of_executed_units: +([0-9]+)$/$name: \1 inputs/p" "$folder/$name.log"
    else
        failed=1
        echo "$name: FAILED"
        tail -n 60 "$folder/$name.log"
    fi
done
for input in "$folder"/failed/*; do
    [[ -f $input ]] || continue
    echo "$input, as base64:"
    base64 "$input" | head -n 200
done
exit "$failed"

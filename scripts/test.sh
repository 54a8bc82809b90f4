#!/bin/bash
# Installs what is missing, builds by gcc and clang with warnings as errors, and runs every test.
#
# Phases that fail do not stop the others. The last line is "N passed, N failed": tests of all runs, and one for each
# other phase; the exit status is 0 when nothing failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

n_passed=0
n_failed=0
timings=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# phase NAME COMMAND...: runs the command and counts it as one check.
phase()
{
    local name=$1 start=$SECONDS
    shift
    echo
    echo "== $name"
    if "$@"; then
        n_passed=$((n_passed + 1))
    else
        n_failed=$((n_failed + 1))
        echo "== FAILED: $name"
    fi
    timings+=("$(printf '%5d s  %s' $((SECONDS - start)) "$name")")
}

# build PRESET: configures and builds with tests and with warnings as errors. Quiet unless something is wrong.
build()
{
    # The builds have the same kernels: what the tests of one had compiled, those of the next find.
    if ! { cmake --preset "$1" -DVKDLM_TESTS=ON -DVKDLM_WERROR=ON -DVKDLM_TEST_MESA_CACHE="$PWD/build/mesa-cache" &&
        cmake --build --preset "$1"; } > "$log" 2>&1; then
        tail -n 200 "$log"
        return 1
    fi
}

# run_tests NAME BUILD_DIR CTEST_OPTION...: counts every test by itself. Skipped tests are neither passed nor failed.
run_tests()
{
    local name=$1 folder=$2 start=$SECONDS tests failed skipped
    shift 2
    echo
    echo "== $name"
    ctest --test-dir "$folder" --output-on-failure --no-tests=error --timeout 1200 -j "$(nproc)" "$@" 2>&1 |
        tee "$log" || true
    tests=$(sed -nE 's/^[0-9]+% tests passed, [0-9]+ tests failed out of ([0-9]+)$/\1/p' "$log")
    failed=$(sed -nE 's/^[0-9]+% tests passed, ([0-9]+) tests failed out of [0-9]+$/\1/p' "$log")
    skipped=$(grep -cE '\*\*\*Skipped' "$log" || true)
    if [[ -z $tests ]]; then
        tests=1 failed=1 skipped=0
    fi
    n_passed=$((n_passed + tests - failed - skipped))
    n_failed=$((n_failed + failed))
    timings+=("$(printf '%5d s  %s (%d tests, %d skipped)' $((SECONDS - start)) "$name" "$tests" "$skipped")")
}

phase "packages" scripts/deps.sh build run viewer test
phase "layout of the source" scripts/format.sh --check
phase "build by clang" build clang
phase "build by gcc" build release
phase "build with AddressSanitizer and UndefinedBehaviorSanitizer" build sanitize
phase "fuzzers, a minute each" scripts/fuzz.sh 60
run_tests "tests" build/release
# After them: with sanitizers Mesa takes twice as long to compile a kernel, and finds them compiled.
run_tests "tests with sanitizers" build/sanitize --exclude-regex '^structure_|_law|samplers_device|\.(lavapipe128|lavapipe512|no_subgroups|validation|swiftshader)$'
# Lavapipe's graphics leak, so the viewer's own leaks are looked for on SwiftShader.
run_tests "the viewer with sanitizers, and its leaks" build/sanitize --tests-regex '^viewer_.*\.swiftshader$'

echo
printf '%s\n' "${timings[@]}" "$(printf '%5d s  in all' "$SECONDS")"
echo
echo "$n_passed passed, $n_failed failed"
[[ $n_failed -eq 0 ]]

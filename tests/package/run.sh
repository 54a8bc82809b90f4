#!/bin/bash
# Installs the build into a prefix of its own, builds the example against it outside the tree, once by CMake's
# find_package and once by pkg-config, and runs both.
#
#   run.sh BUILD_DIR EXAMPLE_DIR COMPILER GENERATOR
set -euo pipefail
build=$1 example=$2 compiler=$3 generator=$4

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache
prefix=$work/prefix

fail()
{
    echo "package: $*" >&2
    exit 1
}

cmake --install "$build" --prefix "$work/first" > /dev/null
# Everything must still work after the prefix has moved, as packagers and containers do.
mv "$work/first" "$prefix"
cp -r "$example" "$work/example"

library_dir=$(dirname "$(find "$prefix" -name vkdlm.pc)")/..
library_dir=$(cd "$library_dir" && pwd)
models=$prefix/share/vkdlm/models

# By CMake.
cmake -G "$generator" -S "$work/example" -B "$work/by-cmake" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$compiler" \
    -DCMAKE_BUILD_TYPE=Release > "$work/log" 2>&1 && cmake --build "$work/by-cmake" >> "$work/log" 2>&1 ||
    { cat "$work/log" >&2; fail "the example does not build by CMake"; }

# By pkg-config; a static library asks for what it needs.
static=()
[[ -e $library_dir/libvkdlm.so ]] || static=(--static)
export PKG_CONFIG_PATH=$library_dir/pkgconfig
read -r -a flags < <(pkg-config "${static[@]}" --cflags --libs vkdlm)
"$compiler" -std=c11 -Wall -Wextra -Werror "$work/example/generate.c" -o "$work/by-pkg-config" "${flags[@]}" \
    -Wl,-rpath,"$library_dir" || fail "the example does not build by pkg-config"

# check PROGRAM: the program completes a prompt, reports each step, and fails with one sentence on a bad path.
check()
{
    local output
    output=$("$1" "$models/kjv-mdlm" "In the beginning") || fail "$1 failed"
    grep -qE '^step 1: [0-9]+ tokens placed, [0-9]+ open$' <<< "$output" || fail "$1 reported no step: $output"
    grep -qE 'tokens placed, 0 open$' <<< "$output" || fail "$1 left masked tokens: $output"
    grep -q '^In the beginning' <<< "$output" || fail "$1 lost the prompt: $output"
    grep -qE '^[1-9][0-9]* tokens by [1-9][0-9]* evaluations in [0-9.]+ s$' <<< "$output" ||
        fail "$1 printed no summary: $output"
    if output=$("$1" "$work/absent" 2>&1); then
        fail "$1 opened a model that does not exist"
    fi
    [[ $output == *"$work/absent"* && $(wc -l <<< "$output") -eq 1 ]] || fail "not one sentence that names the path: $output"
}

check "$work/by-cmake/generate"
check "$work/by-pkg-config"
cmp <("$work/by-cmake/generate" "$models/kjv-mdlm" | grep -v ' evaluations in ') \
    <("$work/by-pkg-config" "$models/kjv-mdlm" | grep -v ' evaluations in ') || fail "the same seed gave different texts"

"$prefix/bin/vkdlm" devices > "$work/devices" || fail "the installed command line does not run"
[[ -s $work/devices ]] || fail "vkdlm devices printed nothing"
"$prefix/bin/vkdlm" info > "$work/info" || fail "vkdlm info does not run"
grep -qE "^path +$prefix/bin/../share/vkdlm/models/kjv-mdlm-q8_0.gguf$" "$work/info" ||
    fail "the installed command line does not take the model that is installed beside it"
echo "Installed, built by CMake and by pkg-config, and run"

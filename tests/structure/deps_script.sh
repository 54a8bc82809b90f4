#!/bin/bash
# scripts/deps.sh on made-up systems: one without apt-get, one where something is missing, one where nothing is.
#
#   deps_script.sh SCRIPT
set -euo pipefail
script=$1
system=$(mktemp -d)
trap 'rm -rf "$system"' EXIT

fail()
{
    echo "deps_script: $*" >&2
    exit 1
}

# command_of_system NAME BODY: a program of the made-up system.
command_of_system()
{
    printf '#!/bin/bash\n%s\n' "$2" > "$system/$1"
    chmod +x "$system/$1"
}

run()
{
    PATH=$system "$BASH" "$script" "$@" 2>&1
}

ln -s "$(command -v grep)" "$(command -v env)" "$(command -v bash)" "$system/"

# Without apt-get: the packages are named, and nothing else happens.
if output=$(run build run test); then
    fail "succeeded without apt-get"
fi
for package in gcc cmake glslc libvulkan1 mesa-vulkan-drivers libcmocka-dev chromium-common; do
    grep -q "Packages: .*$package" <<< "$output" || fail "without apt-get, $package is not named: $output"
done
if output=$(run building); then
    fail "accepted an unknown group"
fi

# Two packages are missing. A package that was removed but left its configuration is missing too.
log=$system/log
command_of_system id 'echo 0'
command_of_system dpkg-query '
case ${!#} in
glslc) exit 1 ;;
cmake) echo config-files ;;
*) echo installed ;;
esac'
command_of_system apt-get "echo \"\$* frontend=\${DEBIAN_FRONTEND:-}\" >> '$log'"
output=$(run) || fail "failed where two packages are missing: $output"
[[ $(wc -l < "$log") -eq 2 ]] || fail "expected two calls of apt-get: $(cat "$log")"
grep -q '^-qq update' "$log" || fail "the package lists were not updated: $(cat "$log")"
grep -qE -- '^-qq install -y --no-install-recommends cmake glslc frontend=noninteractive$' "$log" ||
    fail "not the two missing packages, or not without questions: $(cat "$log")"

# The same as a user without sudo, then with it.
rm "$log"
command_of_system id 'echo 1000'
if output=$(run); then
    fail "succeeded without the right to install"
fi
grep -q 'install --no-install-recommends cmake glslc' <<< "$output" || fail "the remedy is not named: $output"
[[ ! -e $log ]] || fail "apt-get was called without the right to"
command_of_system sudo "echo sudo >> '$log'; exec \"\$@\""
run > /dev/null || fail "failed with sudo"
[[ $(grep -c '^sudo$' "$log") -eq 2 ]] || fail "apt-get was not called by sudo: $(cat "$log")"

# Nothing is missing: apt-get is not called at all.
rm "$log"
command_of_system dpkg-query 'echo installed'
output=$(run build run test) || fail "failed where nothing is missing: $output"
[[ ! -e $log ]] || fail "apt-get was called although nothing is missing: $(cat "$log")"

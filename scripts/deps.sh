#!/bin/bash
# Installs the Debian packages that vkdlm is built, run and tested with, as far as they are missing.
#
#   scripts/deps.sh [build] [run] [viewer] [test]     which groups of packages; without a word: build and run
#
# Needs root or sudo only when something is missing. On systems without apt-get it names what is missing and fails.
set -euo pipefail

# package | group | what for
packages='
gcc                     | build      | C compiler
libc6-dev               | build      | C library
cmake                   | build      | build system
ninja-build             | build      | build system
pkg-config              | build      | finds the libraries
glslc                   | build      | compiles the shaders
libvulkan-dev           | build      | Vulkan headers
libvulkan-volk-dev      | build      | loads Vulkan at run time
libjansson-dev          | build      | reads JSON
libpcre2-dev            | build      | regular expressions of tokenizers
libutf8proc-dev         | build      | Unicode normal forms
libcairo2-dev           | build      | draws the picture of `bench` (vkdlm can be built without it)
libimgui-dev            | viewer     | panels of the viewer
libglfw3-dev            | viewer     | its window
libfreetype-dev         | viewer     | its letters
libpng-dev              | viewer     | its pictures
libgif-dev              | viewer     | its animations
g++                     | viewer     | C++ compiler
fonts-dejavu-core       | viewer     | its fonts
libvulkan1              | run        | Vulkan loader
mesa-vulkan-drivers     | run        | drivers of AMD and Intel GPUs, and lavapipe, which runs on the CPU
libcmocka-dev           | test       | unit tests
xz-utils                | test       | unpacks test data
vulkan-validationlayers | test       | checks the use of Vulkan
chromium-common         | test       | holds SwiftShader, the second driver that runs on the CPU
g++                     | test       | compiles the public headers as C++
xvfb                    | test       | a display for the window of the viewer
xdotool                 | test       | its keys and mouse
libx11-dev              | test       | closes it as a window manager does
clang                   | test       | the second compiler
clang-format            | test       | checks the layout of the source
libclang-rt-14-dev      | test       | sanitizers and fuzzer of clang
'

# list_packages GROUP...: the packages of these groups, one a line.
list_packages()
{
    local name bar group
    while read -r name bar group _; do
        if [[ -n $name && " $* " == *" $group "* ]]; then
            echo "$name"
        fi
    done <<< "$packages"
}

is_installed()
{
    dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

for group in "$@"; do
    case $group in
    build | run | viewer | test) ;;
    *)
        echo "deps.sh: unknown group '$group', expected build, run, viewer or test" >&2
        exit 1
        ;;
    esac
done
[[ $# -gt 0 ]] || set -- build run
mapfile -t wanted < <(list_packages "$@")

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    {
        echo "deps.sh: this system has no apt-get; install what these Debian packages hold, then build with"
        echo "    cmake --preset release && cmake --build --preset release"
        echo "Packages: ${wanted[*]}"
    } >&2
    exit 1
fi

missing=()
for package in "${wanted[@]}"; do
    is_installed "$package" || missing+=("$package")
done
if [[ ${#missing[@]} -eq 0 ]]; then
    echo "Packages: all ${#wanted[@]} are installed"
    exit 0
fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then
    if ! command -v sudo >/dev/null; then
        {
            echo "deps.sh: packages are missing and this user is neither root nor has sudo; as root run"
            echo "    apt-get update && apt-get install --no-install-recommends ${missing[*]}"
        } >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "Packages: installing ${missing[*]}"
"${as_root[@]}" apt-get -qq update ||
    echo "deps.sh: apt-get update failed, trying with the package lists that are there" >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
    "${missing[@]}" < /dev/null > /dev/null
echo "Packages: ${#missing[@]} installed, $((${#wanted[@]} - ${#missing[@]})) were there"

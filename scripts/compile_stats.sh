#!/bin/bash
# Compiles every kernel that a GPU would use, by the drivers' own compilers and without the hardware, and writes what
# they make of them into the table of docs/gpu_kernels.md: registers, waves, and whether anything spills.
#
#   scripts/compile_stats.sh [--build DIR] [--installed]
#
# --build DIR     the build whose benchmarks/compile_stats is run (build/release)
# --installed     only the installed Mesa (five generations of AMD's GPUs); the table is not written
#
# The table is made with a newer Mesa, which knows more GPUs and has stand-ins for their kernel drivers. Its Debian packages
# and what they need (60 MB) are downloaded once by apt-get, from the archive that this system already uses, and unpacked
# under DIR/mesa; nothing is installed. Exit status 1 when a kernel spills registers or has scratch memory anywhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=build/release
installed_only=false
while [[ $# -gt 0 ]]; do
    case $1 in
    --build)
        build=${2:?compile_stats.sh: --build needs a directory}
        shift
        ;;
    --installed) installed_only=true ;;
    *)
        echo "compile_stats.sh: unknown word '$1', expected --build DIR or --installed" >&2
        exit 2
        ;;
    esac
    shift
done
program=$(realpath "$build")/benchmarks/compile_stats
if [[ ! -x $program ]]; then
    echo "compile_stats.sh: there is no $program, build it first" >&2
    exit 2
fi
out=$(realpath "$build")/compile_stats
mesa=$(realpath "$build")/mesa
doc=docs/gpu_kernels.md
release=trixie
mkdir -p "$out"

# What the installed Mesa compiles for.
families=(polaris10 vega10 navi10 navi21 gfx1100)

# Column of the table | driver | stand-in for the kernel driver | its GPU.
devices='
gfx8 (Polaris 10)    | radeon    | amdgpu    | AMDGPU_GPU_ID=polaris10
gfx9 (Vega 10)       | radeon    | amdgpu    | AMDGPU_GPU_ID=vega10
gfx10 (Navi 10)      | radeon    | amdgpu    | AMDGPU_GPU_ID=navi10
gfx10.3 (Navi 21)    | radeon    | amdgpu    | AMDGPU_GPU_ID=navi21
gfx11 (Navi 31)      | radeon    | amdgpu    | AMDGPU_GPU_ID=navi31
gfx11.5 (Strix)      | radeon    | amdgpu    | AMDGPU_GPU_ID=strix1
gfx12 (Navi 48)      | radeon    | amdgpu    | AMDGPU_GPU_ID=gfx1201
NVIDIA Ampere (NVK)  | nouveau   | nouveau   | NOUVEAU_CHIPSET=174
Adreno 740 (Turnip)  | freedreno | freedreno | FD_GPU_ID=740
Apple M1 (Honeykrisp)| asahi     | asahi     | VKDLM_NO_SETTING=
'

failed=0

# finish NAME STATUS: tells how a run ended, and what spills.
finish()
{
    local summary
    summary=$(tail -n 1 "$out/$1.tsv")
    echo "$1: ${summary#\# }"
    if [[ $2 -ne 0 ]]; then
        failed=1
        grep -P '\t[^\t]*,[^\t]*$' "$out/$1.tsv" || cat "$out/$1.log"
    fi
}

run_installed()
{
    local icd=/usr/share/vulkan/icd.d/radeon_icd.$(uname -m).json status=0
    VK_ICD_FILENAMES=$icd VK_DRIVER_FILES=$icd RADV_FORCE_FAMILY=$1 MESA_SHADER_CACHE_DISABLE=1 \
        "$program" > "$out/installed_$1.tsv" 2> "$out/installed_$1.log" || status=$?
    finish "installed_$1" "$status"
}

# Downloads and unpacks the newer Mesa into $mesa/root.
unpack_mesa()
{
    local uri archive options
    [[ ! -d $mesa/root ]] || return 0
    uri=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Label: Debian' 'Created-By: Packages' | head -n 1)
    if [[ -z $uri ]]; then
        echo "compile_stats.sh: apt-get knows no archive of Debian" >&2
        return 1
    fi
    mkdir -p "$mesa/lists/partial" "$mesa/cache/archives/partial"
    : > "$mesa/status"
    for archive in "$release" "$release-backports"; do
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $archive main"
    done > "$mesa/sources.list"
    options=(-o "Dir::Etc::SourceList=$mesa/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$mesa/lists" -o "Dir::State::status=$mesa/status" -o "Dir::Cache=$mesa/cache"
        -o Debug::NoLocking=1 -o "APT::Sandbox::User=$(id -un)" -qq)
    apt-get "${options[@]}" update
    apt-get "${options[@]}" -y -t "$release-backports" --no-install-recommends --download-only install \
        mesa-vulkan-drivers mesa-drm-shim libdrm-nouveau2
    for archive in "$mesa"/cache/archives/*.deb; do
        dpkg -x "$archive" "$mesa/unpacking"
    done
    mv "$mesa/unpacking" "$mesa/root"
    rm -r "$mesa/cache" "$mesa/lists"
}

# run_newer NAME DRIVER SHIM SETTING: with the newer Mesa's own C library, which the program then runs on.
run_newer()
{
    local libraries loader icd=$out/$2.json host status=0
    libraries=$(dirname "$(find "$mesa/root" -name "libvulkan_$2.so")")
    loader=$(find "$mesa/root/" -name 'ld-linux*.so*' | head -n 1)
    host=$(ldd "$program" | awk '$3 ~ /^\// { sub("/[^/]*$", "", $3); print $3 }' | sort -u | paste -sd :)
    sed "s#\"libvulkan#\"$libraries/libvulkan#" "$mesa/root/usr/share/vulkan/icd.d/$2_icd.json" > "$icd"
    env VK_ICD_FILENAMES="$icd" VK_DRIVER_FILES="$icd" MESA_SHADER_CACHE_DISABLE=1 "$4" \
        "$loader" --library-path "$libraries:$host" --preload "$libraries/lib$3_noop_drm_shim.so" "$program" \
        > "$out/$1.tsv" 2> "$out/$1.log" || status=$?
    finish "$1" "$status"
}

# Joins the columns of all devices into one table: "registers / waves", "!" where something spills.
write_table()
{
    local columns=() files=() name driver shim setting
    while IFS='|' read -r name driver shim setting; do
        read -r driver <<< "$driver"
        [[ -n $driver ]] || continue
        columns+=("${name%"${name##*[! ]}"}")
        files+=("$out/$(file_name "$driver" "$setting").tsv")
    done <<< "$devices"
    {
        sed '/^<!-- table -->$/q' "$doc"
        printf '| kernel |'
        printf ' %s |' "${columns[@]}"
        printf '\n|---|'
        printf '%.0s---|' "${columns[@]}"
        printf '\n'
        awk -F '\t' '
            BEGIN { for (i = 1; i < ARGC; i++) column[ARGV[i]] = i }
            NF == 9 && $1 !~ /^kernel/ {
                if (!($1 in seen)) { seen[$1] = 1; order[++n] = $1 }
                cell[$1, column[FILENAME]] = $3 " / " $8 (($5 + $6 > 0) ? " !" : "")
            }
            END {
                for (i = 1; i <= n; i++) {
                    line = "| " order[i] " |"
                    for (f = 1; f < ARGC; f++)
                        line = line " " (((order[i], f) in cell) ? cell[order[i], f] : "") " |"
                    print line
                }
            }' "${files[@]}" | sort -V
        sed -n '/^<!-- end of the table -->$/,$p' "$doc"
    } > "$out/table.md"
    cp "$out/table.md" "$doc"
    echo "$doc: written"
}

# file_name DRIVER SETTING: of a device's results.
file_name()
{
    echo "$1_${2##*=}" | sed 's/_$//'
}

for family in "${families[@]}"; do
    run_installed "$family"
done
if ! $installed_only; then
    if ! unpack_mesa; then
        echo "compile_stats.sh: without the newer Mesa the table is not written" >&2
        exit 2
    fi
    while IFS='|' read -r _ driver shim setting; do
        read -r driver shim setting <<< "$driver $shim $setting"
        [[ -z $driver ]] || run_newer "$(file_name "$driver" "$setting")" "$driver" "$shim" "$setting"
    done <<< "$devices"
    write_table
fi
exit "$failed"

#!/bin/bash
# text_rules.sh finds each kind of violation in a tree made for that.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

mkdir "$tree/docs" "$tree/runtime"
bad_lines=('see ../shar''ed/file' 'https://pypi.o''rg/x' 'mirror http://deb.deb''ian.org' 'TO''DO later' '<<<''<<<< HEAD')
printf '%s\n' 'a line as it should be' "${bad_lines[@]}" > "$tree/docs/page.md"
printf 'int x;\n%.0s' {1..801} > "$tree/runtime/long.c"

if output=$("$here/text_rules.sh" "$tree" 2>&1); then
    echo "The tree breaks every rule, and text_rules.sh accepted it." >&2
    exit 1
fi
for ((i = 0; i < ${#bad_lines[@]}; i++)); do
    grep -qxF "docs/page.md:$((i + 2)):${bad_lines[i]}" <<< "$output" || { echo "not found: ${bad_lines[i]}" >&2; exit 1; }
done
grep -q '^runtime/long.c: 801 lines' <<< "$output" || { echo "the long file was not found" >&2; exit 1; }
[[ $(grep -c '^docs/page.md' <<< "$output") -eq ${#bad_lines[@]} ]]

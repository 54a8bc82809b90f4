#!/bin/bash
# Rules that every text file of the source tree keeps: it mentions nothing outside the tree and leaves nothing open.
#
#   text_rules.sh ROOT
#
# Prints "file:line: text" of every violation and fails when there is one.
set -euo pipefail
cd "$1"

places=()
for place in CMakeLists.txt CMakePresets.json README.md .ci benchmarks cmake docs examples include models runtime scripts shaders tests viewer; do
    [[ -e $place ]] && places+=("$place")
done

# An extended regular expression | what it finds
rules='
(\.\./|/)(shared|work)/                          | a path outside the tree
(pypi|pythonhosted|npmjs|crates|rubygems)\.(org|com|io) | the host of a package registry
(deb|snapshot|security)\.debian\.org             | the host of a package registry
\b(TODO|FIXME|XXX)\b                             | something left open
^(<<<<<<<|>>>>>>>) | a conflict that was not resolved
'

failed=0
while IFS= read -r row; do
    [[ -n $row ]] || continue
    purpose=${row##*| }
    pattern=${row%|*}
    pattern=${pattern%"${pattern##*[! ]}"}
    if grep -rnIE --exclude-dir=golden --exclude="$(basename "$0")" -e "$pattern" -- "${places[@]}"; then
        echo "^ $purpose" >&2
        failed=1
    fi
done <<< "$rules"

# Test data may be large; what people read may not.
while IFS= read -r file; do
    lines=$(wc -l < "$file")
    if ((lines > 800)); then
        echo "$file: $lines lines, at most 800 are allowed" >&2
        failed=1
    fi
done < <(find "${places[@]}" -name '*.[ch]' -o -name '*.cpp' -o -name '*.comp' -o -name '*.glsl' -o -name '*.sh' -o -name '*.cmake')

exit $failed

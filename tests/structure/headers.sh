#!/bin/bash
# Every public header compiles alone, with warnings as errors.
#
#   headers.sh INCLUDE_DIR COMPILER STANDARD      for example: headers.sh include clang++ c++17
#
# Exits 77 (skipped) when the compiler is not installed.
set -euo pipefail
include=$1 compiler=$2 standard=$3

command -v "$compiler" > /dev/null || exit 77

warnings=(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef -Werror)
if [[ $standard == c++* ]]; then
    language=c++
    warnings+=(-Wold-style-cast)
else
    language=c
    warnings+=(-Wstrict-prototypes -Wmissing-prototypes -Wvla)
fi

failed=0 count=0
for header in "$include"/vkdlm/*.h; do
    count=$((count + 1))
    name=vkdlm/$(basename "$header")
    # Twice: the second time finds a missing include guard.
    printf '#include <%s>\n#include <%s>\n' "$name" "$name" |
        "$compiler" -x "$language" -std="$standard" "${warnings[@]}" -I "$include" -fsyntax-only - || failed=$((failed + 1))
done
echo "$compiler -std=$standard: $count headers, $failed failed"
[[ $count -gt 0 && $failed -eq 0 ]]

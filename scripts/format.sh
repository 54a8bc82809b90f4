#!/bin/bash
# Lays out all C and C++ sources by .clang-format (Debian 12's clang-format, version 14).
#
#   scripts/format.sh            rewrites the files
#   scripts/format.sh --check    changes nothing, fails and names the places that would change
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case ${1:-} in
'') mode=(-i) ;;
--check) mode=(--dry-run -Werror) ;;
*)
    echo "format.sh: unknown word '$1', expected --check or nothing" >&2
    exit 1
    ;;
esac

# The fixture of the layering test breaks rules on purpose.
find benchmarks examples include runtime shaders tests viewer -path tests/structure/fixture -prune -o \( -name '*.[ch]' -o -name '*.cpp' \) -print0 |
    xargs -0 clang-format "${mode[@]}"

#!/bin/bash
# The shared library exports exactly the functions that the public headers declare with VKDLM_API.
#
#   exports.sh LIBRARY INCLUDE_DIR
set -euo pipefail
library=$1 include=$2

declared=$(sed -nE '/VKDLM_API/s/.*[ *](vkdlm_[a-z0-9_]+)\(.*/\1/p' "$include"/vkdlm/*.h | sort)
exported=$(nm -D --defined-only "$library" | awk '{print $3}' | sort)

if [[ $(wc -l <<< "$declared") -ne $(cat "$include"/vkdlm/*.h | grep -c '^VKDLM_API') ]]; then
    echo "A declaration with VKDLM_API does not have the function's name on its first line." >&2
    exit 1
fi
diff --label "declared in $include" --label "exported by $library" -u \
    <(echo "$declared") <(echo "$exported") && echo "$(wc -l <<< "$declared") functions, declared and exported"

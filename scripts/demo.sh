#!/bin/bash
# Generates text with the bundled model: installs what is missing, builds, and shows the text as it resolves.
# Words after the command go to `vkdlm generate`, for example:
#
#   scripts/demo.sh --seed 7
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/deps.sh build run

echo "Building in build/release"
cmake --preset release -DVKDLM_TESTS=OFF > /dev/null
cmake --build --preset release --target vkdlm_cli

exec build/release/bin/vkdlm generate --model models/kjv-mdlm-q8_0.gguf --show "$@"

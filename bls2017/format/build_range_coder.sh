#!/bin/sh
# Builds range_coder.wasm from its source, by clang and lld 14 or later.
#   build_range_coder.sh [OUTPUT]
folder=$(dirname "$0")
exec clang --target=wasm32 -O3 -ffreestanding -nostdlib -Wl,--no-entry \
  -Wl,--strip-all -Wl,--export=__heap_base \
  -o "${1:-$folder/range_coder.wasm}" "$folder/range_coder.c"

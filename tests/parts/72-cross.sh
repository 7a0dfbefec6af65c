#!/usr/bin/env bash
# about: the static binaries for five processors, built, measured and run under qemu-user
# needs: cargo:rustup/cargo qemu-arm-static:qemu-user-static readelf:binutils objdump:binutils gcc:gcc
# root: yes
# timeout: 2400
set -euo pipefail

packaging/cross all
export NETRNG_CROSS=$CARGO_TARGET_DIR
cargo build --release --locked
export NETRNG_BINARY=$CARGO_TARGET_DIR/release/netrng
cargo test --locked --test cross -- --test-threads=2 --nocapture

#!/usr/bin/env bash
# about: a minute of random kills; every byte of every client compared
# needs: cargo:rustup/cargo
# timeout: 600
set -euo pipefail

cargo build --release --locked
export NETRNG_BINARY=$CARGO_TARGET_DIR/release/netrng
cargo test --locked --test soak -- --test-threads=1 --nocapture

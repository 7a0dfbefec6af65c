#!/usr/bin/env bash
# about: a flood of connections, no descriptors left, a client that does not read
# needs: cargo:rustup/cargo
# timeout: 600
set -euo pipefail

cargo build --release --locked
export NETRNG_BINARY=$CARGO_TARGET_DIR/release/netrng
cargo test --locked --test protection -- --test-threads=1 --nocapture

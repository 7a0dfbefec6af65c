#!/usr/bin/env bash
# about: 5, 20 and 50 clients on the real /dev/hwrng: Jain's index, and what was read is delivered
# needs: cargo:rustup/cargo strace:strace
# root: yes
# timeout: 900
set -euo pipefail

cargo build --release --locked
export NETRNG_BINARY=$CARGO_TARGET_DIR/release/netrng
cargo test --locked --test hwrng -- --test-threads=1 --nocapture

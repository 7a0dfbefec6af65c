#!/usr/bin/env bash
# about: bad input and failing sources against the release build, as it is shipped
# needs: cargo:rustup/cargo
# timeout: 600
set -euo pipefail

cargo build --release --locked
export NETRNG_BINARY=$CARGO_TARGET_DIR/release/netrng
cargo test --locked --test hostile --test sources

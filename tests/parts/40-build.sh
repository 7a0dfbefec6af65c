#!/usr/bin/env bash
# about: the release binary builds and runs
# needs: cargo:rustup/cargo
# timeout: 900
set -euo pipefail

cargo build --release --locked
"$CARGO_TARGET_DIR"/release/netrng --version
ls -l "$CARGO_TARGET_DIR"/release/netrng

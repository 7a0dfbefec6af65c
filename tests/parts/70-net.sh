#!/usr/bin/env bash
# about: two network namespaces: the link goes down and comes back, the flow resumes
# needs: cargo:rustup/cargo ip:iproute2
# root: yes
# timeout: 300
set -euo pipefail

cargo build --release --locked
export NETRNG_BINARY=$CARGO_TARGET_DIR/release/netrng
cargo test --locked --test net -- --test-threads=1 --nocapture

#!/usr/bin/env bash
# about: `netrng setup --apply` on Debian with four init systems, twice; scripts for all systems
# needs: cargo:rustup/cargo mmdebstrap:mmdebstrap shellcheck:shellcheck unshare:util-linux ip:iproute2 systemd-nspawn:systemd-container
# root: yes
# timeout: 1200
set -euo pipefail

cargo build --release --locked
export NETRNG_BINARY=$CARGO_TARGET_DIR/release/netrng
cargo test --locked --test setup -- --test-threads=1 --nocapture

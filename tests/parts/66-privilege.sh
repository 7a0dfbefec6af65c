#!/usr/bin/env bash
# about: `user`: uids and rights of both halves, who does what, each killed and back
# needs: cargo:rustup/cargo strace:strace setpriv:util-linux ss:iproute2 apt-get:apt dpkg-deb:dpkg
# root: yes
# timeout: 600
set -euo pipefail

NETRNG_RNGD_DEBIAN=$(tests/fetch-rngd rng-tools-debian)
NETRNG_RNGD_FIVE=$(tests/fetch-rngd rng-tools5)
export NETRNG_RNGD_DEBIAN NETRNG_RNGD_FIVE
cargo build --release --locked
export NETRNG_BINARY=$CARGO_TARGET_DIR/release/netrng
cargo test --locked --test privilege -- --test-threads=1 --nocapture

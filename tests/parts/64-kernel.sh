#!/usr/bin/env bash
# about: the sink `kernel` under strace, with and without privilege; the FIFO under both rngd
# needs: cargo:rustup/cargo strace:strace setpriv:util-linux apt-get:apt dpkg-deb:dpkg
# root: yes
# timeout: 600
set -euo pipefail

NETRNG_RNGD_DEBIAN=$(tests/fetch-rngd rng-tools-debian)
NETRNG_RNGD_FIVE=$(tests/fetch-rngd rng-tools5)
export NETRNG_RNGD_DEBIAN NETRNG_RNGD_FIVE
cargo build --release --locked
export NETRNG_BINARY=$CARGO_TARGET_DIR/release/netrng
cargo test --locked --test kernel -- --test-threads=1 --nocapture

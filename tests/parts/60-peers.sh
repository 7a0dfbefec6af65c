#!/usr/bin/env bash
# about: real rngd (two variants), real /dev/hwrng, strace: our bytes reach the kernel
# needs: cargo:rustup/cargo strace:strace apt-get:apt dpkg-deb:dpkg
# root: yes
# timeout: 600
set -euo pipefail

NETRNG_RNGD_DEBIAN=$(tests/fetch-rngd rng-tools-debian)
NETRNG_RNGD_FIVE=$(tests/fetch-rngd rng-tools5)
export NETRNG_RNGD_DEBIAN NETRNG_RNGD_FIVE
cargo build --release --locked
export NETRNG_BINARY=$CARGO_TARGET_DIR/release/netrng
cargo test --locked --test peers -- --test-threads=1 --nocapture

#!/usr/bin/env bash
# about: netrng assess beside ent and rngtest, on good and bad bytes and the real /dev/hwrng; its drawings
# needs: cargo:rustup/cargo strace:strace ent:ent rsvg-convert:librsvg2-bin pngtopnm:netpbm apt-get:apt dpkg-deb:dpkg
# root: yes
# timeout: 300
set -euo pipefail

# That of rng-tools5 has the poker test's old lower bound, 1.03 where the change notice of
# 2001-10-10 says 2.16.
rngd=$(tests/fetch-rngd rng-tools-debian)
export NETRNG_RNGTEST=${rngd%/sbin/rngd}/bin/rngtest
cargo build --release --locked
export NETRNG_BINARY=$CARGO_TARGET_DIR/release/netrng
cargo test --locked --test quality -- --nocapture

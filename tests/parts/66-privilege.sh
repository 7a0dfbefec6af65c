#!/usr/bin/env bash
# about: `user`: uids and rights of both halves, who does what, each killed and back
# needs: cargo:rustup/cargo strace:strace setpriv:util-linux ss:iproute2 apt-get:apt dpkg-deb:dpkg
# root: yes
# timeout: 600
set -euo pipefail

tests/with-rngd privilege
NETRNG_BINARY=$CARGO_TARGET_DIR/release/netrng \
    cargo test --locked --test ways -- --test-threads=1 --nocapture

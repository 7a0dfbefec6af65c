#!/usr/bin/env bash
# about: QEMU's rng-egd in booted guests, through our restart and our silence; ekeyd-egd-linux; EntropyBroker; ekeyd as source
# needs: cargo:rustup/cargo qemu-system-x86_64:qemu-system-x86 cpio:cpio modprobe:kmod apt-get:apt dpkg-deb:dpkg flock:util-linux
# root: yes
# timeout: 900
set -euo pipefail

NETRNG_EKEYD=$(tests/fetch-rngd ekeyd-egd-linux usr/sbin/ekeyd-egd-linux)
NETRNG_EB_SERVER_EGD=$(tests/fetch-rngd entropybroker usr/bin/eb_server_egd)
NETRNG_EKEYD_DAEMON=$(tests/fetch-rngd ekeyd usr/sbin/ekeyd)
export NETRNG_EKEYD NETRNG_EB_SERVER_EGD NETRNG_EKEYD_DAEMON
# What ekeyd speaks EGD with: a module of Lua, no library that its package names as such.
[[ $(dpkg-query -W -f '${db:Status-Status}' lua-socket 2>/dev/null) == installed ]] ||
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends lua-socket
cargo build --release --locked
export NETRNG_BINARY=$CARGO_TARGET_DIR/release/netrng
# The guests run none: what they draw they draw through QEMU.
export BOARD_BINARY=$NETRNG_BINARY
# Here, where it cannot be taken for a guest that hangs.
tests/boards/fetch amd64 linux-image-amd64
cargo test --locked --test egd --test egd_source
timeout 400 cargo test --locked --test egd_peers -- --test-threads=2 --nocapture

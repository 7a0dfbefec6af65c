#!/usr/bin/env bash
# about: whole boards booted under QEMU (Pi 1, ARMv7, ALIX) serve their generator, and starve until fed
# needs: cargo:rustup/cargo qemu-system-arm:qemu-system-arm qemu-system-i386:qemu-system-x86 cpio:cpio modprobe:kmod python3:python3 strace:strace apt-get:apt dpkg-deb:dpkg flock:util-linux
# root: yes
# timeout: 2400
set -euo pipefail

NETRNG_RNGD_DEBIAN=$(tests/fetch-rngd rng-tools-debian)
NETRNG_RNGD_FIVE=$(tests/fetch-rngd rng-tools5)
export NETRNG_RNGD_DEBIAN NETRNG_RNGD_FIVE
packaging/cross arm-unknown-linux-musleabihf armv7-unknown-linux-musleabihf i586-unknown-linux-musl
cargo build --release --locked
export NETRNG_BINARY=$CARGO_TARGET_DIR/release/netrng
# Here, where they cannot be taken for a board that hangs.
tests/boards/fetch armel linux-image-rpi
tests/boards/fetch armhf linux-image-armmp
tests/boards/fetch i386 linux-image-686
# What docs/boards.md says of Debian and the ALIX.
grep -qx CONFIG_MGEODE_LX=y "$NETRNG_CACHE"/boards/i386/linux-image-686/boot/config-*
# Each board is a QEMU that wants a processor.
timeout 600 cargo test --locked --test boards -- --test-threads=2 --nocapture

#!/usr/bin/env bash
# about: real OpenSSH and real dropbear on loopback: raw bytes, netrng tap, keys, broken tunnels
# needs: cargo:rustup/cargo ssh:openssh-client /usr/sbin/sshd:openssh-server dropbear:dropbear-bin dbclient:dropbear-bin useradd:passwd
# root: yes
# timeout: 600
set -euo pipefail

cargo build --release --locked
export NETRNG_BINARY=$CARGO_TARGET_DIR/release/netrng
cargo test --locked --test ssh -- --test-threads=1 --nocapture

#!/usr/bin/env bash
# about: lints, warnings are errors; all targets, also those that `cargo test` leaves out
# needs: cargo:rustup/cargo cargo-clippy:rustup/clippy
# timeout: 900
set -euo pipefail

cargo clippy --locked --all-targets -- -D warnings
# `--all-targets` skips the tests that are marked `test = false`; by name they are all taken.
cargo clippy --locked --test '*' -- -D warnings
# The same with the feature that is off by default.
cargo clippy --locked --all-targets --features mdns -- -D warnings
cargo clippy --locked --test '*' --features mdns -- -D warnings

#!/usr/bin/env bash
# about: lints, warnings are errors; all targets, also those that `cargo test` leaves out; both feature sets
# needs: cargo:rustup/cargo cargo-clippy:rustup/clippy
# timeout: 900
set -euo pipefail

cargo clippy --locked --all-targets -- -D warnings
# With the feature that is off by default.
cargo clippy --locked --all-targets --features mdns -- -D warnings
# `--all-targets` skips the tests that are marked `test = false`; by name they are all taken, of
# which one wants the feature.
cargo clippy --locked --test '*' --features mdns -- -D warnings

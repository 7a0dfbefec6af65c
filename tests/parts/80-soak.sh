#!/usr/bin/env bash
# about: a minute of random kills; every byte of every client compared
# needs: cargo:rustup/cargo
# timeout: 600
set -euo pipefail

cargo test --locked --test soak -- --test-threads=1 --nocapture

#!/usr/bin/env bash
# about: plain `cargo test`: units, simulations and the real binary; needs nothing installed
# needs: cargo:rustup/cargo
# timeout: 900
set -euo pipefail

cargo test --locked --no-fail-fast

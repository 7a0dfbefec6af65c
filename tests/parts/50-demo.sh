#!/usr/bin/env bash
# about: the README's command on a fresh clone: a verdict with figures, exit code 0
# needs: cargo:rustup/cargo git:git
# timeout: 900
set -euo pipefail

clone=$(mktemp -d)
trap 'rm -rf "$clone"' EXIT
git clone --quiet . "$clone/netrng"
cd "$clone/netrng"

# Compiled dependencies are kept between runs; the clone's own crate has a path of its own
# and is built from scratch.
out=$clone/demo.txt
CARGO_TARGET_DIR=$CARGO_TARGET_DIR/demo cargo run --release --locked -- demo --seconds 3 |
    tee "$out"

grep -q 'duplicate' "$out" || { echo 'the verdict says nothing of duplicates'; exit 1; }
grep -qi 'jain' "$out" || { echo 'the verdict says nothing of fairness'; exit 1; }
if grep -q $'\033' "$out"; then
    echo 'escape sequences in piped output'
    exit 1
fi

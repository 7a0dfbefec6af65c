#!/usr/bin/env bash
# about: coverage-guided fuzzing of what peers of any kind send and of configuration files, 10 s each
# needs: cargo:rustup/cargo
# timeout: 600
set -euo pipefail

# What `cargo fuzz` would do, without installing it: a stable compiler inserts the counters.
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
host=$(rustc -vV | sed -n 's/^host: //p')
target=$CARGO_TARGET_DIR/fuzz
cargo build --manifest-path fuzz/Cargo.toml --release --locked --target "$host" \
    --target-dir "$target"

corpus=$(mktemp -d)
trap 'rm -rf "$corpus"' EXIT
for name in server_codecs client_codecs guests config; do
    mkdir "$corpus/$name"
    [ "$name" = config ] && cp conf/*.toml "$corpus/$name"
    "$target/$host/release/$name" -max_total_time=10 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$NETRNG_CACHE/fuzz-$name-" "$corpus/$name" 2>&1 |
        sed -n "s/^stat::number_of_executed_units: /$name: runs /p"
done

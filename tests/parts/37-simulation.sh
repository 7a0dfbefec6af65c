#!/usr/bin/env bash
# about: four million steps of the seeded simulation, and a million of a new seed
# needs: cargo:rustup/cargo
# timeout: 900
set -euo pipefail

steps=${NETRNG_SIM_STEPS:-1000000}
simulate() {
    NETRNG_SIM_STEPS=$steps "$@" cargo test --locked --profile sim --lib \
        server::simulation -- --nocapture
}

# The four seeds that every run has.
simulate env -u NETRNG_SIM_SEED | tee "$CARGO_TARGET_DIR/simulation.log"
# A filter that matches nothing would pass as well.
grep -q 'sessions ended' "$CARGO_TARGET_DIR/simulation.log"

seed=${NETRNG_SIM_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
printf 'this run'\''s own seed; replay: NETRNG_SIM_SEED=%s NETRNG_SIM_STEPS=%s tests/run simulation\n' \
    "$seed" "$steps"
simulate env NETRNG_SIM_SEED="$seed"

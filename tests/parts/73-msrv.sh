#!/usr/bin/env bash
# about: type-checks with the oldest Rust that Cargo.toml promises, which is Debian 13's
# needs: cargo:rustup/cargo mmdebstrap:mmdebstrap systemd-nspawn:systemd-container
# root: yes
# timeout: 900
set -euo pipefail

ROOT=$NETRNG_CACHE/rust-of-trixie
WORK=$CARGO_TARGET_DIR/msrv

# The mark comes last: a root that was left half done is made anew.
if [[ ! -e $ROOT/complete ]]; then
    rm -rf "$ROOT"
    mirror=$(tests/support/debian-mirror)
    mmdebstrap --quiet --variant=essential --include=rustc,cargo,gcc,libc6-dev \
        --aptopt='APT::Install-Recommends "false"' trixie "$ROOT" "$mirror"
    touch "$ROOT/complete"
fi

# An older cargo cannot read the newer one's registry.
mkdir -p "$WORK"
cargo vendor --quiet --locked "$WORK/vendor" >/dev/null
cat >"$WORK/vendored.toml" <<'END'
source.crates-io.replace-with = "vendored"
source.vendored.directory = "/work/vendor"
END

inside() {
    systemd-nspawn --quiet --register=no --keep-unit --directory="$ROOT" --volatile=overlay \
        --private-network --pipe --bind-ro="$PWD:/netrng" --bind="$WORK:/work" \
        --chdir=/netrng --setenv=CARGO_TARGET_DIR=/work/target "$@"
}
promised=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
found=$(inside rustc --version)
[[ $found == "rustc $promised."* ]] || {
    echo "Debian 13 has $found, and Cargo.toml promises $promised"
    exit 1
}
# What users build; tests may want newer crates.
check=(cargo --config /work/vendored.toml check --locked --offline --lib --bins)
inside "${check[@]}"
inside "${check[@]}" --features mdns

#!/usr/bin/env bash
# about: `netrng status` and the HTTP listener: figures, promtool, a browser, hostile peers
# needs: cargo:rustup/cargo chromium:chromium jq:jq pngtopnm:netpbm script:bsdutils setpriv:util-linux apt-get:apt dpkg-deb:dpkg
# root: yes
# timeout: 900
set -euo pipefail

# Debian's package would start a server of its own.
folder=$NETRNG_CACHE/prometheus
export NETRNG_PROMTOOL=$folder/usr/bin/promtool
if [[ ! -x $NETRNG_PROMTOOL ]]; then
    mkdir -p "$folder"
    (
        cd "$folder"
        rm -f ./*.deb
        apt-get download prometheus || { apt-get update && apt-get download prometheus; }
        dpkg-deb -x prometheus_*.deb .
        rm -f ./*.deb
    )
fi
cargo build --release --locked
export NETRNG_BINARY=$CARGO_TARGET_DIR/release/netrng
cargo test --locked --test status --test faces -- --test-threads=2 --nocapture

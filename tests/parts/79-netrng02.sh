#!/usr/bin/env bash
# about: the original NetRNG 0.2 from PyPI: its clients draw from our server, our client from its server
# needs: cargo:rustup/cargo strace:strace setpriv:util-linux python3:python3-venv apt-get:apt dpkg-deb:dpkg
# root: yes
# timeout: 600
set -euo pipefail

folder=$NETRNG_CACHE/netrng-0.2
if [[ ! -e $folder/complete ]]; then
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet gevent==26.9.0 msgpack==1.2.4 zeroconf==0.154.0 six==1.17.0
    # What it asks for beside those no longer builds, and is not needed.
    "$folder/bin/pip" install --quiet --no-deps netrng==0.2b1
    touch "$folder/complete"
fi
export NETRNG_ORIGINAL_PYTHON=$folder/bin/python3
cargo test --locked --test netrng02
tests/with-rngd netrng02_peers

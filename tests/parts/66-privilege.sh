#!/usr/bin/env bash
# about: `user`: uids and rights of both halves, who does what, each killed and back
# needs: cargo:rustup/cargo strace:strace setpriv:util-linux ss:iproute2 apt-get:apt dpkg-deb:dpkg
# root: yes
# timeout: 600
set -euo pipefail

tests/with-rngd privilege

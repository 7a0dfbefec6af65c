#!/usr/bin/env bash
# about: the sink `kernel` under strace, with and without privilege; the FIFO under both rngd
# needs: cargo:rustup/cargo strace:strace setpriv:util-linux apt-get:apt dpkg-deb:dpkg
# root: yes
# timeout: 600
set -euo pipefail

tests/with-rngd kernel

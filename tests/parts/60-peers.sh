#!/usr/bin/env bash
# about: real rngd (two variants), real /dev/hwrng, strace: our bytes reach the kernel
# needs: cargo:rustup/cargo strace:strace apt-get:apt dpkg-deb:dpkg
# root: yes
# timeout: 600
set -euo pipefail

tests/with-rngd peers

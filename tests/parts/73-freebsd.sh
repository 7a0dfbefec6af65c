#!/usr/bin/env bash
# about: type-checks for FreeBSD, with its standard library; nothing is run there
# needs: cargo:rustup/cargo
# root: yes
# timeout: 900
set -euo pipefail

packaging/cross check x86_64-unknown-freebsd

#!/usr/bin/env bash
# about: mDNS: what Avahi sees of a server, whom a client goes to; units with the feature `mdns`
# needs: cargo:rustup/cargo ip:iproute2 strace:strace dbus-daemon:dbus-daemon unshare:util-linux stdbuf:coreutils apt-get:apt dpkg-deb:dpkg
# root: yes
# timeout: 900
set -euo pipefail

# Debian's package would start a daemon of its own.
folder=$NETRNG_CACHE/avahi
packages=(avahi-daemon avahi-utils libavahi-client3 libavahi-common3 libavahi-core7 libdaemon0
    libgdbm6)
# The mark comes last: what was left half done is made anew.
if [[ ! -e $folder/complete ]]; then
    rm -rf "$folder"
    mkdir -p "$folder"
    (
        cd "$folder"
        apt-get download "${packages[@]}" || { apt-get update && apt-get download "${packages[@]}"; }
        for package in ./*.deb; do dpkg-deb -x "$package" .; done
        rm -f ./*.deb
    )
    touch "$folder/complete"
fi
export NETRNG_AVAHI=$folder

cargo test --locked --features mdns --lib
cargo test --locked --features mdns --test mdns -- --test-threads=2 --nocapture

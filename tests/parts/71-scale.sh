#!/usr/bin/env bash
# about: HAProxy before two servers, names with several addresses, the XML for libvirt, the DaemonSet
# needs: cargo:rustup/cargo ip:iproute2 haproxy:haproxy dnsmasq:dnsmasq-base xmllint:libxml2-utils setpriv:util-linux pip3:python3-pip apt-get:apt dpkg-deb:dpkg
# root: yes
# timeout: 600
set -euo pipefail

# What is written down is what programs take. Warnings count.
haproxy -c -dW -f docs/haproxy.cfg

# libvirt's own description of its XML, without libvirt.
folder=$NETRNG_CACHE/libvirt
schema=$folder/usr/share/libvirt/schemas/domain.rng
if [[ ! -e $schema ]]; then
    mkdir -p "$folder"
    (
        cd "$folder"
        rm -f ./*.deb
        apt-get download libvirt0 || { apt-get update && apt-get download libvirt0; }
        dpkg-deb -x libvirt0_*.deb .
        rm -f ./*.deb
    )
fi
xmllint --noout --relaxng "$schema" docs/libvirt.xml

# Kubernetes' own description of its objects.
folder=$NETRNG_CACHE/kubernetes-validate
[[ -e $folder/bin/kubernetes-validate ]] ||
    pip3 install --quiet --target "$folder" kubernetes-validate==1.37.0
PYTHONPATH=$folder python3 "$folder/bin/kubernetes-validate" --strict docs/kubernetes.yaml

cargo build --release --locked
export NETRNG_BINARY=$CARGO_TARGET_DIR/release/netrng
cargo test --locked --test scale -- --test-threads=2 --nocapture

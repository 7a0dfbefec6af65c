#!/usr/bin/env bash
# Prints the folder of a Debian 12 root file system with init system $1 (systemd, sysvinit,
# openrc, runit). It is made once (two minutes for the first, half a minute for each other) and
# belongs to everybody: copy it with `cp -a`, change nothing in it.
set -euo pipefail

init=$1
cache=${NETRNG_CACHE:?set by tests/run}/debian
root=$cache/$init

# No udev where only its init script would start it: booted outside a real container that mounts
# the machine's own /dev and gives all its devices other owners.
case $init in
systemd) packages="systemd-sysv udev" ;;
sysvinit) packages="sysvinit-core sysv-rc" ;;
openrc) packages="sysvinit-core openrc" ;;
runit) packages="runit-init" ;;
*) printf 'no Debian root with init system "%s"\n' "$init" >&2; exit 2 ;;
esac

# The root that all others begin with; it keeps the package lists.
make_base() {
    mmdebstrap --variant=minbase --skip=cleanup/apt/lists bookworm "$cache/base.new"
    mv "$cache/base.new" "$cache/base"
}

# Two at once would be in each other's way.
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9

if [[ ! -d $root ]]; then
    {
        rm -rf "$root.new" "$cache/base.new"
        [[ -d $cache/base ]] || make_base
        cp -a "$cache/base" "$root.new"
        # Nothing that is installed shall start.
        printf '#!/bin/sh\nexit 101\n' >"$root.new/usr/sbin/policy-rc.d"
        chmod 755 "$root.new/usr/sbin/policy-rc.d"
        cp /etc/resolv.conf "$root.new/etc/resolv.conf"
        # shellcheck disable=SC2086 # a list of names
        DEBIAN_FRONTEND=noninteractive chroot "$root.new" \
            apt-get install -y --no-install-recommends $packages
        mv "$root.new" "$root"
    } >&2
fi
printf '%s\n' "$root"

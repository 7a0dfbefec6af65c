#!/bin/sh
# The life of package kind $1 (deb, rpm) under $2 (systemd, sysvinit), inside a Debian that boot
# has made: installed, run, upgraded, removed, purged. What it must leave and what it must not.
set -eu

kind=$1 init=$2
PATH=/usr/sbin:/usr/bin:/sbin:/bin
PACKAGE=$(echo /packages/netrng*."$kind")
# For a service that is to come up or go; each look waits.
TRIES=60

fail() {
    echo "FAILED: $*"
    [ "$init" != systemd ] || journalctl --no-pager --lines=30 || true
    exit 1
}

say() {
    echo "$(date +%T) $kind, $init: $*"
}

# Whether "$@" succeeds before long.
eventually() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt "$TRIES" ] || return 1
        sleep 0.5
    done
}

# All names of files; of what package managers and systems do in any case, nothing.
files() {
    find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /dev -o -path /tmp \
        -o -path /var/log -o -path /var/cache -o -path /var/lib/systemd -o -path /output \
        -o -path /var/lib/dpkg/info -o -path /root/.rpmdb \) -prune -o -print |
        grep -v -e '-old$' -e '^/etc/[a-z]*-$' -e '^/etc/\.' -e '^/usr/share/licenses$' | sort
}

# As an admin gives the commands; an upgrade to the same version is one to the package manager.
install_package() {
    case $kind in
    deb) dpkg -i "$PACKAGE" ;;
    rpm) rpm -U --replacepkgs --nodeps "$PACKAGE" ;;
    esac >/tmp/said 2>&1 || fail "cannot be installed: $(cat /tmp/said)"
}
verify_package() {
    case $kind in
    deb) dpkg -V netrng ;;
    rpm) rpm -V --nodeps netrng ;;
    esac
}
remove_package() {
    case $kind in
    deb) dpkg -r netrng ;;
    rpm) rpm -e netrng ;;
    esac >/tmp/said 2>&1 || fail "cannot be removed: $(cat /tmp/said)"
}

# Starts or restarts it, as $1 says.
run_service() {
    case $init in
    systemd) systemctl "$1" netrng ;;
    sysvinit) service netrng "$1" ;;
    esac || fail "the service does not $1"
    eventually runs || fail 'does not run'
}
# What starts something at boot.
enabled() {
    find /etc/systemd/system/*.wants /etc/rc[2-5].d/S* -name '*netrng*' 2>/dev/null || true
}
pid() {
    case $init in
    systemd) systemctl show --property MainPID --value netrng ;;
    sysvinit) cat /run/netrng.pid 2>/dev/null || echo 0 ;;
    esac
}
runs() {
    [ "$(pid)" != 0 ] && [ "$(readlink "/proc/$(pid)/exe")" = /usr/bin/netrng ]
}
runs_anew() {
    runs && [ "$(pid)" != "$old" ]
}
# Nobody runs our program, be the file deleted or not.
is_gone() {
    ! find /proc/[0-9]*/exe -printf '%l\n' 2>/dev/null | grep -q '^/usr/bin/netrng'
}

# How it is right after an installation.
check_installed() {
    verify_package || fail 'what is installed is not what the package has'
    netrng --version
    getent passwd netrng | grep -Eq ':/nonexistent:.*/(nologin|false)$' ||
        fail "the user is $(getent passwd netrng)"
    [ "$(stat -c '%a %U %G' /etc/netrng)" = '750 root netrng' ] || fail "$(stat /etc/netrng)"
    [ -z "$(enabled)" ] || fail "starts at boot without a configuration: $(enabled)"
    is_gone || fail 'runs without a configuration'
    code=0
    netrng check >/tmp/said 2>&1 || code=$?
    [ "$code" = 3 ] || fail "netrng check: $code, $(cat /tmp/said)"
    find /lib/udev/rules.d /usr/lib/udev/rules.d -name 60-netrng.rules | grep -q . ||
        fail 'no rule for udev'
    find /usr/share/man -name 'netrng*.gz' | grep -c . | grep -qx 2 || fail 'not two manual pages'
    find /usr/share -path '*/netrng/NOTICES*' | grep -q . || fail 'no notices of others'
    if [ "$init" = systemd ]; then
        said=$(systemd-analyze verify --man=no --recursive-errors=no netrng.service netrng-seed.service 2>&1)
        [ -z "$said" ] || fail "$said"
    fi
}

configure() {
    printf '%s\n' 'mode = "server"' 'user = "netrng"' '[server]' 'listen = ["127.0.0.1:8989"]' \
        'private-key-file = "/etc/netrng/server.key"' '[source]' 'device = "/dev/urandom"' \
        >/etc/netrng.toml
}

# Makes the machine a server by netrng's own words, which must leave alone what the package brought.
set_up() {
    netrng setup server --apply >/tmp/said 2>&1 || fail "netrng setup: $(cat /tmp/said)"
    said=$(find /etc/udev/rules.d /etc/systemd/system /etc/netrng/shipped /usr/local/bin \
        -name '*netrng*' -type f 2>/dev/null) || true
    [ -z "$said" ] || fail "setup put $said beside the package's files"
    verify_package || fail "setup changed the package's files"
    netrng setup server --apply | grep -q 'nothing to do' || fail 'setup finds more to do'
}

# Nothing that is installed shall start, the test's roots say: here it shall.
rm -f /usr/sbin/policy-rc.d
before=$(files)

install_package
check_installed
say 'installed, and nothing starts'

configure
set_up
eventually runs || fail 'does not run'
[ -n "$(enabled)" ] || fail 'does not start at boot'
key=$(cat /etc/netrng/server.key)
say 'set up as a server, and it runs'

old=$(pid)
install_package
eventually runs_anew || fail 'the upgrade has not restarted it'
[ -n "$(enabled)" ] || fail 'the upgrade has switched it off'
say 'upgraded, and it runs anew'

echo 'no-such-key = 1' >>/etc/netrng.toml
install_package
say 'upgraded with a mistake in the configuration, which is no failure'
configure
run_service restart

remove_package
eventually is_gone || fail 'removed, and it runs'
[ -s /etc/netrng/server.key ] || fail 'the removal took the key'
[ -e /etc/netrng.toml ] || fail 'the removal took the configuration'
getent passwd netrng >/dev/null || fail 'the removal took the user, whose files stay'
say 'removed: stopped, key and configuration stay'

install_package
[ "$(cat /etc/netrng/server.key)" = "$key" ] || fail 'another key'
case $kind in
deb)
    # What no package brought keeps what both share.
    cp /usr/bin/netrng /usr/local/bin/netrng
    dpkg -P netrng >/dev/null
    if ! getent passwd netrng >/dev/null || [ ! -e /etc/netrng/server.key ]; then
        fail 'the purge took what another netrng needs'
    fi
    rm /usr/local/bin/netrng
    install_package
    # Nor is anything taken from an instance that runs on.
    sed 's/:8989/:8990/' /etc/netrng.toml >/etc/netrng.board2.toml
    netrng run -c /etc/netrng.board2.toml >/tmp/board2 2>&1 &
    eventually grep -q 'ready: ' /tmp/board2 || fail "the second instance: $(cat /tmp/board2)"
    dpkg -P netrng >/tmp/said 2>&1 || fail "the purge beside another instance: $(cat /tmp/said)"
    grep -q '^netrng: kept /etc/netrng, ' /tmp/said || fail "not said what stays: $(cat /tmp/said)"
    if ! getent passwd netrng >/dev/null || [ ! -e /etc/netrng/server.key ]; then
        fail 'the purge took what another instance needs'
    fi
    kill -0 $! || fail 'the purge ended another instance'
    kill $!
    wait $! || fail "the second instance ends with code $?"
    rm /etc/netrng.board2.toml
    install_package
    dpkg -P netrng >/dev/null
    if getent passwd netrng || getent group netrng; then fail 'the user is left'; fi
    ;;
rpm)
    remove_package
    # By RPM's custom these stay.
    rm -r /etc/netrng /etc/netrng.toml
    getent passwd netrng >/dev/null || fail 'the removal took the user'
    ;;
esac
eventually is_gone || fail 'purged, and it runs'
[ -z "$(enabled)" ] || fail "left to start at boot: $(enabled)"
find /var/lib/systemd -name '*netrng*' | grep . && fail 'left in /var/lib/systemd'
after=$(files)
[ "$before" = "$after" ] || {
    printf '%s\n' "$before" >/tmp/before
    printf '%s\n' "$after" >/tmp/after
    fail "left or gone: $(diff /tmp/before /tmp/after)"
}
say 'purged, and nothing is left'

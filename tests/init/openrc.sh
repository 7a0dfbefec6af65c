# shellcheck shell=sh disable=SC2034,SC1091 # variables for life.sh; files of the root
# OpenRC with supervise-daemon; the client is a symbolic link.

. /test/syslogd.sh

respawns=yes refuses_reload=3 refuses_restart=1 client_follows=yes

prepare() {
    openrc sysinit
    openrc boot
    start_syslogd
    mkfifo -m 600 /run/sink
    while :; do cat /run/sink; done >/dev/null &
}

sv() { rc-service "$2" "$1"; }
pid_of() { cat "/run/openrc/options/$1/child_pid" 2>/dev/null; }

checks() {
    check_syslog
    say 'it belongs to a runlevel'
    for name in netrng netrng.vm1; do
        rc-update add "$name" default || fail 'rc-update'
    done
    openrc default
    sv status netrng || fail "status says $?"
}

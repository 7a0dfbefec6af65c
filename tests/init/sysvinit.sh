# shellcheck shell=sh disable=SC2034,SC1091 # variables for life.sh; files of the root
# System V init, as PID 1; it has started both services already, by their links in rc2.d.

. /test/syslogd.sh

respawns=no refuses_reload=yes refuses_restart=yes client_follows=yes

prepare() {
    say 'init itself has started the server and its client'
    wait_for 'the server of the boot' runs netrng
    wait_for 'the client of the boot' runs netrng.vm1
    for name in netrng.vm1 netrng; do
        sv stop "$name" || fail "stop of $name says $?"
        sv status "$name"
        code=$?
        [ "$code" -eq 3 ] || fail "status of a stopped one: $code, not 3"
    done
    start_syslogd
    # What the server reads, and what the client gives.
    mkfifo -m 600 /run/source
    while :; do cat /dev/urandom >/run/source; done 2>/dev/null &
    [ -p /run/sink ] || mkfifo -m 600 /run/sink
    while :; do cat /run/sink; done >/dev/null &
}

sv() { "/etc/init.d/$2" "$1"; }
pid_of() { cat "/run/$1.pid" 2>/dev/null; }

checks() {
    check_syslog
    say 'LSB: to start what runs is a success, to ask for nonsense is not'
    pid=$(pid_of netrng)
    sv start netrng || fail "a second start says $?"
    [ "$(pid_of netrng)" = "$pid" ] || fail 'a second start started a second one'
    sv dance netrng
    code=$?
    [ "$code" -eq 2 ] || fail "nonsense: $code, not 2"
    # Force-reload takes the restart, which a client needs.
    sv force-reload netrng.vm1 || fail "force-reload says $?"
    wait_for 'the client runs again' runs netrng.vm1
}

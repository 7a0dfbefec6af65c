# shellcheck shell=sh disable=SC2034,SC1091 # variables for life.sh; files of the root
# System V init, as PID 1; it has started both services already, by their links in rc2.d.

. /test/syslogd.sh

respawns=no refuses_reload=6 refuses_restart=6 client_follows=yes

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
    feed_fifos
}

sv() { "/etc/init.d/$2" "$1"; }
pid_of() { cat "/run/$1.pid" 2>/dev/null; }

checks() {
    check_syslog
    say 'LSB: to start what runs is a success, to ask for nonsense is not'
    pid=$(pid_of netrng)
    sv start netrng || fail "a second start says $?"
    [ "$(pid_of netrng)" = "$pid" ] || fail 'a second start started a second one'
    expect_code 2 dance 'as nonsense'
    echo 'colour = "blue"' >>/etc/netrng.toml
    expect_code 6 force-reload 'with a broken file'
    [ "$(pid_of netrng)" = "$pid" ] || fail 'it stopped all the same'
    sv stop netrng || fail "stop says $?"
    expect_code 7 reload 'of a stopped one'
    expect_code 6 start 'with a broken file'
    rm /etc/netrng.toml
    expect_code 6 start 'without a file'
    expect_code 3 status 'of what has not started'
    cp -p /test/netrng.toml /etc/netrng.toml
    say 'what cannot listen has not started'
    netrng run -c /etc/netrng.toml 2>/test/by-hand &
    by_hand=$!
    wait_for 'a server by hand' grep -q 'listening on 127.0.0.1:8989' /test/by-hand
    expect_code 1 start 'with its port taken'
    kill "$by_hand"
    wait "$by_hand" || fail "the server by hand: $?"
    sv start netrng || fail "start says $?"
    # Force-reload takes the restart, which a client needs.
    sv force-reload netrng.vm1 || fail "force-reload says $?"
    wait_for 'the client runs again' runs netrng.vm1
}

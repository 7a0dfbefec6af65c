#!/bin/sh
# The life of two services, a server (netrng) and its client (netrng.vm1), both from the same init
# file, under the init system $1. Runs in a root of its own; ../parts/75-init.sh prepares it.
#
# /test/$1.sh knows the init system:
#   prepare           what must run before the first service
#   sv ACTION NAME    start, stop, reload, restart, status; returns what the init system says
#   pid_of NAME       of the netrng that runs, or nothing
#   log_of NAME       all that it has logged
#   checks            what only this init system has
# and says in `respawns` and `client_follows` what it promises, and in `refuses_reload` and
# `refuses_restart` with which code it refuses a broken configuration, if it does.
set -u
init=$1

# What is waited for comes within seconds; only a failure waits this many tenths.
PATIENCE=600

fail() {
    printf 'FAILED: %s\n' "$*"
    for name in netrng netrng.vm1; do
        printf -- '--- log of %s\n' "$name"
        log_of "$name" | tail -n 40
    done
    exit 1
}

say() { printf '%s: %s\n' "$init" "$*"; }

# Waits until the command after $1 succeeds; $1 says what that means.
wait_for() {
    what=$1
    shift
    tenths=0
    until "$@"; do
        tenths=$((tenths + 1))
        [ "$tenths" -lt "$PATIENCE" ] || fail "$what: not within $((PATIENCE / 10)) s"
        sleep 0.1
    done
}

# How often $2 stands in the log of $1.
count() { log_of "$1" | grep -c -- "$2"; }
has_more() { [ "$(count "$1" "$2")" -gt "$3" ]; }

# Waits until $2 stands in the log of $1 more often than $3 (0) times.
wait_for_log() { wait_for "\"$2\" in the log of $1" has_more "$1" "$2" "${3:-0}"; }

# Whether there is a process $1; one that waits for its parent to notice its end is none.
lives() {
    read -r _ _ state _ 2>/dev/null <"/proc/${1:-none}/stat" && [ "$state" != Z ]
}
runs() { lives "$(pid_of "$1")" && sv status "$1"; }
has_another() {
    other=$(pid_of "$1")
    [ "$other" != "$2" ] && lives "$other"
}
is_gone() { ! lives "$1"; }

# Processes with the name $1 that have not ended.
named() {
    for folder in /proc/[0-9]*; do
        read -r _ name state _ 2>/dev/null <"$folder/stat" || continue
        [ "$name" != "($1)" ] || [ "$state" = Z ] || printf '%s ' "${folder#/proc/}"
    done
}
none_named() { [ -z "$(named "$1")" ]; }

# Asserts that action $2 with the server gives code $1; $3 says when.
expect_code() {
    sv "$2" netrng
    code=$?
    [ "$code" -eq "$1" ] || fail "$2 $3: code $code, not $1"
}

respawns='' refuses_reload='' refuses_restart='' client_follows=''
# shellcheck source=/dev/null
. "/test/$init.sh"

prepare

say 'the server starts; a reload at once does not end it'
sv start netrng || fail "start says $?"
first=$(pid_of netrng)
sv reload netrng || fail "reload says $?"
wait_for_log netrng 'ready: source'
runs netrng || fail "status says $?"
[ -z "$first" ] || [ "$(pid_of netrng)" = "$first" ] || fail 'the reload ended it'

say 'the client, an instance of the same file, draws from it'
sv start netrng.vm1 || fail "start says $?"
wait_for_log netrng.vm1 '8989: gives bytes'
runs netrng.vm1 || fail "status says $?"

say 'a changed clients file takes effect'
netrng enroll later -c /etc/netrng/enroll.toml >/dev/null || fail 'enroll'
sv reload netrng || fail "reload says $?"
wait_for_log netrng 'reloaded: 2 clients'

say 'a broken configuration is refused and stops nothing'
pid=$(pid_of netrng)
cp -p /etc/netrng.toml /test/netrng.toml
echo 'colour = "blue"' >>/etc/netrng.toml
[ -z "$refuses_reload" ] || expect_code "$refuses_reload" reload 'with a broken file'
[ -z "$refuses_restart" ] || expect_code "$refuses_restart" restart 'with a broken file'
if [ "$(pid_of netrng)" != "$pid" ] || ! lives "$pid"; then fail 'it stopped all the same'; fi
cp -p /test/netrng.toml /etc/netrng.toml

say "killed: it comes back by itself: $respawns"
readies=$(count netrng 'ready: source')
kill -9 "$pid"
if [ "$respawns" = yes ]; then
    wait_for 'another server' has_another netrng "$pid"
else
    wait_for 'the end of the server' is_gone "$pid"
    expect_code 1 status 'of a dead one'
    # Long enough for any supervisor here.
    sleep 3
    is_gone "$(pid_of netrng)" || fail 'it came back, which nobody promised'
    sv start netrng || fail "start says $?"
fi
wait_for_log netrng 'ready: source' "$readies"
wait_for 'the server runs again' runs netrng
if [ "$client_follows" = yes ]; then
    wait_for_log netrng.vm1 '8989: gives bytes again'
fi

say 'restart'
pid=$(pid_of netrng)
sv restart netrng || fail "restart says $?"
wait_for 'another server' has_another netrng "$pid"
is_gone "$pid" || fail 'the old server is still there'
wait_for 'the server runs again' runs netrng

if [ "$respawns" = yes ]; then
    say 'the client is killed and comes back'
    pid=$(pid_of netrng.vm1)
    draws=$(count netrng.vm1 '8989: gives bytes$')
    kill -9 "$pid"
    wait_for 'another client' has_another netrng.vm1 "$pid"
    wait_for_log netrng.vm1 '8989: gives bytes$' "$draws"
fi

checks

say 'stop'
for name in netrng.vm1 netrng; do
    sv stop "$name" || fail "stop of $name says $?"
    ! sv status "$name" || fail "$name runs after its stop"
    sv stop "$name" || fail "to stop what does not run says $?"
done
for program in netrng rngd; do
    none_named "$program" || fail "left: $program $(named "$program")"
done
[ -z "$(find /run -name 'netrng*.pid')" ] || fail 'a pid file is left'
say 'done'

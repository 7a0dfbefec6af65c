# shellcheck shell=sh
# A real syslogd, busybox's, for the init systems without a journal. For life.sh.

start_syslogd() {
    busybox syslogd -n -O /var/log/messages &
    syslogd=$!
    wait_for 'syslogd' [ -S /dev/log ]
}

# What the server reads, and what the client gives.
feed_fifos() {
    mkfifo -m 600 /run/source
    while :; do cat /dev/urandom >/run/source; done 2>/dev/null &
    [ -p /run/sink ] || mkfifo -m 600 /run/sink
    while :; do cat /run/sink; done >/dev/null &
}

# Both instances log to it.
log_of() { grep 'netrng\[' /var/log/messages; }

# The log went to syslog by itself, with priorities; and goes on after syslogd was started again.
check_syslog() {
    say 'the log is in syslog, and again after syslogd was restarted'
    grep -q 'daemon.info netrng\[[0-9]*\]: ready: source' /var/log/messages || fail 'no priority'
    kill "$syslogd"
    wait "$syslogd"
    before=$(count netrng 'reloaded')
    # To nobody: it must not be stopped by that.
    sv reload netrng || fail "reload says $?"
    rm -f /dev/log
    start_syslogd
    sv reload netrng || fail "reload says $?"
    wait_for_log netrng 'reloaded' "$before"
}

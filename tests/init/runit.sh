# shellcheck shell=sh disable=SC2034 # for life.sh
# runit: runsvdir, and svlogd for the log. It knows no broken configuration.

respawns=yes refuses_reload='' refuses_restart='' client_follows=no

prepare() {
    rm -f /etc/service/*
    runsvdir -P /etc/service 2>/dev/null &
    runsvdir=$!
}

supervised() { [ -p "/etc/service/$1/supervise/ok" ]; }

sv() {
    case $1 in
    start)
        [ -e "/etc/service/$2" ] || ln -s "/etc/sv/$2" /etc/service/
        wait_for "runsv of $2" supervised "$2"
        command sv -w 15 start "$2"
        ;;
    status) command sv status "$2" | grep -q '^run:' ;;
    reload) command sv hup "$2" ;;
    *) command sv -w 15 "$1" "$2" ;;
    esac
}
pid_of() {
    pid=$(cat "/etc/service/$1/supervise/pid" 2>/dev/null)
    # Before exec it is still the script.
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != netrng ] || echo "$pid"
}
log_of() { cat "/var/log/$1/current"; }

checks() {
    say 'runsvdir ends all, the log with it'
    rm /etc/service/netrng.vm1
    wait_for 'the end of the client' none_supervised_client
    ln -s /etc/sv/netrng.vm1 /etc/service/
    wait_for 'the client runs again' runs netrng.vm1
}
none_supervised_client() { [ -z "$(pid_of netrng.vm1)" ]; }

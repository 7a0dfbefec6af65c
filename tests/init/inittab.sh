# shellcheck shell=sh disable=SC2034,SC1091 # variables for life.sh; files of the root
# System V init runs netrng itself, as PID 1, by the line that docs/init.md gives for it.

. /test/syslogd.sh

respawns=yes refuses_reload='' refuses_restart='' client_follows=yes

prepare() {
    start_syslogd
    feed_fifos
}

tell_init() { telinit q; }

# The line for instance $1. System V wants another word in front of each.
line_of() {
    case $1 in
    netrng) cat /test/line ;;
    *) sed -e 's/^nr:/n2:/' -e "s,/etc/netrng\.toml,/etc/$1.toml," /test/line ;;
    esac
}
has_line() { grep -qxF "$(line_of "$1")" /etc/inittab; }

pid_of() {
    for folder in /proc/[0-9]*; do
        [ "$(tr '\0' ' ' 2>/dev/null <"$folder/cmdline")" != "$(command_of "$1")" ] ||
            echo "${folder#/proc/}"
    done
}
command_of() { echo "/usr/local/bin/netrng run -c /etc/$1.toml "; }

# A SIGHUP does not end it any more.
hears() { grep -q '^SigCgt:.*[13579bdf]$' "/proc/$(pid_of "$1")/status" 2>/dev/null; }
ends() { [ -z "$(pid_of "$1")" ]; }

sv() {
    now=$(pid_of "$2")
    case $1 in
    start)
        has_line "$2" || line_of "$2" >>/etc/inittab
        tell_init
        wait_for "init starts $2" hears "$2"
        ;;
    status) [ -n "$now" ] ;;
    reload) kill -HUP "$now" ;;
    restart) kill "$now" && wait_for "the end of $2" is_gone "$now" ;;
    stop)
        grep -vxF "$(line_of "$2")" /etc/inittab >/etc/inittab.new
        # Not a moment without one.
        mv /etc/inittab.new /etc/inittab
        tell_init
        [ -z "$now" ] || kill "$now" 2>/dev/null
        wait_for "the end of $2" ends "$2"
        ;;
    esac
}

checks() { check_syslog; }

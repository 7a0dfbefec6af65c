#!/bin/sh
# shellcheck shell=dash
# OpenWrt's init file $1 without OpenWrt: its script and its UCI file run here, against stand-ins of
# what rc.common, functions.sh and procd.sh give them. These note what procd is told. $2 is
# netrng, $3 an empty folder. ../parts/75-init.sh runs it under each shell that may be OpenWrt's.
set -eu

init=$1 netrng=$2 work=$3
SCRIPT=$init/netrng.init
UCI=$work/uci

fail() {
    printf 'FAILED: %s; procd was told:\n' "$*"
    cat "$work/told"
    exit 1
}
say() { printf 'procd: %s\n' "$*"; }
tell() { printf '%s\n' "$*" >>"$work/told"; }

# functions.sh: what `uci export` prints is run as commands, and so is a file that a person writes.
# Here a section is one variable for each option, as there.
config() {
    SECTION=$2
    [ "$1" = netrng ] || fail "a section of type $1"
    sections="$sections $2"
}
option() {
    case $1 in
    enabled | config | verbose) eval "UCI_${SECTION}_$1=\$2" ;;
    *) fail "no option $1" ;;
    esac
}
config_load() {
    [ "$1" = netrng ] || fail "loads $1"
    sections=
    # shellcheck source=/dev/null
    . "$UCI"
}
config_foreach() {
    [ "$2" = netrng ] || fail "each $2"
    # It goes on whatever the function says.
    for section in $sections; do "$1" "$section" || :; done
}
config_get() { eval "$1=\${UCI_$2_$3:-$4}"; }
config_get_bool() {
    config_get "$@"
    eval "case \$$1 in 1 | on | true | yes | enabled) $1=1 ;; *) $1=0 ;; esac"
}

# procd.sh and rc.common. A `set` tells procd of all instances: others are stopped.
procd_open_instance() { instance=$1 line=; }
procd_set_param() { [ "$1" != command ] || procd_append_param "$@"; }
procd_append_param() {
    [ "$1" = command ] || fail "appends to $1"
    shift
    line="$line $*"
}
procd_close_instance() { instances="$instances $instance:$line;"; }
procd_send_signal() { tell "HUP $1"; }
procd_add_reload_trigger() { tell "trigger $1"; }
start() {
    instances=
    start_service
    tell "set$instances"
}
logger() { printf '%s\n' "$*" >>"$work/log"; }

# A reload as rc.common does it, in a process of its own; of some releases it is the second.
reload() { reload_service "$@"; }
reload_or_restart() { reload_service "$@" || tell restart; }

# What procd is told by command "$@" is then in $told, and its code in $code.
run() {
    : >"$work/told"
    : >"$work/log"
    code=0
    (
        # shellcheck source=/dev/null
        . "$SCRIPT"
        [ "$USE_PROCD" = 1 ] || fail 'not for procd'
        # shellcheck disable=SC2034 # for the script
        PROG=$netrng
        "$@"
    ) || code=$?
    told=$(cat "$work/told")
}
expect() {
    [ "$code" -eq 0 ] || fail "$1: code $code"
    [ "$told" = "$2" ] || fail "$1: not \"$2\""
}

# The file that is shipped, with paths in $work; with $1, its example of a second instance as well.
write_uci() {
    sed "s,/etc/,$work/,g" "$init/netrng.config" >"$UCI"
    [ -z "$1" ] || sed -i '/^#config/,$ s/^#//' "$UCI"
}
main="main: $netrng run -c $work/netrng.toml;"
board2="board2: $netrng run -c $work/netrng.board2.toml;"
sound='mode = "client"
[[upstream]]
command = ["true"]'
for name in netrng netrng.board2; do printf '%s\n' "$sound" >"$work/$name.toml"; done

write_uci ''
run start
expect 'the shipped file' "set $main"
run service_triggers
expect 'triggers' 'trigger netrng'
write_uci both
run start
expect 'its example' "set $main $board2"
sed -i "s/option verbose '0'/option verbose '1'/" "$UCI"
run start
expect 'verbose' "set ${main%;} --verbose; $board2"
write_uci both
say 'the shipped UCI file is two instances'

for way in reload reload_or_restart; do
    write_uci both
    run "$way"
    expect "$way" "HUP netrng
set $main $board2"
    echo 'colour = "blue"' >>"$work/netrng.board2.toml"
    run "$way"
    [ "$code" -ne 0 ] || fail "$way: a broken file is a success"
    [ -z "$told" ] || fail "$way: a broken file is not left alone"
    grep -q 'daemon.err .*netrng.board2.toml:4: colour: ' "$work/log" ||
        fail "$way: the log has: $(cat "$work/log")"
    # What is switched off may be as broken as it likes.
    echo "	option enabled '0'" >>"$UCI"
    run "$way"
    expect "$way, the broken one off" "HUP netrng
set $main"
    printf '%s\n' "$sound" >"$work/netrng.board2.toml"
done
say 'a reload with a broken file tells procd nothing'

write_uci both
echo 'colour = "blue"' >>"$work/netrng.board2.toml"
run start
expect 'a start with a broken file' "set $main"
say 'a broken file never starts'

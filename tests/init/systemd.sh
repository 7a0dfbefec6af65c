# shellcheck shell=sh disable=SC2034 # for life.sh
# systemd as PID 1, with its journal. The client is a copy of the unit and feeds a real rngd.

respawns=yes refuses_reload=1 refuses_restart='' client_follows=no

prepare() { :; }

sv() {
    case $1 in
    status) systemctl --quiet is-active "$2" ;;
    *) systemctl --no-ask-password "$1" "$2" ;;
    esac
}
pid_of() { systemctl show -P MainPID "$1" | grep -v '^0$'; }
log_of() { journalctl --no-pager -o cat -u "$1"; }

# Puts the lines $2 into a drop-in of the unit $1.
drop_in() {
    mkdir -p "/run/systemd/system/$1.d"
    printf '%b\n' "$2" >"/run/systemd/system/$1.d/test.conf"
    systemctl daemon-reload
}

# What makes or uses the keys of an SSH server, by the names that distributions give it.
KEY_UNITS="ssh.service regenerate_ssh_host_keys.service sshd.service sshd-keygen@rsa.service \
    sshd-keygen@ecdsa.service sshd-keygen@ed25519.service sshd-keygen.service sshdgenkeys.service \
    dropbear.service"

# Makes unit $1 of the lines $2, until the end of this boot.
add_unit() { printf '%b\n' "$2" >"/run/systemd/system/$1"; }

# Such units, which do nothing. Fedora's sshd starts after a target that only wants what makes the
# keys; Debian's may have a socket.
add_key_units() {
    nothing='[Service]\nType=oneshot\nExecStart=/bin/true'
    for unit in $KEY_UNITS; do add_unit "$unit" "$nothing"; done
    add_unit sshd-keygen.target \
        '[Unit]\nWants=sshd-keygen@rsa.service sshd-keygen@ecdsa.service sshd-keygen@ed25519.service'
    add_unit sshd.service "[Unit]\nAfter=sshd-keygen.target\nWants=sshd-keygen.target\n$nothing"
    add_unit ssh.socket '[Socket]\nListenStream=/run/ssh-test.sock'
    # What a boot starts, and what a queue has last.
    add_unit keys.target "[Unit]\nRequires=basic.target\nWants=netrng-seed.service ssh.socket $KEY_UNITS"
    add_unit last.service "$nothing"
    systemctl daemon-reload
}

# When unit $1 had its last $2, a timestamp of systemd's; 0 if never.
moment() { systemctl show -P "$2Monotonic" "$1"; }
seed_begins() { [ "$(systemctl is-active netrng-seed)" = activating ]; }
has_begun() { [ "$(moment "$1" InactiveExitTimestamp)" != 0 ]; }

check_order() {
    say 'what makes or uses keys starts when netrng-seed.service has ended'
    systemctl stop netrng-seed
    drop_in netrng-seed.service \
        '[Service]\nExecStart=\nExecStart=/bin/sh -c "until [ -e /run/seeded ]; do sleep 0.1; done"'
    add_key_units
    # As at a boot, with all that comes before. (A socket's default is Before=sockets.target.)
    said=$(systemd-analyze verify --man=no keys.target 2>&1)
    ! printf '%s\n' "$said" | grep -i 'ordering cycle' || fail 'it waits for itself'
    systemctl start --no-block keys.target
    wait_for 'the start of netrng-seed' seed_begins
    # What could start has been started by then.
    systemctl start last.service || fail "start says $?"
    touch /run/seeded
    for unit in $KEY_UNITS; do
        wait_for "the start of $unit" has_begun "$unit"
        begun=$(moment "$unit" InactiveExitTimestamp)
        [ "$begun" -ge "$(moment netrng-seed ActiveEnterTimestamp)" ] || fail "$unit did not wait"
    done
}

checks() {
    say 'priorities reach the journal'
    [ -n "$(journalctl --no-pager -u netrng -p err -o cat)" ] || fail 'no error of the broken file'

    say 'rngd runs, in the unit of the client'
    [ -n "$(named rngd)" ] || fail 'no rngd'
    systemctl status netrng.vm1 | grep -q rngd || fail 'rngd is not in the unit'
    ! log_of netrng.vm1 | grep -i 'permission denied\|operation not permitted\|read-only file' ||
        fail 'the unit is too tight'

    say 'the watchdog is answered, and brings back what does not turn any more'
    drop_in netrng.service '[Service]\nWatchdogSec=2s'
    sv restart netrng || fail "restart says $?"
    pid=$(pid_of netrng)
    # Three of its times: what only starts well is found out.
    sleep 6
    [ "$(pid_of netrng)" = "$pid" ] || fail 'the watchdog got no answer'
    # Not the process that systemd started, but the one with the event loop.
    loop=
    for half in $(named netrng); do
        read -r _ _ _ parent _ <"/proc/$half/stat"
        [ "$parent" != "$pid" ] || [ "$(stat -c %U "/proc/$half")" != netrng ] || loop=$half
    done
    lives "$loop" || fail 'no network half'
    kill -STOP "$loop"
    wait_for 'another server' has_another netrng "$pid"
    wait_for 'the server runs again' runs netrng
    journalctl --no-pager -o cat | grep -q 'Watchdog timeout' || fail 'it was not the watchdog'

    say 'a client answers it as well'
    drop_in netrng.vm1.service '[Service]\nWatchdogSec=2s'
    sv restart netrng.vm1 || fail "restart says $?"
    pid=$(pid_of netrng.vm1)
    sleep 6
    [ "$(pid_of netrng.vm1)" = "$pid" ] || fail 'the watchdog got no answer'

    say 'a source that is late stops neither the start nor the service'
    cp -p /etc/netrng.toml /test/netrng.toml
    sed -i 's,^device = .*,device = "/run/late",' /etc/netrng.toml
    drop_in netrng.service '[Unit]\nJobRunningTimeoutSec=2s\n[Service]\nRestartSec=1s'
    ! sv restart netrng || fail 'active without a source'
    pid=$(pid_of netrng)
    lives "$pid" || fail 'it was ended for its source'
    mkfifo -m 600 /run/late
    cat /dev/urandom >/run/late &
    feeder=$!
    wait_for 'the unit is active' runs netrng
    [ "$(pid_of netrng)" = "$pid" ] || fail 'it was started again'
    cp -p /test/netrng.toml /etc/netrng.toml
    sv restart netrng || fail "restart says $?"
    wait "$feeder"

    say 'a configuration that cannot work is not tried again'
    echo 'colour = "blue"' >>/etc/netrng.toml
    ! sv restart netrng || fail 'a broken file starts'
    wait_for 'the unit has failed' systemctl --quiet is-failed netrng
    cp -p /test/netrng.toml /etc/netrng.toml
    systemctl start netrng || fail "start says $?"

    say 'netrng-seed.service ends, for this kernel is initialised'
    drop_in netrng-seed.service \
        '[Service]\nExecStart=\nExecStart=netrng client --wait-seeded -c /etc/netrng.vm1.toml'
    sv start netrng-seed || fail "start says $?"
    log_of netrng-seed | grep -q "the kernel's generator is initialised" || fail 'it did not say so'
    check_order
}

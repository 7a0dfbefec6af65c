#!/usr/bin/env bash
# about: the init files under their init systems: start, reload, kill -9, stop; syntax of the others
# needs: cargo:rustup/cargo mmdebstrap:mmdebstrap systemd-nspawn:systemd-container busybox:busybox unshare:util-linux ip:iproute2 shellcheck:shellcheck checkbashisms:devscripts dash:dash dpkg-deb:dpkg flock:util-linux
# root: yes
# timeout: 1200
set -euo pipefail

cargo build --release --locked
export NETRNG_BINARY=$CARGO_TARGET_DIR/release/netrng
NETRNG_RNGD_DEBIAN=$(tests/fetch-rngd rng-tools-debian)
export NETRNG_RNGD_DEBIAN
WORK=$(mktemp -d)
trap '[[ -z ${pid-} ]] || kill -KILL "$pid"; rm -rf "$WORK"' EXIT

# Syntax of all that is a shell script, by three shells' rules.
check_syntax() {
    local scripts=(init/sysvinit/netrng init/openrc/netrng init/runit/run init/runit/log/run
        init/openwrt/netrng.init init/freebsd/netrng)
    shellcheck "${scripts[@]}"
    checkbashisms -f "${scripts[@]}"
    local script
    for script in "${scripts[@]}"; do
        dash -n "$script"
        busybox sh -n "$script"
    done
}

# Upstart's files: each stanza by Upstart's own list (init(5) of Upstart 1.13), and the scripts
# by a shell.
check_upstart() {
    local file=init/upstart/netrng.conf line script=
    while IFS= read -r line; do
        if [[ $line == 'end script' ]]; then
            dash -n <<<"$script"
            shellcheck -s dash - <<<"$script"
            script=
        elif [[ -n $script ]]; then
            script+=$line$'\n'
        elif [[ $line =~ ^((pre|post)-(start|stop)\ )?script$ ]]; then
            script=$'set -e\n'
        elif [[ -n $line && $line != '#'* ]] && ! [[ $line =~ ^(description\ \".*\"|(start|stop)\ on\ .+|respawn(\ limit\ [0-9]+\ [0-9]+)?|normal\ exit(\ ([0-9]+|TERM))+|kill\ timeout\ [0-9]+|umask\ [0-7]+|limit\ nofile\ [0-9]+\ [0-9]+|console\ (log|none|output|owner))$ ]]; then
            printf '%s: no stanza of Upstart: %s\n' "$file" "$line"
            return 1
        fi
    done <$file
    [[ -z $script ]] || { printf '%s: a script without end\n' "$file"; return 1; }
}

# OpenWrt's init file against stand-ins, under shells like its own.
check_procd() {
    local shell
    for shell in dash 'busybox sh'; do
        rm -rf "$WORK/procd"
        mkdir "$WORK/procd"
        $shell tests/init/procd.sh init/openwrt "$NETRNG_BINARY" "$WORK/procd"
    done
}

# All of init system $1: the server reads $2, $3 is the client's [sink], the root is that of $4 if
# there is no other. What it starts and mounts
# is in namespaces of its own and ends with them.
run_init() {
    local place=$WORK/$1 result=
    mkdir -p "$place/test"
    unshare --mount --pid --mount-proc --fork --kill-child --propagation private \
        tests/init/boot "$1" "$(tests/support/debian-root.sh "${4:-$1}")" "$place" "$2" "$3" \
        >"$place/console" 2>&1 &
    pid=$!
    # An init system need not end when the test has. A test takes half a minute.
    local tries
    for ((tries = 0; tries < 1500; tries++)); do
        if [[ -s $place/test/result ]] || ! kill -0 "$pid" 2>/dev/null; then break; fi
        sleep 0.2
    done
    # unshare ignores a TERM.
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" || true
    pid=
    cat "$place/test/out" || true
    result=$(cat "$place/test/result" || true)
    if [[ $result != 0 ]]; then
        printf '%s: FAILED (%s); its console:\n' "$1" "${result:-no result}"
        tail -n 60 "$place/console"
        return 1
    fi
}

check_syntax
check_upstart
check_procd
failed=0
fifo='type = "fifo"'$'\n''path = "/run/sink"'
for init in ${NETRNG_INITS:-sysvinit inittab busybox openrc runit systemd}; do
    start=$SECONDS
    case $init in
    sysvinit) run_init sysvinit /run/source "$fifo" ;;
    inittab | busybox) run_init "$init" /run/source "$fifo" sysvinit ;;
    openrc) run_init openrc /dev/urandom "$fifo" ;;
    runit) run_init runit /dev/urandom 'type = "kernel"' ;;
    systemd) run_init systemd /dev/hwrng 'type = "rngd"' ;;
    esac || failed=1
    printf '%s: %s s\n\n' "$init" $((SECONDS - start))
done
exit "$failed"

# shellcheck shell=sh disable=SC1091 # files of the root
# The same with busybox's init.

. /test/inittab.sh

tell_init() { kill -HUP 1; }

#!/usr/bin/env bash
# about: manual pages, completions and licence notices are what the code says; lint; Tab in bash, zsh and fish
# needs: cargo:rustup/cargo python3:python3 mandoc:mandoc groff:groff man:man-db expect:expect bash:bash zsh:zsh fish:fish
# timeout: 300
set -euo pipefail

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

cargo run --locked --example generate -- "$WORK"
for folder in man completions; do
    diff -r "packaging/$folder" "$WORK/$folder" || {
        echo "packaging/$folder is not what the code says; run: cargo run --example generate"
        exit 1
    }
done
packaging/notices --check

# By the rules of both formatters. mandoc's "style" is about the source, which nobody writes.
mandoc -Tlint -W warning packaging/man/*
for page in packaging/man/*; do
    said=$(groff -man -ww -Tutf8 "$page" 2>&1 >"$WORK/text")
    [[ -z $said ]] || { printf '%s: %s\n' "$page" "$said"; exit 1; }
done
# As a reader gets it, whole words of commands and keys.
MANWIDTH=80 man -l packaging/man/netrng.1 | grep -q '^ *enroll \[OPTIONS\] NAME$'
MANWIDTH=80 man -l packaging/man/netrng.toml.5 | grep -q '^ *max-clients = 100$'

export HOME=$WORK
for shell in bash zsh fish; do
    expect -f tests/complete.exp "$shell" "$PWD/packaging/completions/$shell" "$WORK"
done

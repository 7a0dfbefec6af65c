#!/usr/bin/env bash
# about: formatting of the Rust code (rustfmt) and soundness of the shell code (shellcheck)
# needs: cargo:rustup/cargo cargo-fmt:rustup/rustfmt shellcheck:shellcheck git:git
# timeout: 120
set -euo pipefail

cargo fmt --all -- --check

# Every shell script, by its first line.
scripts=()
while IFS= read -r file; do
    if head -n 1 "$file" | grep -qaE '^#!.*\b(ba)?sh\b'; then scripts+=("$file"); fi
done < <(git ls-files --cached --others --exclude-standard)
printf 'shellcheck: %s\n' "${scripts[*]}"
((${#scripts[@]} > 0))
shellcheck "${scripts[@]}"

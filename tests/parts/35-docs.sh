#!/usr/bin/env bash
# about: the API documentation builds without a warning; no document points outside the project
# needs: cargo:rustup/cargo
# timeout: 300
set -euo pipefail

RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items

if git grep -nE '\.\./shared|DESIGN\.md|STYLE\.md|FACTS\.md|issue [0-9]' -- \
    ':!tests/parts/35-docs.sh'; then
    echo 'something refers to what is not part of the project'
    exit 1
fi

# Every relative link of a Markdown file leads to a file.
status=0
while IFS=: read -r file link; do
    target=$(dirname "$file")/${link%%#*}
    if [ -n "${link%%#*}" ] && [ ! -e "$target" ]; then
        echo "$file: $link leads nowhere"
        status=1
    fi
done < <(git ls-files '*.md' | while read -r file; do
    grep -oE '\]\([^):]+\)' "$file" | sed -e 's/^](//' -e 's/)$//' -e "s|^|$file:|"
done)
exit "$status"

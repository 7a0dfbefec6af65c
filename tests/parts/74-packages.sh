#!/usr/bin/env bash
# about: .deb, .rpm and wheel: built, installed, run, upgraded and removed without a trace
# needs: cargo:rustup/cargo dh:debhelper lintian:lintian rpmbuild:rpm readelf:binutils mmdebstrap:mmdebstrap systemd-nspawn:systemd-container flock:util-linux python3:python3 man:man-db
# root: yes
# timeout: 900
set -euo pipefail

# What the program is packed for is another question than whether it runs there (part cross).
TARGET=x86_64-unknown-linux-musl
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
PACKAGES=$CARGO_TARGET_DIR/packages

# A package is the same whenever and wherever it is made.
rm -rf "$PACKAGES"
packaging/package all "$TARGET"
mv "$PACKAGES" "$WORK/first"
export NETRNG_BINARY=$CARGO_TARGET_DIR/$TARGET/small/netrng
packaging/package all "$TARGET"
diff -r "$WORK/first" "$PACKAGES"
mv "$PACKAGES" "$WORK/packages"
rm -r "$WORK/first"

# For another processor, with this one's program: only the labels are looked at.
packaging/package all arm-unknown-linux-musleabihf
[[ $(dpkg-deb -f "$PACKAGES"/*.deb Architecture) == armhf ]]
[[ $(rpm -qp --queryformat '%{ARCH}' "$PACKAGES"/*.rpm) == armv6hl ]]
[[ $(echo "$PACKAGES"/*.whl) == *-py3-none-linux_armv6l.whl ]]

cd "$WORK/packages"
lintian --allow-root --fail-on error,warning --tag-display-limit 0 ./*.deb
[[ $(dpkg-deb -f ./*.deb Depends) == adduser ]]
rpm -K ./*.rpm | grep -q 'digests OK'
# Programs that scriptlets run, and features of rpm itself.
rpm -qp --requires ./*.rpm | grep -vxE '/bin/sh|/usr/sbin/(user|group)add|rpmlib\(.*' &&
    { echo 'the .rpm requires more than it needs'; exit 1; }
# Both bring all documents.
dpkg-deb --fsys-tarfile ./*.deb | tar -t >"$WORK/deb-files"
rpm -qlp ./*.rpm >"$WORK/rpm-files"
cd "$OLDPWD"
for document in docs/*.md; do
    grep -qE "/usr/share/doc/netrng/${document#docs/}(\.gz)?$" "$WORK/deb-files"
    grep -qE "/usr/share/doc/netrng/${document#docs/}$" "$WORK/rpm-files"
done

# The wheel, over the original NetRNG, which has the same name on PyPI.
wheel() {
    local venv=$WORK/venv before
    # packaging/cross has installed what venv needs.
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet packaging
    before=$(cd "$venv" && find . -not -type d -not -name '*.pyc' | sort)
    "$venv/bin/pip" install --quiet --no-deps netrng==0.2b1
    "$venv/bin/pip" install --quiet --no-index "$WORK"/packages/*.whl
    "$venv/bin/netrng" --version
    # A server and two clients, and where their bytes went.
    "$venv/bin/netrng" demo --seconds 3 | tee "$WORK/demo"
    grep -q 'duplicate' "$WORK/demo"
    cmp "$venv/bin/netrng" "$NETRNG_BINARY"
    MANPATH=$venv/share/man man --where netrng.toml | grep -q "^$venv"
    "$venv/bin/python" - "$WORK"/packages/*.whl <<'END'
# As strict about the description as PyPI is, and about the list of what is in the wheel.
import base64, csv, hashlib, sys, zipfile
from packaging.metadata import Metadata
from packaging.utils import parse_wheel_filename

archive = zipfile.ZipFile(sys.argv[1])
name, version, _, tags = parse_wheel_filename(sys.argv[1].rsplit("/", 1)[1])
info = f"{name}-{version}.dist-info"
described = Metadata.from_email(archive.read(f"{info}/METADATA"), validate=True)
assert (described.name, described.version) == (name, version), described
stated = archive.read(f"{info}/WHEEL").decode().splitlines()
assert {line[5:] for line in stated if line.startswith("Tag: ")} == {str(tag) for tag in tags}
record = {row[0]: row[1] for row in csv.reader(archive.read(f"{info}/RECORD").decode().splitlines())}
assert sorted(record) == sorted(archive.namelist()), record
for path, digest in record.items():
    found = base64.urlsafe_b64encode(hashlib.sha256(archive.read(path)).digest()).rstrip(b"=")
    assert path == f"{info}/RECORD" or digest == f"sha256={found.decode()}", path
END
    "$venv/bin/pip" uninstall --quiet --yes netrng
    diff <(echo "$before") <(cd "$venv" && find . -not -type d -not -name '*.pyc' | sort)
    echo 'wheel: installed over the original, run, removed, and nothing is left'
}
wheel

for case in deb:sysvinit deb:systemd rpm:rpm; do
    root=$(tests/support/debian-root.sh "${case#*:}")
    tests/packages/boot "${case%:*}" "$root" "$WORK/packages"
done

"""Packs the static program as a wheel, so that pip installs it.

    wheel.py BINARY PLATFORM-TAGS FOLDER

A wheel is a zip file with a list of what is in it (packaging.python.org, "Binary distribution
format"): no build tool is needed. Nothing of it is Python; pip puts the program where it puts
scripts, and the manual beside it. SOURCE_DATE_EPOCH is the date of every file.
"""

import base64
import hashlib
import os
import pathlib
import re
import sys
import time
import tomllib
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
# 1980 is the first year that a zip file knows.
EPOCH = max(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), 315532800)


def metadata(package):
    """The project's description, core metadata 2.4."""
    # Links that lead nowhere outside the repository become plain words.
    readme = re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", (ROOT / "README.md").read_text())
    return f"""\
Metadata-Version: 2.4
Name: {package["name"]}
Version: {package["version"]}
Summary: {package["description"]}
License-Expression: {package["license"]} AND BSD-3-Clause
License-File: LICENSE
License-File: NOTICES
Keywords: {",".join(package["keywords"])}
Classifier: Environment :: No Input/Output (Daemon)
Classifier: Operating System :: POSIX :: Linux
Classifier: Programming Language :: Rust
Classifier: Topic :: Security :: Cryptography
Description-Content-Type: text/markdown

{readme}"""


def wheel(tags):
    """What kind of wheel it is: one line for each platform."""
    lines = "".join(f"Tag: py3-none-{tag}\n" for tag in tags.split("."))
    return f"Wheel-Version: 1.0\nGenerator: netrng\nRoot-Is-Purelib: false\n{lines}"


def digest(data):
    """As RECORD has it."""
    sha = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={sha},{len(data)}"


def main(binary, tags, folder):
    package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
    name = f"{package['name']}-{package['version']}"
    man = ROOT / "packaging/man"
    files = {
        f"{name}.data/scripts/netrng": pathlib.Path(binary).read_bytes(),
        f"{name}.data/data/share/man/man1/netrng.1": (man / "netrng.1").read_bytes(),
        f"{name}.data/data/share/man/man5/netrng.toml.5": (man / "netrng.toml.5").read_bytes(),
        f"{name}.dist-info/licenses/LICENSE": (ROOT / "LICENSE").read_bytes(),
        f"{name}.dist-info/licenses/NOTICES": (ROOT / "packaging/NOTICES").read_bytes(),
        f"{name}.dist-info/METADATA": metadata(package).encode(),
        f"{name}.dist-info/WHEEL": wheel(tags).encode(),
    }
    record = f"{name}.dist-info/RECORD"
    lines = [f"{path},{digest(data)}\n" for path, data in files.items()]
    files[record] = "".join([*lines, f"{record},,\n"]).encode()
    target = pathlib.Path(folder) / f"{name}-py3-none-{tags}.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path, time.gmtime(EPOCH)[:6])
            mode = 0o755 if "/scripts/" in path else 0o644
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    print(target)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])

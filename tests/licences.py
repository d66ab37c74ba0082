#!/usr/bin/env python3
"""What all dependencies are under and where they come from, by `cargo metadata` on standard input; fails for what is not allowed."""
import json
import re
import sys

# Permissive, or as MPL-2.0 copyleft by the file: a program of any licence may be made of these.
ALLOWED = {"MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "Unicode-3.0", "MPL-2.0", "Unlicense", "CDLA-Permissive-2.0", "BSL-1.0"}
SOURCES = {None, "registry+https://github.com/rust-lang/crates.io-index"}
# What users of the library crates do not accept (design §1), whatever it is under.
BANNED = {"openssl", "openssl-sys", "native-tls", "async-std"}


def is_allowed(licence):
    """`A OR B`: one of them is enough; `A AND B`: both are needed. A slash is how OR was written once."""
    text = re.sub(r"\s+WITH\s+[\w.-]+", "", licence or "").replace("/", " OR ")
    values = re.sub(r"[\w.+-]+", lambda word: word[0].lower() if word[0] in ("OR", "AND") else str(word[0] in ALLOWED), text)
    return bool(text) and eval(values, {"__builtins__": {}})  # nothing is left in it but or, and, True, False and brackets


packages = json.load(sys.stdin)["packages"]
bad = [f"{package['name']}: under {package['license']}" for package in packages if not is_allowed(package["license"])]
bad += [f"{package['name']}: from {package['source']}" for package in packages if package["source"] not in SOURCES]
bad += [f"{package['name']}: banned" for package in packages if package["name"] in BANNED]
for line in bad:
    print("FAIL", line)
print(f"{len(packages)} packages, all under licences and from sources that are allowed" if not bad else f"{len(bad)} are not allowed")
sys.exit(1 if bad or not packages else 0)

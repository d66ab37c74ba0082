#!/usr/bin/env bash
# What must hold of a release: licences, each crate alone by each feature, other targets, the oldest compiler, packages.
set -euo pipefail
cd "$(dirname "$0")/.."
libraries=$(sed -n 's/^libraries="\(.*\)"/\1/p' tests/house.sh)
flags=""
for crate in $libraries; do flags="$flags -p onetrip-$crate"; done

# Licences, sources, and what is banned: .cargo/deny.toml.
cargo deny --all-features check licenses bans sources

# Every crate by itself: what it needs it asks for, and does not get by way of another.
cargo metadata --format-version 1 --no-deps | python3 -c '
import json, sys
for package in json.load(sys.stdin)["packages"]:
    features = sorted(set(package["features"]) - {"default"})
    if package["name"] != "onetrip-tests":
        for with_these in ["", *features, *([",".join(features)] if len(features) > 1 else [])]:
            print(package["name"], with_these)
' | while read -r package features; do
  cargo check -q -p "$package" --no-default-features --features "$features"
done
echo "each crate compiles by itself: without features, with each, with all"

# ring needs a C compiler for this target, so TLS is the caller's there: the browser's own, or any TlsSession.
if rustup target add wasm32-unknown-unknown >/dev/null 2>&1; then
  # shellcheck disable=SC2086
  cargo check -q --target wasm32-unknown-unknown $flags --features onetrip-core/scram,onetrip-zero-handshake/serde
  echo "all library crates compile for wasm32-unknown-unknown"
else
  echo "NOT CHECKED: wasm32-unknown-unknown cannot be had here"
fi

oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if rustup toolchain install "$oldest" --profile minimal >/dev/null 2>&1; then
  cargo "+$oldest" check -q --workspace --exclude onetrip-tests --all-features
  echo "everything that is published compiles with Rust $oldest"
else
  echo "NOT CHECKED: Rust $oldest cannot be had here"
fi

cargo package -q --workspace --exclude onetrip-tests --no-verify --allow-dirty 2>/dev/null
echo "$(find "${CARGO_TARGET_DIR:-target}/package" -maxdepth 1 -name '*.crate' | wc -l) crates can be packaged"

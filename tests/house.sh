#!/usr/bin/env bash
# What the house promises of its library crates: few dependencies, no runtime, no C, nothing hidden.
set -euo pipefail
cd "$(dirname "$0")/.."
libraries="stream negotiation quickstart stream-management isr fast dialback bidi zero-handshake jingle-xmlstream core tls"
flags=""
for crate in $libraries; do flags="$flags -p onetrip-$crate"; done

tree() { # shellcheck disable=SC2086
  cargo tree -q $flags "$@" -e normal --prefix none | sed 's/ (\*)$//' | grep -v '^onetrip-' | sed '/^$/d' | sort -u
}
fail() { echo "FAIL $*"; exit 1; }

count=$(tree | wc -l)
macros=$(tree | grep -c 'proc-macro)' || true)
echo "library crates by default: $count crates, $macros procedural macros"
# 21 without cryptography; SHA-256, which tokens are stored by, brings 7, HMAC, which dialback keys are made of, 3, and
# SHA-1, which SOCKS5 bytestreams are named by, 1.
[ "$count" -le 32 ] || fail "more than 32 crates by default"
[ "$macros" -le 3 ] || fail "more than 3 procedural macros"
scram=$(tree --features onetrip-core/scram | wc -l)
echo "with the feature scram: $scram crates"
[ "$scram" -le 40 ] || fail "more than 40 crates with scram"
tree --features onetrip-core/scram | grep -E '^(tokio|async-std|smol|mio|ring|openssl)' && fail "a runtime or C among them"

for crate in $libraries; do
  hit=$(grep -rnE 'std::(net|thread|fs|process|env)|Instant::now|SystemTime|thread_rng|getrandom|static mut|thread_local' "crates/$crate/src" | grep -vE ':[0-9]+: *//' || true)
  [ -z "$hit" ] || fail "a library crate reaches outside: $hit"
  siblings=$(sed -n '/^\[dependencies\]/,/^\[/p' "crates/$crate/Cargo.toml" | grep -oE '^onetrip-[a-z-]+' | grep -vx 'onetrip-stream' || true)
  case "$crate" in core | tls) ;; *) [ -z "$siblings" ] || fail "$crate knows a sibling: $siblings" ;; esac
done
echo "library crates reach no socket, clock, thread or random source; siblings know only stream"

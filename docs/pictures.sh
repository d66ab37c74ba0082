#!/usr/bin/env bash
# Draws the pictures of the README anew, in virtual time: the same bytes on every machine.
#   docs/pictures.sh [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:-target/debug/onetrip}
draw() { "$program" "${@:2}" -o "docs/img/$1" >/dev/null; }

draw login.svg simulate --strategy c2s-classic-starttls-scram --strategy c2s-quickstart-starttls-plain
draw ladder.svg trace --simulate --strategy c2s-quickstart-starttls-scram
draw radio.svg simulate --rtt 5s --rate 2400 --strategy s2s-classic-starttls-external-bidi --strategy s2s-zero-tcp
draw slope.svg simulate --rtt 600ms \
  --strategy s2s-classic-starttls-external-two --strategy c2s-classic-starttls-scram \
  --strategy c2s-safe-starttls-scram --strategy c2s-quickstart-starttls-scram \
  --strategy c2s-isr-quickstart-starttls --strategy s2s-quickstart-starttls-external-bidi

# The table of the README.
logins=()
for name in c2s-{classic,safe,paced,quickstart}-starttls-scram c2s-quickstart-starttls-plain \
  c2s-resume-{classic,quickstart}-starttls-scram c2s-isr-quickstart-starttls c2s-sasl2-direct-scram c2s-fast-direct; do
  logins+=(--strategy "$name")
done
"$program" simulate "${logins[@]}" >docs/img/logins.txt

# And the states of the machines, as they take them.
cargo run -q -p onetrip-tests --example states >docs/states.md

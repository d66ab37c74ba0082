#!/usr/bin/env python3
"""Runs the benches that count, and prints what they measured beside what it should be.

    python3 tests/benches/ratios.py              # all of them
    python3 tests/benches/ratios.py reading      # one
    python3 tests/benches/ratios.py reading logins peers    # with tokio-xmpp beside them
    python3 tests/benches/ratios.py --from F     # what an earlier run with --save F measured

Ratios are of instructions in one run; see README.md here.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
BENCHES = ["reading", "writing", "stream_management", "logins", "ibb"]
# A package of its own, which takes a long time to build: only when it is asked for.
PEERS = "peers"
ELEMENTS = 1000
REFERENCE = "reading.reference.pieces_1460"

# What, of which bench, against which (None: for each element), at most (None: for the record).
RATIOS = [
    ("reader, head and bytes, pieces of 1460", "reading.reader.pieces_1460", REFERENCE, 0.20),
    ("reader, pieces of 16 against pieces of 1460", "reading.reader.pieces_16", "reading.reader.pieces_1460", 1.8),
    ("reader, pieces of 1 against pieces of 1460", "reading.reader.pieces_1", "reading.reader.pieces_1460", None),
    ("tokio-xmpp's stream, each element as its type", "peers.stream.pieces_1460", REFERENCE, None),
    ("quick-xml, events and nothing made of them", "reading.quick.whole", REFERENCE, None),
    ("routing by the head", "reading.routed.pieces_1460", REFERENCE, None),
    ("element() of every stanza, reading included", "reading.trees.pieces_1460", REFERENCE, 0.60),
    ("element() alone", "reading.element.corpus", REFERENCE, None),
    ("writing an Element against minidom's writer", "writing.element.corpus", "writing.reference.corpus", 0.30),
    ("a Stanza from an Element against the same", "writing.stanza.corpus", "writing.reference.corpus", 0.30),
    ("forwarding, reader and writer alone", "reading.forwarded.pieces_1460", REFERENCE, None),
    ("forwarding between two links, bytes checked", "reading.linked.pieces_1460", REFERENCE, 0.22),
    ("IBB, blocks of 4096, base64 alone", "ibb.base64_alone.blocks_4096", "ibb.reference.blocks_4096", None),
    ("IBB, blocks of 4096, with acknowledgements", "ibb.bytestream.blocks_4096", "ibb.reference.blocks_4096", 0.25),
    ("the same against minidom that writes as well", "ibb.bytestream.blocks_4096", "ibb.written.blocks_4096", 0.25),
    ("a classic login against tokio-xmpp's streams", "logins.login.classic_plain", "peers.login.classic_plain", None),
    ("1 MB byte by byte against in one piece", "reading.worst.text_1m_bytewise", "reading.worst.text_1m_whole", 12),
    ("text, 4 times as long", "reading.worst.text_1m", "reading.worst.text_256k", 4.2),
    ("children, 4 times as many", "reading.worst.children_1m", "reading.worst.children_256k", 4.2),
    ("depth 64, 4 times as long", "reading.worst.depth_64_1m", "reading.worst.depth_64_256k", 4.2),
    ("4,000 attributes, 4 times as long", "reading.worst.attributes_4000_1m", "reading.worst.attributes_4000_256k", 4.2),
    ("prefixes, 4 times as many", "reading.worst.prefixes_1m", "reading.worst.prefixes_256k", 4.2),
    ("references, 4 times as many", "reading.worst.references_1m", "reading.worst.references_256k", 4.2),
]

# What, of which bench, divided by, at most: absolute figures.
SENT = 10_000
# A quarter of tokio-xmpp's 974,000 for the classic one.
LOGINS = {
    "classic_plain": 243_500,
    "classic_scram": None,
    "quickstart_plain": None,
    "quickstart_scram": None,
    "instant": None,
    "classic_plain_tls": None,
    "classic_scram_tls": None,
    "quickstart_plain_tls": None,
    "quickstart_scram_tls": None,
    "instant_tls": None,
}
INSTRUCTIONS = [
    ("a queue of Bytes, for a stanza", "stream_management.queue.acknowledged_by_fives", SENT, None),
    ("stream management: the books, for a stanza sent", "stream_management.books.acknowledged_by_fives", SENT, 150),
    ("the same, with the machine and its actions", "stream_management.sent.acknowledged_by_fives", SENT, None),
    ("the same for a stanza that arrives", "stream_management.arrived.asked_about_by_fives", SENT, 150),
    *((f"login, both ends, {way}", f"logins.login.{way}", 1, limit) for way, limit in LOGINS.items()),
]
ALLOCATIONS = [
    ("rxml into minidom", REFERENCE, ELEMENTS, None),
    ("tokio-xmpp's stream", "peers.stream.pieces_1460", ELEMENTS, None),
    ("quick-xml", "reading.quick.whole", ELEMENTS, None),
    ("reader, head and bytes, each dropped before the next", "reading.reader.pieces_1460", ELEMENTS, 1),
    ("the same, all kept", "reading.kept.pieces_1460", ELEMENTS, 1),
    ("element() of a stanza", "reading.element.corpus", ELEMENTS, None),
    ("forwarding between two links", "reading.linked.pieces_1460", ELEMENTS, None),
    ("minidom's writer", "writing.reference.corpus", ELEMENTS, None),
    ("writing an Element", "writing.element.corpus", ELEMENTS, None),
    ("a Stanza from an Element", "writing.stanza.corpus", ELEMENTS, None),
    ("stream management: a stanza sent", "stream_management.sent.acknowledged_by_fives", SENT, 1),
    ("stream management: a stanza that arrives", "stream_management.arrived.asked_about_by_fives", SENT, 1),
    *((f"login, both ends, {way}", f"logins.login.{way}", 1, None) for way in LOGINS),
]


# Where the work of TLS and of SASL begins, key derivation left out, which is done beforehand; the rest is ours.
ENTRIES = {
    "TLS": r"RustlsSession as .*TlsSession>::(read|write|info|close)$|RustlsSession::(client|server)$",
    "SASL": r"^onetrip_negotiation::sasl2?::(initiator::Initiator|receiver::Receiver)::(handle|new|features)$",
}


def documents(text):
    decoder, at = json.JSONDecoder(), 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        document, at = decoder.raw_decode(text, at)
        yield document


def metric(profile, tool, name):
    """Callgrind's and DHAT's figures of one bench; `Both` holds this run and the one before."""
    for part in profile["summaries"]["parts"]:
        value = part["metrics_summary"].get(tool, {}).get(name, {}).get("metrics")
        if value:
            value = value.get("Left") or value["Both"][0]
            return value.get("Int", value.get("Float"))
    return None


def measure(benches):
    figures = {}
    for bench in benches:
        package = ["--manifest-path", str(HERE / "peers/Cargo.toml")] if bench == PEERS else ["-p", "onetrip-tests"]
        command = ["cargo", "bench", "-q", *package, "--bench", bench]
        run = subprocess.run([*command, "--", "--output-format=json"], stdout=subprocess.PIPE, text=True, check=True)
        for document in documents(run.stdout):
            name = ".".join([bench, document["function_name"], document["id"] or ""])
            figure = figures.setdefault(name, {})
            for profile in document["profiles"]:
                figure.setdefault("instructions", metric(profile, "Callgrind", "Ir"))
                if (blocks := metric(profile, "Dhat", "TotalBlocks")) is not None:
                    figure["allocations"] = blocks
                    figure["bytes"] = metric(profile, "Dhat", "TotalBytes")
    return figures


def row(what, measured, at_most):
    verdict = "" if at_most is None else ("ok" if measured <= at_most else "MISSED")
    limit = "" if at_most is None else f"{at_most:g}"
    print(f"| {what} | {measured:,.3f} | {limit} | {verdict} |" if measured < 100 else f"| {what} | {measured:,.0f} | {limit} | {verdict} |")
    return verdict != "MISSED"


def table(title, rows):
    rows = list(rows)
    if not rows:
        return True
    print(f"\n| {title} | measured | at most | |\n|---|---|---|---|")
    return all([row(*each) for each in rows])


def report(figures):
    got = lambda name, kind="instructions": figures.get(name, {}).get(kind)
    met = table(
        "ratio of instructions",
        ((what, got(a) / got(b), limit) for what, a, b, limit in RATIOS if got(a) and got(b)),
    )
    met &= table(
        "instructions",
        ((what, got(name) / by, limit) for what, name, by, limit in INSTRUCTIONS if got(name)),
    )
    met &= table(
        "allocations",
        (
            (what, got(name, "allocations") / by, limit)
            for what, name, by, limit in ALLOCATIONS
            if got(name, "allocations") is not None
        ),
    )
    return met


def inclusive(profile):
    """Instructions of each function and of what it calls, as callgrind saw it last."""
    command = ["callgrind_annotate", "--inclusive=yes", "--threshold=100", "--show=Ir", "--auto=no", profile]
    costs = {}
    for line in subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
        if found := re.match(r"\s*([\d,]+) \(\s*[\d.]+%\)\s+(?:.*?\.\w+:)?(.*?)(?: \[[^\]]*\])?$", line):
            cost, name = int(found[1].replace(",", "")), found[2]
            costs[name] = max(costs.get(name, 0), cost)
    return costs


def shares():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent.parent / "target"))
    print("\n| login, both ends | instructions | TLS | SASL | ours |\n|---|---|---|---|---|")
    for way in LOGINS:
        profile = target / f"gungraun/onetrip-tests/logins/logins/login.{way}/callgrind.login.{way}.out"
        costs = inclusive(profile)
        whole = costs["PROGRAM TOTALS"]
        parts = [sum(cost for name, cost in costs.items() if re.search(entry, name)) for entry in ENTRIES.values()]
        percent = [f"{100 * part / whole:.0f} %" for part in [*parts, whole - sum(parts)]]
        print(f"| {way} | {whole:,} | {' | '.join(percent)} |")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("benches", nargs="*", default=BENCHES)
    arguments.add_argument("--save", type=pathlib.Path)
    arguments.add_argument("--from", dest="before", type=pathlib.Path)
    asked = arguments.parse_args()
    figures = json.loads(asked.before.read_text()) if asked.before else measure(asked.benches)
    if asked.save:
        asked.save.write_text(json.dumps(figures, indent=1))
    met = report(figures)
    if "logins" in asked.benches and not asked.before:
        shares()
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

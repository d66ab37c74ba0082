#!/usr/bin/env python3
"""measure.py DIR ONETRIP: what each way to log in and to come back takes with each server; the tables of docs/choosing.md.

DIR holds what install.sh put there. A cell is round trips / milliseconds until a stanza may be sent, TCP's and TLS's included, the
median of three runs on a link of 100 ms there and back."""
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
import servers
from servers import DIRECT, STARTTLS, USERS

DIR = pathlib.Path(sys.argv[1]).resolve()
ONETRIP = str(pathlib.Path(sys.argv[2]).resolve())
RUN = DIR / "run"
PEERS = (servers.Peer("Prosody 0.12", "127.0.89.1", "prosody.test"), servers.Peer("Prosody 13", "127.0.89.4", "prosody13.test", DIR / "newer"),
         servers.Peer("ejabberd 23.01", "127.0.89.2", "ejabberd.test"), servers.Peer("ejabberd 24.12", "127.0.89.5", "ejabberd24.test", DIR / "newer"))
OURS = servers.Peer("onetrip serve", "", "")
WAYS = {
    "log in": ("classic-MODE-scram", "safe-MODE-scram", "paced-MODE-scram", "quickstart-MODE-scram", "sasl2-MODE-scram", "sasl2-MODE-plain"),
    "come back": ("resume-classic-MODE-scram", "resume-quickstart-MODE-scram", "resume-sasl2-MODE-scram", "resume-fast-MODE", "resume-fast-MODE-0rtt", "isr-MODE"),
}


def measure(peer, mode):
    target = []
    if peer is not OURS:
        port, flag = {"starttls": (STARTTLS, "--starttls"), "direct": (DIRECT, "--direct-tls")}[mode]
        target = [f"juliet@{peer.domain}", "--connect", f"{peer.host}:{port}", flag, "--ca-file", str(RUN / "certs" / "ca.crt")]
    strategies = [f"c2s-{way.replace('MODE', mode)}" for ways in WAYS.values() for way in ways if mode == "direct" or not way.endswith("0rtt")]
    command = [ONETRIP, "compare", *target, "--rtt", "100ms", "--runs", "3", "--format", "json", *(word for one in strategies for word in ("--strategy", one))]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, ONETRIP_PASSWORD=USERS["juliet"]), timeout=600)
    return {row["strategy"]: row for row in map(json.loads, done.stdout.splitlines())}


def cell(row):
    if not row or not row["ok"]:
        reason = (row or {}).get("reason") or ""
        return "–" if "no SASL2" in reason or "no token" in reason or "no early data" in reason else "no"
    # What only came about in the end was not taken.
    return "no" if row["reason"] else f"{row['rtt_to_send']} / {row['ms_to_send']:.0f}"


def main():
    shutil.rmtree(RUN, ignore_errors=True)
    RUN.mkdir(parents=True)
    try:
        servers.certificates(RUN, [peer.domain for peer in PEERS])
        for peer in PEERS:
            (servers.prosody if "Prosody" in peer.name else servers.ejabberd)(RUN, peer)
        if not all(servers.await_peer(RUN, peer) for peer in PEERS):
            sys.exit("a server is not up")
        everyone = (*PEERS, OURS)
        for mode, title in (("direct", "direct TLS"), ("starttls", "STARTTLS")):
            with concurrent.futures.ThreadPoolExecutor() as pool:
                rows = list(pool.map(lambda peer: measure(peer, mode), everyone))
            for kind, ways in WAYS.items():
                print(f"\n| {title}, {kind} | " + " | ".join(peer.name for peer in everyone) + " |\n|---|" + "---|" * len(everyone))
                for way in ways:
                    strategy = f"c2s-{way.replace('MODE', mode)}"
                    if any(strategy in seen for seen in rows):
                        print(f"| `{strategy}` | " + " | ".join(cell(seen.get(strategy)) for seen in rows) + " |", flush=True)
    finally:
        servers.stop()


main()

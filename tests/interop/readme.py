#!/usr/bin/env python3
"""readme.py HELLO: the smallest client of the README, word for word (tests/tests/readme.rs), against Prosody where it is looked for."""
import os
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import servers

HELLO = str(pathlib.Path(sys.argv[1]).resolve())
PROSODY = servers.Peer("Prosody", "127.0.0.1", "localhost")
RESULTS = []


def check(name, good, detail=""):
    RESULTS.append(bool(good))
    print(f"{'ok  ' if good else 'FAIL'} {name}" + (f": {detail}" if detail and not good else ""), flush=True)


def main(run):
    certs = run / "certs"
    servers.STARTTLS, servers.DIRECT = 5222, 5223
    servers.certificates(run, [PROSODY.domain])
    servers.prosody(run, PROSODY)
    check("Prosody is up", servers.await_peer(run, PROSODY))
    right = dict(os.environ, ACCOUNT="juliet@localhost", PASSWORD=servers.USERS["juliet"], TO="romeo@localhost", SSL_CERT_FILE=str(certs / "ca.crt"))
    for name, different, says in (("sends a message", {}, None), ("says that its password is wrong", {"PASSWORD": "wrong"}, "refused the credentials"),
                                  ("trusts nobody but those it is told to", {"SSL_CERT_FILE": str(certs / "localhost.crt")}, "expected a certificate")):
        done = subprocess.run([HELLO], capture_output=True, text=True, env=dict(right, **different), timeout=60)
        good = done.returncode == 0 if says is None else done.returncode == 1 and says in done.stderr
        check(f"the README's client {name}", good, done.stderr)


with tempfile.TemporaryDirectory() as folder:
    try:
        main(pathlib.Path(folder))
    finally:
        servers.stop()
print(f"{RESULTS.count(True)} passed, {RESULTS.count(False)} failed")
sys.exit(0 if all(RESULTS) else 1)

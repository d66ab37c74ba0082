#!/usr/bin/env python3
"""interop.py DIR ONETRIP: our client against Prosody and ejabberd, other people's clients against our server.

DIR holds what install.sh put there. Servers are started on loopback, with certificates of an authority made here, and
stopped at the end. Every check is a line; the last line counts them. A peer that does not come up is a failure.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
import servers
from servers import DIRECT, STARTTLS, USERS

HERE = pathlib.Path(__file__).resolve().parent
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
DIR = pathlib.Path(sys.argv[1]).resolve()
ONETRIP = str(pathlib.Path(sys.argv[2]).resolve())
RUN = DIR / "run"
NEWER = DIR / "newer"
PROSODY = servers.Peer("Prosody 0.12", "127.0.89.1", "prosody.test")
EJABBERD = servers.Peer("ejabberd 23", "127.0.89.2", "ejabberd.test")
PROSODY_13 = servers.Peer("Prosody 13", "127.0.89.4", "prosody13.test", NEWER)
EJABBERD_24 = servers.Peer("ejabberd 24", "127.0.89.5", "ejabberd24.test", NEWER)
PEERS = (PROSODY, PROSODY_13, EJABBERD, EJABBERD_24)
RESULTS = []


def check(name, good, detail=""):
    RESULTS.append(bool(good))
    print(f"{'ok  ' if good else 'FAIL'} {name}" + (f": {detail}" if detail and not good else ""), flush=True)


def sh(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options)


def compare(peer, mode, *more):
    port = DIRECT if mode == "direct" else STARTTLS
    flag = ["--direct-tls"] if mode == "direct" else ["--starttls"]
    command = [ONETRIP, "compare", f"juliet@{peer.domain}", "--connect", f"{peer.host}:{port}", "--ca-file", str(RUN / "certs" / "ca.crt"), "--format", "json", *flag, *more]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, ONETRIP_PASSWORD=USERS["juliet"]), timeout=300)
    rows = {row["strategy"]: row for row in map(json.loads, done.stdout.splitlines())}
    if not rows:
        print(done.stderr.strip())
    return rows


def our_client():
    # Round trips until a stanza may be sent, TCP included (digest 1.1.5, 4.3).
    expected = {"starttls": {"classic": (9, 8), "safe": (6, 5), "paced": (4, 3)}, "direct": {"classic": (7, 6), "safe": (5, 4), "paced": (4, 3)}}
    for peer in (PROSODY, EJABBERD):
        name = peer.name
        for mode, levels in expected.items():
            rows = compare(peer, mode, "--rtt", "150ms")
            for login, index in (("scram", 0), ("plain", 1)):
                for level, trips in levels.items():
                    row = rows.get(f"c2s-{level}-{mode}-{login}", {})
                    got = row.get("rtt_to_send")
                    if level == "paced":
                        # A race: won, or lost and recovered from, but never lost altogether.
                        good = row.get("lost") == 0 and got in (trips[index], None)
                    else:
                        good = got == trips[index] and row.get("second_connections") == 0
                    check(f"{name} {mode} {login} {level}: {trips[index]} round trips", good, row or "no row")
                full = rows.get(f"c2s-quickstart-{mode}-{login}", {})
                recovered = full.get("lost") == 0 and (full.get("second_connections") == 1 or bool(full.get("reason")))
                check(f"{name} {mode} {login} quickstart: does not take one write, and the login is not lost", recovered, full or "no row")
            for mechanism in ("SCRAM-SHA-1", "SCRAM-SHA-256"):
                row = compare(peer, mode, "--mechanism", mechanism, "--strategy", f"c2s-safe-{mode}-scram").get(f"c2s-safe-{mode}-scram", {})
                check(f"{name} {mode} {mechanism}", row.get("ok") and row.get("mechanism") == mechanism, row or "no row")
    learnt = compare(PROSODY, "starttls", "--rtt", "40ms", "--merge", "25ms", "--learn", "--strategy", "c2s-paced-starttls-scram", "--runs", "20")
    row = learnt.get("c2s-paced-starttls-scram", {})
    check("20 paced logins in a row over a link that merges writes: none lost, the gap is learnt", row.get("ok") and row.get("lost") == 0, row)


def our_sasl2():
    # One exchange, with the resource or the session in it (digest 4.3): by the password, and by a token that the login before has brought.
    for mode, (scram, one) in {"starttls": (5, 4), "direct": (4, 3)}.items():
        ways = {f"c2s-sasl2-{mode}-scram": scram, f"c2s-sasl2-{mode}-plain": one, f"c2s-fast-{mode}": one}
        back = {f"c2s-resume-sasl2-{mode}-scram": scram, f"c2s-resume-sasl2-{mode}-plain": one, f"c2s-resume-fast-{mode}": one}
        early = [f"c2s-fast-{mode}-0rtt"] if mode == "direct" else []
        words = [word for strategy in (*ways, *back, *early) for word in ("--strategy", strategy)]
        for peer in (PROSODY_13, EJABBERD_24):
            rows = compare(peer, mode, "--rtt", "100ms", *words)
            for strategy, trips in (ways | back).items():
                row = rows.get(strategy, {})
                good = row.get("rtt_to_send") == trips and row.get("lost") == row.get("second_connections") == 0 and not row.get("reason")
                good = good and (row.get("mechanism") == "HT-SHA-256-EXPR") == ("-fast-" in strategy)
                if strategy in back:
                    good = good and [row.get(f"stanzas{what}") for what in ("", "_lost", "_twice", "_handed_back")] == [40, 0, 0, 0]
                check(f"{peer.name} {strategy}: {trips} round trips" + (", 40 stanzas there and back, each once" if strategy in back else ""), good, row or "no row")
            for strategy in early:
                check(f"{peer.name} {strategy}: takes no early data, and that is said", rows.get(strategy, {}).get("reason") == "the server takes no early data", rows.get(strategy))
        for peer in (PROSODY, EJABBERD):
            for strategy, row in compare(peer, mode, *words).items():
                check(f"{peer.name} {strategy}: has none, and that is said", row.get("lost") == 0 and row.get("reason") == "the server has no SASL2", row)


def our_probe():
    # What is said of pipelining is what was seen: none takes a ClientHello behind <starttls/> for one, nor a restart that comes with what is before it.
    for name, host, domain, home in PEERS:
        for mode, port, flag in (("starttls", STARTTLS, "--starttls"), ("direct", DIRECT, "--direct-tls")):
            command = [ONETRIP, "probe", domain, "--connect", f"{host}:{port}", "--ca-file", str(RUN / "certs" / "ca.crt"), "--format", "json", "--timeout", "2s", flag]
            environment = dict(os.environ, ONETRIP_PASSWORD=USERS["juliet"])
            done = subprocess.run([*command, "--user", "juliet"], capture_output=True, text=True, timeout=120, env=environment)
            seen = json.loads(done.stdout) if done.returncode == 0 else {}
            together, verdict, sasl2 = seen.get("together", {}), seen.get("verdict", {}), seen.get("sasl2") or {}
            good = together.get("header_auth") == "answered" and together.get("header_starttls", "answered") == "answered"
            good = good and together.get("header_starttls_hello") != "answered" and "SCRAM-SHA-1" in seen.get("mechanisms", [])
            check(f"probe of {name} {mode}: header and <starttls/>, header and <auth/> may ride together, a ClientHello may not", good, seen or done.stderr)
            announced = bool(sasl2.get("bind2") and sasl2.get("resume") and "HT-SHA-256-EXPR" in (sasl2.get("fast") or {}).get("mechanisms", []))
            early = together.get("early_header_authenticate")
            good = announced == bool(home) and together.get("header_authenticate") == ("answered" if home else None)
            good = good and early == ("the server gives no ticket that allows it" if home and mode == "direct" else None)
            check(f"probe of {name} {mode}: " + ("SASL2, Bind 2, FAST and resumption within, in one write, and no early data" if home else "no SASL2"), good, seen)
            taken = {row["strategy"].removeprefix("c2s-").replace(f"-{mode}", ""): bool(row["ok"] and not row["reason"]) for row in seen.get("logins", [])}
            expected = {"classic-scram": True, "safe-scram": True, "quickstart-scram": False, "resume-classic-scram": True}
            expected |= {way: True for way in ("sasl2-scram", "fast", "resume-sasl2-scram", "resume-fast")} if home else {}
            # A race, and what Prosody alone does.
            rest = {way: was for way, was in taken.items() if way not in ("paced-scram", "resume-quickstart-scram")}
            good = rest == expected and all(row["lost"] == 0 for row in seen["logins"])
            trips = {("starttls", True): 4, ("direct", True): 3, ("starttls", False): 9, ("direct", False): 7}[mode, bool(home)]
            back = verdict.get("reconnect_best") == trips or (not home and mode == "direct" and verdict.get("reconnect_best") == 4)
            check(f"probe of {name} {mode}: by logins, what it takes and what not, and none is lost", good and back and verdict.get("connect_safe", 9) < verdict.get("connect_classic", 0), seen)


def our_sessions():
    # Cut in mid-exchange and resumed (XEP-0198): nothing lost, nothing twice; round trips as digest 4.3.
    for peer in (PROSODY, EJABBERD):
        name = peer.name
        for mode, trips in (("starttls", 9), ("direct", 7)):
            classic, quick, token = f"c2s-resume-classic-{mode}-scram", f"c2s-resume-quickstart-{mode}-scram", f"c2s-isr-{mode}"
            rows = compare(peer, mode, "--rtt", "100ms", *[word for strategy in (classic, quick, token) for word in ("--strategy", strategy)])
            row = rows.get(classic, {})
            whole = row.get("stanzas") == 40 and [row.get(key) for key in ("stanzas_lost", "stanzas_twice", "stanzas_handed_back")] == [0, 0, 0]
            check(f"{name} {mode}: a killed connection is resumed in {trips} round trips, 40 stanzas there and back, each once", row.get("rtt_to_send") == trips and whole, row or "no row")
            row = rows.get(quick, {})
            whole = row.get("stanzas") == 40 and [row.get(key) for key in ("stanzas_lost", "stanzas_twice", "stanzas_handed_back")] == [0, 0, 0]
            check(f"{name} {mode}: the same with everything sent ahead, which is not taken, and nothing is lost by that", row.get("lost") == 0 and whole, row or "no row")
            row = rows.get(token, {})
            check(f"{name} {mode}: gives no token, and that is said", not row.get("ok") and "token" in (row.get("reason") or ""), row or "no row")


def our_server():
    files = {}
    for user, password in USERS.items():
        files[user] = RUN / f"{user}.password"
        files[user].write_text(password)
    command = [ONETRIP, "serve", "--listen", "127.0.89.3:15222", "--listen-tls", "127.0.89.3:15223", "--ca-out", str(RUN / "serve.pem")]
    # A real client checks the name it connects to, so the domain is one that resolves.
    command[3], command[5] = "127.0.0.1:15322", "127.0.0.1:15323"
    for user in USERS:
        command += ["--user", f"{user}@localhost", "--password-file", str(files[user])]
    servers.start(RUN, "serve", command)
    check("onetrip serve is up", servers.await_port("127.0.0.1", 15322))
    accounts = ["--user1", "juliet@localhost", "--pass1", USERS["juliet"], "--user2", "romeo@localhost", "--pass2", USERS["romeo"]]
    for mode, port in (("starttls", 15322), ("direct", 15323)):
        where = ["--port", str(port), "--mode", mode, *accounts]
        slixmpp = [str(DIR / "venv/bin/python"), str(HERE / "slixmpp_pair.py"), "--host", "127.0.0.1", "--ca-file", str(RUN / "serve.pem"), *where]
        xmppjs = ["node", str(HERE / "xmppjs_pair.mjs"), "--modules", str(DIR / "npm"), "--host", "localhost", *where]
        environment = dict(os.environ, NODE_EXTRA_CA_CERTS=str(RUN / "serve.pem"))
        for name, client in (("slixmpp", slixmpp), ("@xmpp/client", xmppjs)):
            done = subprocess.run(client, capture_output=True, text=True, env=environment, timeout=60)
            lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
            how = " by SASL2, and one again by a token" if name == "@xmpp/client" else ""
            check(f"{name} {mode}: two users talk on onetrip serve, logged in{how}", done.returncode == 0, lines or done.stderr[-500:])
        resume = [*slixmpp[:1], str(HERE / "slixmpp_resume.py"), *slixmpp[2:]]
        again = [*xmppjs[:1], str(HERE / "xmppjs_resume.mjs"), *xmppjs[2:]]
        for name, client, how in (("slixmpp", resume, "its session"), ("@xmpp/client", again, "its session within the login by its token")):
            done = subprocess.run(client, capture_output=True, text=True, env=environment, timeout=60)
            lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
            check(f"{name} {mode}: resumes {how} on onetrip serve after its socket was cut", done.returncode == 0, lines or done.stderr[-500:])


def our_server_at_the_edges():
    done = subprocess.run([sys.executable, str(HERE / "serve_sessions.py"), ONETRIP], capture_output=True, text=True, timeout=90)
    lines = done.stdout.splitlines()
    for line in lines:
        check(line[5:], line.startswith("ok"))
    check("every moment at which sessions of onetrip serve change hands was tried", done.returncode == 0 and len(lines) == 9, done.stderr[-500:])


def our_federation():
    for peer, command in (("Prosody 0.12", ["federation.py", ONETRIP, "/"]), ("Prosody 13", ["federation.py", ONETRIP, str(DIR / "newer")]),
                          ("ejabberd", ["federation_ejabberd.py", ONETRIP, str(DIR / "newer")])):
        done = subprocess.run([sys.executable, str(HERE / command[0]), *command[1:]], capture_output=True, text=True, timeout=240)
        lines = done.stdout.splitlines()
        for line in lines:
            check(f"{peer}: {line[5:]}", line.startswith("ok"))
        check(f"onetrip serve and {peer} federated by certificate and by dialback, with bidi and without", done.returncode == 0 and lines, done.stderr[-500:])
    done = subprocess.run([sys.executable, str(HERE / "federation_edges.py"), ONETRIP], capture_output=True, text=True, timeout=120)
    lines = done.stdout.splitlines()
    for line in lines:
        check(line[5:], line.startswith("ok"))
    check("onetrip serve at the edges of federation: reverse dialback, limits, idle connections", done.returncode == 0 and lines, done.stderr[-500:])


def main():
    shutil.rmtree(RUN, ignore_errors=True)
    RUN.mkdir(parents=True)
    try:
        servers.certificates(RUN, [peer.domain for peer in PEERS])
        for peer in (PROSODY, PROSODY_13):
            servers.prosody(RUN, peer)
        for peer in (EJABBERD, EJABBERD_24):
            servers.ejabberd(RUN, peer)
        for peer in PEERS:
            check(f"{peer.name} is up", servers.await_peer(RUN, peer))
        our_client()
        our_sasl2()
        our_probe()
        our_sessions()
        our_server()
        our_server_at_the_edges()
        our_federation()
    finally:
        servers.stop()
    print(f"{RESULTS.count(True)} passed, {RESULTS.count(False)} failed")
    sys.exit(0 if RESULTS and all(RESULTS) else 1)


main()

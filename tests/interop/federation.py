#!/usr/bin/env python3
"""federation.py ONETRIP HOME [DIR]: the embedded server and Prosody, federated on loopback, with users on raw sockets.

HOME is where Prosody is, `/` or where it has been unpacked.
TCP connections between the two are counted. Each check is a line `ok` or `FAIL`; exit code 0 if all are ok."""
import functools
import pathlib
import re
import sys
import tempfile

sys.dont_write_bytecode = True
from federation_servers import C2S, FAILED, NOBODY, OURS, OUR_PLACE, ROOMS, SECOND, THEIRS, Client, Onetrip, Pair, Prosody, authority, check, connections, levels  # noqa: E402


def by_dialback(pair):
    log = pair.theirs.log.read_text()
    return "Initiating dialback" in log or "db:result" in log


def run_pair(program, start, run, what, we, expected, bidi=True, dialback=False, ours="certs", theirs="certs", direct=False, further=None):
    prosody = start(run, bidi, (ours, theirs) == ("certs", "certs"), theirs, direct)
    with Pair(program, run, what, prosody, ours, direct) as pair:
        pair.both_ways(we, expected, direct)
        check(f"{what}: {'by dialback' if dialback else 'without dialback'}", by_dialback(pair) == dialback)
        if further:
            pair.further_domains(*further)


def queries_and_bounces(pair):
    juliet, romeo = pair.juliet, pair.romeo
    ping = "<iq type='get' id='{0}' to='{1}'><ping xmlns='urn:xmpp:ping'/></iq>"
    for client, domain in ((juliet, THEIRS), (romeo, OURS)):
        client.send(ping.format("p1", domain))
        got = client.until("p1")
        check(f"{domain} answers a ping from abroad", re.search(r"<iq[^>]*type=['\"]result", got), got)
    romeo.send(f"<iq type='get' id='r1' to='{OURS}'><query xmlns='jabber:iq:roster'/></iq>")
    got = romeo.until("</iq>")
    check("nobody abroad has a roster here", "service-unavailable" in got, got)
    romeo.message(f"nobody@{OURS}", "n1")
    got = romeo.until("</message>")
    check("a message for nobody comes back", "service-unavailable" in got, got)
    for domain, condition in (("nowhere.test", "remote-server-not-found"), ("closed.test", "remote-server-timeout")):
        juliet.message(f"a@{domain}", "b1")
        got = juliet.until("</message>")
        check(f"a message to {domain} comes back with {condition}", condition in got and f"from='a@{domain}'" in got, got)
    check("still one TCP connection", connections() == 1, connections())


def refused(program, start, run):
    """A peer that insists on certificates does not take dialback: what is sent comes back."""
    with Pair(program, run, "refused", start(run), "weak") as pair:
        pair.juliet.message(f"romeo@{THEIRS}", "x1")
        got = pair.juliet.until("</message>")
        check("refused, a message comes back", "type='error'" in got and "remote-server-timeout" in got, got)


def main():
    program, home = str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]).resolve()
    start = functools.partial(Prosody, home=home)
    with tempfile.TemporaryDirectory() as directory:
        run = pathlib.Path(sys.argv[3] if len(sys.argv) > 3 else directory)
        authority(run)
        what = "EXTERNAL, we connect"
        with Pair(program, run, what, start(run), peers={"closed.test": f"{NOBODY}:9"}) as pair:
            pair.both_ways(True, 1)
            check(f"{what}: without dialback", not by_dialback(pair))
            queries_and_bounces(pair)
            # We ask for both pairs where there is a connection; only Prosody opens one each time, to dial back.
            pair.further_domains(1, 1, 0)
            asked = "ours.test->theirs.test is now authenticated for " + SECOND in pair.theirs.log.read_text()
            check("a further domain of ours is asked for where there is a connection", asked)
        run_pair(program, start, run, "EXTERNAL, Prosody connects", False, 1)
        run_pair(program, start, run, "EXTERNAL over direct TLS, we connect", True, 1, direct=True)
        run_pair(program, start, run, "EXTERNAL over direct TLS, Prosody connects", False, 1, direct=True)
        run_pair(program, start, run, "without bidi, we connect", True, 2, bidi=False)
        run_pair(program, start, run, "without bidi, Prosody connects", False, 2, bidi=False)
        # Prosody keeps the connection on which it has dialed back, and sends on that one from then on.
        for what, ours, theirs, we, bidi, dialback, expected in (
            ("our certificate is not trusted, we connect", "weak", "certs", True, True, True, 2),
            ("our certificate is not trusted, Prosody connects", "weak", "certs", False, True, False, 1),
            ("Prosody's certificate is not trusted, we connect", "certs", "weak", True, True, False, 1),
            ("Prosody's certificate is not trusted, Prosody connects", "certs", "weak", False, True, True, 1),
            ("no certificate is trusted, we connect", "weak", "weak", True, True, True, 2),
            ("no certificate is trusted, Prosody connects", "weak", "weak", False, True, True, 1),
            ("no certificate is trusted, without bidi, we connect", "weak", "weak", True, False, True, 2),
            ("no certificate is trusted, without bidi, Prosody connects", "weak", "weak", False, False, True, 2),
        ):
            run_pair(program, start, run, what, we, expected, bidi, dialback, ours, theirs)
        refused(program, start, run)
        levels(program, run, start(run), "Prosody", True)
    sys.exit(1 if FAILED else 0)


main()

#!/usr/bin/env python3
"""federation_ejabberd.py ONETRIP HOME [DIR]: the embedded server and ejabberd, federated as federation.py does with Prosody.

The installed ejabberd cannot do bidi; the one unpacked in HOME can."""
import pathlib
import re
import sys
import tempfile

sys.dont_write_bytecode = True
from federation_servers import FAILED, Ejabberd, Pair, authority, check, levels  # noqa: E402


def run_pair(program, run, what, we, expected, further, home, shown="certs", direct=False):
    # ejabberd 24.12 is not told to connect with direct TLS itself: it loses an answer to its ClientHello that comes at once.
    ejabberd = Ejabberd(run, strict=False, shown=shown, home=home, direct=direct and home is None)
    with Pair(program, run, what, ejabberd, shown, direct) as pair:
        pair.both_ways(we, expected, direct)
        pair.further_domains(*further)
    way = "EXTERNAL" if shown == "certs" else "dialback"
    ways = re.findall(r"Accepted (?:in|out)bound s2s (\w+) authentication", pair.theirs.log.read_text())
    check(f"{what}: by {way}", ways[:expected] == [way] * expected, ways)


def main():
    program, newer = str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]).resolve()
    with tempfile.TemporaryDirectory() as directory:
        run = pathlib.Path(sys.argv[3] if len(sys.argv) > 3 else directory)
        authority(run)
        one_way, bidi = ("ejabberd without bidi", None), ("ejabberd with bidi", newer)
        # For what a further domain of its own sends, ejabberd opens a connection, and with bidi for the answer to one of ours if it
        # has opened the first; it closes those that it dials back on.
        for (name, home), shown, we, direct, expected, further in (
            (one_way, "certs", True, False, 2, (1, 0, 1)),
            (one_way, "certs", False, False, 2, (1, 0, 1)),
            (one_way, "weak", True, False, 2, (1, 0, 1)),
            (one_way, "weak", False, False, 2, (1, 0, 1)),
            (one_way, "certs", True, True, 2, (1, 0, 1)),
            (one_way, "certs", False, True, 2, (1, 0, 1)),
            (bidi, "certs", True, False, 1, (1, 0, 0)),
            (bidi, "certs", False, False, 1, (1, 0, 1)),
            (bidi, "weak", True, False, 1, (1, 0, 0)),
            (bidi, "weak", False, False, 1, (1, 0, 1)),
            (bidi, "certs", True, True, 1, (1, 0, 0)),
        ):
            way = ("EXTERNAL" if shown == "certs" else "dialback") + (" over direct TLS" if direct else "")
            run_pair(program, run, f"{name}, {way}, {'we connect' if we else 'it connects'}", we, expected, further, home, shown, direct)
        for name, home in (one_way, bidi):
            levels(program, run, Ejabberd(run, strict=False, home=home), name, home is not None)
    sys.exit(1 if FAILED else 0)


main()

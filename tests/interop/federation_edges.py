#!/usr/bin/env python3
"""federation_edges.py ONETRIP: what no other server does, done to the embedded one by hand: reverse dialback with all that can be
wrong about it, too many connections, and connections that nobody uses. Lines as those of federation.py."""
import pathlib
import re
import socket
import ssl
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from federation_servers import FAILED, NOBODY, OURS, OUR_PLACE, S2S, SECOND, THEIRS, THEIR_PLACE, Client, Onetrip, authority, check, connections, settle  # noqa: E402

CHAT, LIAR, FAR, THIRD = f"chat.{THEIRS}", f"liar.{THEIRS}", f"far.{THEIRS}", "third.test"
HEADER = ("<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' "
          "from='{0}' to='{1}' version='1.0'{2}>")
TLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
FEATURES = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>"
BIDI = "<bidi xmlns='urn:xmpp:features:bidi'/>"


class Link:
    """One end of a connection between servers, which says what it is told to."""

    def __init__(self, plain):
        self.socket, self.rest = plain, ""
        plain.settimeout(8)

    def send(self, text):
        self.socket.sendall(text.encode())

    def until(self, wanted):
        """What comes up to the end of what is wanted; what is behind it is for the next call."""
        while wanted not in self.rest:
            data = self.socket.recv(65536)
            if not data:
                break
            self.rest += data.decode()
        got, found, self.rest = self.rest.partition(wanted)
        return got + found

    def secure(self, context, **how):
        self.socket = context.wrap_socket(self.socket, **how)


class Mock:
    """A server of theirs at a place."""

    def __init__(self, run, place):
        self.listener = socket.create_server((place, S2S))
        self.listener.settimeout(8)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(f"{run}/weak/{THEIRS}.crt", f"{run}/weak/{THEIRS}.key")

    def take(self, name, bidi=True):
        """Takes a connection up to its features, as a stream with this id."""
        link = Link(self.listener.accept()[0])
        for secured in (False, True):
            head = link.until(">") + (link.until(">") if link.rest.startswith("<stream") else "")
            domain = re.findall(r"\sto='([^']*)'", head)[-1]
            features = FEATURES + BIDI * bidi if secured else TLS
            link.send(HEADER.format(domain, OURS, f" id='{name}'") + f"<stream:features>{features}</stream:features>")
            if not secured:
                link.until("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
                link.send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
                link.secure(self.context, server_side=True)
        return link

    def accept(self, name, theirs, bidi=True):
        """The same until what we send is accepted; returns our key as well."""
        link = self.take(name, bidi)
        key = re.search(r">([0-9a-f]+)<", link.until("</db:result>"))[1]
        link.send(f"<db:result from='{theirs}' to='{OURS}' type='valid'/>")
        return link, key


def call(theirs):
    """A connection from them to us, up to our features."""
    link = Link(socket.create_connection((OUR_PLACE, S2S)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for secured in (False, True):
        link.send(HEADER.format(theirs, OURS, ""))
        link.until("</stream:features>")
        if not secured:
            link.send(TLS)
            link.until("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            link.secure(context, server_hostname=OURS)
    return link


def asked(link, domain, to=OURS, key="feed"):
    link.send(f"<db:result from='{domain}' to='{to}'>{key}</db:result>")


def verify(mock, domain, name, verdict):
    """Takes the connection on which we ask the authority for a domain, and answers there; returns what was asked."""
    leg = mock.take("leg")
    got = leg.until("</db:verify>")
    leg.send(f"<db:verify from='{domain}' to='{OURS}' id='{name}' type='{verdict}'/>")
    return got


def reverse(run, program):
    there, elsewhere = Mock(run, THEIR_PLACE), Mock(run, NOBODY)
    peers = {domain: f"{THEIR_PLACE}:{S2S}" for domain in (CHAT, LIAR)} | {domain: f"{NOBODY}:{S2S}" for domain in (FAR, THIRD, f"chat.{THIRD}")}
    server = Onetrip(program, run, peers, "weak")
    try:
        juliet = Client(OUR_PLACE, "juliet", OURS)
        juliet.message(f"romeo@{THEIRS}", "m1")
        link, key = there.accept("one", THEIRS)
        check("reverse: the connection is open", ">m1</body>" in link.until("</message>"))
        asked(link, CHAT, key="c0ffee")
        got = verify(there, CHAT, "one", "valid")
        check("reverse: the key is verified at the authority, with the id of the connection", f"to='{CHAT}'" in got and "id='one'" in got and ">c0ffee<" in got, got)
        got = link.until(">")
        check("reverse: the domain is valid (BIDI-15)", f"to='{CHAT}'" in got and "type='valid'" in got, got)
        link.send(f"<message from='bot@{CHAT}' to='{juliet.jid}' type='chat'><body>m2</body></message>")
        check("reverse: stanzas of the domain come in", ">m2</body>" in juliet.until(">m2</body>"))
        juliet.message(f"bot@{CHAT}", "m3")
        check("reverse: and go out on the same connection (BIDI-16)", ">m3</body>" in link.until("</message>"))
        for domain, to, condition, why in ((FAR, OURS, "not-acceptable", "a domain that is elsewhere"), (f"unknown.{THEIRS}", OURS, "not-acceptable", "a domain of which nothing is known"),
                                           (SECOND, OURS, "not-acceptable", "a domain of ours"), (f"x.{THEIRS}", SECOND, "item-not-found", "a target that was not validated here")):
            asked(link, domain, to)
            got = link.until("</db:result>")
            check(f"reverse: {why} is refused, {condition}", f"<{condition} " in got, got)
        asked(link, LIAR, key="c0ffee")
        verify(there, LIAR, "one", "invalid")
        got = link.until("</db:result>")
        check("reverse: a replayed key that its authority does not vouch for is refused", "<forbidden " in got, got)
        juliet.message(f"romeo@{THEIRS}", "m4")
        check("reverse: the other pairs of the connection go on", ">m4</body>" in link.until("</message>"))
        juliet.message(f"romeo@{THIRD}", "m5")
        second, _ = elsewhere.accept("one", THIRD)
        second.until("</message>")
        asked(second, f"chat.{THIRD}", key="c0ffee")
        got = second.until("</db:result>")
        check("reverse: a key for an id that another connection has is refused, not-acceptable", "<not-acceptable " in got, got)
        leg = call(THEIRS)
        leg.send(f"<db:verify from='{THEIRS}' to='{OURS}' id='one'>{key}</db:verify>")
        got = leg.until(">")
        check("reverse: we do not vouch for a key of ours that has had its answer", "type='invalid'" in got, got)
    finally:
        server.stop()
        there.listener.close()
        elsewhere.listener.close()


def one_way(run, program):
    there = Mock(run, THEIR_PLACE)
    server = Onetrip(program, run, {CHAT: f"{THEIR_PLACE}:{S2S}"}, "weak")
    try:
        juliet = Client(OUR_PLACE, "juliet", OURS)
        juliet.message(f"romeo@{THEIRS}", "m1")
        link, _ = there.accept("one", THEIRS, bidi=False)
        link.until("</message>")
        asked(link, CHAT)
        got = link.until("</db:result>")
        check("reverse: without bidi it is refused, policy-violation", "<policy-violation " in got, got)
    finally:
        server.stop()
        there.listener.close()


def knock(place):
    link = Link(socket.create_connection((OUR_PLACE, S2S), source_address=(place, 0)))
    link.send(HEADER.format(THEIRS, OURS, ""))
    return link, link.until("</stream:features>")


def limits(run, program):
    server = Onetrip(program, run, {}, more=["--s2s-limit", "3", "--s2s-limit-per-address", "2"])
    try:
        (first, one), (_second, two) = knock(THEIR_PLACE), knock(THEIR_PLACE)
        check("limits: two connections from one address are taken", all(got.endswith("</stream:features>") for got in (one, two)), (one, two))
        _, got = knock(THEIR_PLACE)
        check("limits: the third is refused, and closed", "<policy-violation " in got and got.endswith("</stream:stream>"), got)
        _other, got = knock(NOBODY)
        check("limits: one from elsewhere is taken", got.endswith("</stream:features>"), got)
        _, got = knock(NOBODY)
        check("limits: the fourth in total is refused, and closed", "<resource-constraint " in got and got.endswith("</stream:stream>"), got)
        first.socket.close()
        end = time.time() + 5
        while not got.endswith("</stream:features>") and time.time() < end:
            _again, got = knock(THEIR_PLACE)
        check("limits: a connection that has gone makes room", got.endswith("</stream:features>"), got)
    finally:
        server.stop()


def idle(run, program):
    there = Mock(run, THEIR_PLACE)
    server = Onetrip(program, run, {}, "weak", more=["--s2s-idle", "1s"])
    try:
        juliet = Client(OUR_PLACE, "juliet", OURS)
        for number in (1, 2):
            juliet.message(f"romeo@{THEIRS}", f"m{number}")
            link, _ = there.accept(f"id{number}", THEIRS)
            check(f"idle: message {number} arrives", f">m{number}</body>" in link.until("</message>"))
            got = link.until("</stream:stream>")
            check(f"idle: connection {number} is closed without an error", got.endswith("</stream:stream>") and "error" not in got, got)
            link.send(f"<message from='romeo@{THEIRS}' to='{juliet.jid}' type='chat'><body>late{number}</body></message></stream:stream>")
            check(f"idle: what was on its way on connection {number} comes in", f">late{number}<" in juliet.until(f">late{number}</body>"))
            link.socket.close()
            check(f"idle: connection {number} is gone", settle(0) == 0, connections())
    finally:
        server.stop()
        there.listener.close()


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as directory:
        run = pathlib.Path(directory)
        authority(run)
        for part in (reverse, one_way, limits, idle):
            part(run, program)
    sys.exit(1 if FAILED else 0)


main()

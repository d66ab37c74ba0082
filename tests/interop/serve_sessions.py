#!/usr/bin/env python3
"""serve_sessions.py ONETRIP: the embedded server's sessions on raw sockets, at the moments when they change hands.

Each check is a line `ok` or `FAIL`; exit code 0 if all are ok."""
import base64
import json
import re
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

FAILED = []
HEADER = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='im.test' from='{user}@im.test' version='1.0'>"
ENABLE = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"


def check(name, good, detail=""):
    FAILED.append(name) if not good else None
    print(f"{'ok  ' if good else 'FAIL'} serve: {name}" + (f": {detail}" if not good else ""), flush=True)


def resume(session, h=0):
    return f"<resume xmlns='urn:xmpp:sm:3' previd='{session}' h='{h}'/>"


def message(number, to):
    return f"<message id='{number}' type='chat' to='{to}'><body>x</body></message>"


class Client:
    """A client over TLS from the first byte that writes exactly what it is told to, in one segment."""

    def __init__(self, place, user, resource=None):
        self.socket = socket.create_connection(place)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="im.test")
        while True:
            try:
                self.tls.do_handshake()
                self.socket.sendall(self.outgoing.read())
                break
            except ssl.SSLWantReadError:
                self.socket.sendall(self.outgoing.read())
                self.incoming.write(self.socket.recv(65536))
        secret = base64.b64encode(f"\0{user}\0secret-{user}".encode()).decode()
        header = HEADER.format(user=user)
        self.send(f"{header}<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>{header}")
        self.until("<bind ")
        if resource:
            self.send(f"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind></iq>")
            self.until("</iq>")

    def send(self, text, notify=False, end=False):
        self.tls.write(text.encode())
        if notify:  # close_notify in the same segment
            try:
                self.tls.unwrap()
            except ssl.SSLError:
                pass
        self.socket.sendall(self.outgoing.read())
        if end:
            self.socket.shutdown(socket.SHUT_WR)

    def receive(self, seconds):
        """All that comes within so many seconds."""
        return self.until(None, seconds)

    def until(self, wanted, seconds=3):
        """What comes until this has come."""
        text, end = "", time.time() + seconds
        while time.time() < end and not (wanted and wanted in text):
            self.socket.settimeout(max(0.01, end - time.time()))
            try:
                data = self.socket.recv(65536)
            except (TimeoutError, ConnectionError):
                break
            if not data:
                break
            self.incoming.write(data)
            try:
                while data := self.tls.read(65536):
                    text += data.decode()
            except ssl.SSLError:
                pass
        return text

    def enable(self):
        self.send(ENABLE)
        return re.search(r"<enabled[^>]* id='([^']*)'", self.until("<enabled")).group(1)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def scenarios(place):
    romeo = Client(place, "romeo", "x")

    juliet = Client(place, "juliet", "a")
    session = juliet.enable()
    juliet.reset()
    time.sleep(0.2)
    romeo.send(message("m1", "juliet@im.test/a"))
    time.sleep(0.2)
    Client(place, "juliet").send(resume(session), notify=True)
    time.sleep(0.3)
    back = Client(place, "juliet")
    back.send(resume(session))
    text = back.until("m1")
    check("a request to resume that is cut off in the same segment loses no session", "<resumed" in text and text.count("id='m1'") == 1, text)
    back.reset()

    for attempt in range(5):
        juliet = Client(place, "juliet", f"b{attempt}")
        session = juliet.enable()
        romeo.send(message("m2", f"juliet@im.test/b{attempt}"))
        juliet.until("m2")
        Client(place, "juliet").send(resume(session), end=True)
        time.sleep(0.3)
        back = Client(place, "juliet")
        back.send(resume(session))
        text = back.until("m2")
        good = "<resumed" in text and text.count("id='m2'") == 1
        check(f"nor does one that is cut off while the session is handed over ({attempt})", good, text)
        back.reset()

    sessions = []
    for _ in range(2):
        juliet = Client(place, "juliet", "dup")
        sessions.append(juliet.enable())
        juliet.reset()
        time.sleep(0.2)
    romeo.send(message("m3", "juliet@im.test/dup"))
    time.sleep(0.2)
    copies = []
    for session in sessions:
        back = Client(place, "juliet")
        back.send(resume(session))
        copies.append(back.receive(0.6).count("id='m3'"))
        back.reset()
    check("an address that is bound anew ends the session that waits for it, and a stanza is in one", copies == [0, 1], copies)

    juliet = Client(place, "juliet", "d")
    session = juliet.enable()
    juliet.send(message("m4", "romeo@im.test/x"), notify=True)
    time.sleep(0.3)
    back = Client(place, "juliet")
    back.send(resume(session))
    text = back.until("<resumed")
    if "h='0'" in text:
        back.send(message("m4", "romeo@im.test/x"))
    copies = romeo.receive(0.6).count("id='m4'")
    check("a stanza that comes with the end of its connection arrives once", copies == 1, (text, copies))
    back.reset()

    juliet = Client(place, "juliet", "e")
    juliet.enable()
    juliet.reset()
    time.sleep(0.2)
    romeo.send(message("m5", "juliet@im.test/e"))
    text = romeo.until("m5", 8)
    bounced = re.findall(r"<message[^>]*id='m5'[^>]*type='error'|<message[^>]*type='error'[^>]*id='m5'", text + romeo.receive(1))
    check("what nobody came back for is bounced once", len(bounced) == 1, text)


def main():
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.argv[1], "serve", "--domain", "im.test", "--resume-for", "4s"]
        for user in ("juliet", "romeo"):
            with open(f"{folder}/{user}", "w") as file:
                file.write(f"secret-{user}")
            command += ["--user", f"{user}@im.test", "--password-file", file.name]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            host, port = json.loads(server.stdout.readline())["direct_tls"].split(":")
            scenarios((host, int(port)))
        finally:
            server.kill()
    sys.exit(1 if FAILED else 0)


main()

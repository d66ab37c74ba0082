#!/usr/bin/env python3
"""federation.py ONETRIP [DIR]: the embedded server and Prosody, federated on loopback, with users on raw sockets.

The names of both are in a hosts file that only Prosody reads; certificates come from an authority made here. TCP connections
between the two are counted. Each check is a line `ok` or `FAIL`; exit code 0 if all are ok."""
import base64
import json
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time

OURS, THEIRS = "ours.test", "theirs.test"
ROOMS, SECOND = f"rooms.{THEIRS}", f"second.{OURS}"
OUR_PLACE, THEIR_PLACE = "127.0.89.11", "127.0.89.12"
C2S, S2S = 15223, 5269
FAILED = []


def check(name, good, detail=""):
    FAILED.append(name) if not good else None
    print(f"{'ok  ' if good else 'FAIL'} federation: {name}" + (f": {detail}" if not good else ""), flush=True)


def sh(*command):
    subprocess.run(command, check=True, capture_output=True, text=True)


def certificate(run, folder, domain, signed):
    """A key and a certificate, signed by the authority or else by itself."""
    (run / folder).mkdir(exist_ok=True)
    name = f"{folder}/{domain}"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{run}/{name}.key", "-subj", f"/CN={domain}"]
    (run / "ext").write_text(f"basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:{domain},DNS:{SECOND if domain == OURS else ROOMS}\nextendedKeyUsage=serverAuth,clientAuth\n")
    sh("openssl", "req", "-new", *key, "-out", f"{run}/{name}.csr")
    sign = ["-CA", f"{run}/ca.crt", "-CAkey", f"{run}/ca.key", "-CAcreateserial"] if signed else ["-signkey", f"{run}/{name}.key"]
    sh("openssl", "x509", "-req", "-in", f"{run}/{name}.csr", *sign, "-days", "30", "-extfile", f"{run}/ext", "-out", f"{run}/{name}.crt")


class Client:
    """A client over TLS from the first byte, as simple as it can be."""

    def __init__(self, place, user, domain):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(socket.create_connection((place, C2S)), server_hostname=domain)
        header = f"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='{domain}' version='1.0'>"
        secret = base64.b64encode(f"\0{user}\0secret-{user}".encode()).decode()
        bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>"
        auth = f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"
        for text, wanted in ((header, "</stream:features>"), (auth, "<success"), (header, "</stream:features>"), (bind, "</iq>"), ("<presence/>", None)):
            self.send(text)
            if wanted:
                got = self.until(wanted)
                assert wanted in got, got
        self.jid = f"{user}@{domain}/r"

    def send(self, text):
        self.socket.sendall(text.encode())

    def until(self, wanted, seconds=8):
        """What comes until this has come."""
        text, end = "", time.time() + seconds
        while time.time() < end and wanted not in text:
            self.socket.settimeout(max(0.01, end - time.time()))
            try:
                data = self.socket.recv(65536)
            except (TimeoutError, ConnectionError):
                break
            if not data:
                break
            text += data.decode()
        return text

    def message(self, to, body):
        self.send(f"<message type='chat' id='{body}' to='{to}'><body>{body}</body></message>")


def connections():
    """How many TCP connections there are between the two servers."""
    count = 0
    places = {"".join(f"{int(part):02X}" for part in reversed(place.split("."))) for place in (OUR_PLACE, THEIR_PLACE)}
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        address, port = local.split(":")
        count += state == "01" and int(port, 16) == S2S and address in places
    return count


def await_port(host, port, up=True):
    end = time.time() + 20
    while time.time() < end:
        try:
            socket.create_connection((host, port), 1).close()
            if up:
                return
        except OSError:
            if not up:
                return
        time.sleep(0.1)
    raise RuntimeError(f"{host}:{port}: not {'up' if up else 'down'}")


class Prosody:
    def __init__(self, run, bidi=True, strict=True, shown="certs"):
        (run / "hosts").write_text(f"{OUR_PLACE} {OURS}\n{OUR_PLACE} {SECOND}\n{THEIR_PLACE} {THEIRS}\n{THEIR_PLACE} {ROOMS}\n")
        self.log = run / f"prosody-{time.time()}.log"
        config = run / "prosody.cfg.lua"
        config.write_text(f"""
run_as_root = true
daemonize = false
pidfile = "{run}/prosody.pid"
data_path = "{run}/data"
log = {{ {{ levels = {{ min = "debug" }}, to = "file", filename = "{self.log}" }} }}
unbound = {{ resolvconf = false; hoststxt = "{run}/hosts"; options = {{ ["local-zone:"] = "test. static"; ["do-ip6:"] = "no" }} }}
interfaces = {{ "{THEIR_PLACE}" }}
local_interfaces = {{ "{THEIR_PLACE}" }}
c2s_ports = {{ }}
c2s_direct_tls_ports = {{ {C2S} }}
s2s_ports = {{ {S2S} }}
s2s_direct_tls_ports = {{ }}
http_ports = {{ }}
https_ports = {{ }}
modules_enabled = {{ "roster"; "saslauth"; "tls"; "dialback"; "disco"; "ping"; "presence"; "message"; "iq"; {'"s2s_bidi"' if bidi else ''} }}
modules_disabled = {{ "offline" }}
authentication = "internal_plain"
s2s_require_encryption = true
s2s_secure_auth = {'true' if strict else 'false'}
certificates = "{run}/{shown}"
ssl = {{ cafile = "{run}/ca.crt" }}
VirtualHost "{THEIRS}"
Component "{ROOMS}" "muc"
""")
        if not (run / "data").exists():
            (run / "data").mkdir()
            sh("prosodyctl", "--config", str(config), "register", "romeo", THEIRS, "secret-romeo")
        self.process = subprocess.Popen(["prosody", "-F", "--config", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await_port(THEIR_PLACE, C2S)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Onetrip:
    def __init__(self, program, run, peers, shown="certs"):
        password = run / "password"
        password.write_text("secret-juliet")
        command = [program, "serve", "--domain", OURS, "--domain", SECOND, "--listen-tls", f"{OUR_PLACE}:{C2S}", "--s2s", f"{OUR_PLACE}:{S2S}", "--s2s-ca", f"{run}/ca.crt",
                   "--cert", f"{run}/{shown}/{OURS}.crt", "--key", f"{run}/{shown}/{OURS}.key", "--user", f"juliet@{OURS}", "--password-file", str(password),
                   "--user", f"juliet@{SECOND}", "--password-file", str(password)]
        for domain, place in peers.items():
            command += ["--peer", f"{domain}={place}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.ready = json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.kill()
        self.process.wait(10)


def both_ways(what, juliet, romeo, first, expected):
    """Messages both ways, with `first` opening the connection, over so many connections."""
    other = romeo if first is juliet else juliet
    for number, (sender, taker) in enumerate([(first, other), (other, first)] * 3):
        sender.message(taker.jid, f"m{number}")
        got = taker.until(f">m{number}</body>")
        right = f">m{number}</body>" in got and sender.jid in got and "jabber:server" not in got
        check(f"{what}: message {number + 1} of {sender.jid.split('/')[0]} arrives", right, got)
    check(f"{what}: {expected} TCP connection(s)", connections() == expected, connections())


def run_pair(program, run, what, opener, expected, bidi=True, dialback=False, ours="certs", theirs="certs"):
    """A fresh pair of servers."""
    prosody = Prosody(run, bidi, strict=(ours, theirs) == ("certs", "certs"), shown=theirs)
    onetrip = Onetrip(program, run, {THEIRS: f"{THEIR_PLACE}:{S2S}", ROOMS: f"{THEIR_PLACE}:{S2S}", "closed.test": "127.0.89.13:9"}, ours)
    try:
        check(f"{what}: serve says where it listens for servers", onetrip.ready.get("s2s") == f"{OUR_PLACE}:{S2S}", onetrip.ready)
        juliet, romeo = Client(OUR_PLACE, "juliet", OURS), Client(THEIR_PLACE, "romeo", THEIRS)
        both_ways(what, juliet, romeo, juliet if opener == "we" else romeo, expected)
        log = prosody.log.read_text()
        check(f"{what}: {'by dialback' if dialback else 'without dialback'}", ("Initiating dialback" in log or "db:result" in log) == dialback)
        return juliet, romeo, onetrip, prosody
    except BaseException:
        onetrip.stop()
        prosody.stop()
        raise


def stop(juliet, romeo, onetrip, prosody):
    onetrip.stop()
    prosody.stop()


def queries_and_bounces(juliet, romeo, onetrip, prosody):
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
    juliet.send(ping.format("p2", ROOMS))
    got = juliet.until("p2")
    check("a further domain of theirs answers", f"from='{ROOMS}'" in got and "remote-server" not in got, got)
    before = connections()
    second = Client(OUR_PLACE, "juliet", SECOND)
    second.message(romeo.jid, "s1")
    got = romeo.until(">s1</body>")
    check("a message from a further domain of ours arrives", second.jid in got, got)
    romeo.message(second.jid, "s2")
    got = second.until(">s2</body>")
    check("and is answered", romeo.jid in got, got)
    log = prosody.log.read_text()
    asked = "ours.test->theirs.test is now authenticated for " + SECOND in log and connections() == before + 1
    check("a further domain of ours is asked for where there is a connection; only Prosody opens one, to dial back", asked, (before, connections()))


def refused(program, run):
    """A peer that insists on certificates does not take dialback: what is sent comes back."""
    prosody = Prosody(run)
    onetrip = Onetrip(program, run, {THEIRS: f"{THEIR_PLACE}:{S2S}"}, "weak")
    try:
        juliet = Client(OUR_PLACE, "juliet", OURS)
        juliet.message(f"romeo@{THEIRS}", "x1")
        got = juliet.until("</message>")
        check("refused, a message comes back", "type='error'" in got and "remote-server-timeout" in got, got)
    finally:
        onetrip.stop()
        prosody.stop()


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as directory:
        run = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else directory)
        run.mkdir(exist_ok=True)
        run.chmod(0o755)
        sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=federation authority",
           "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", f"{run}/ca.key", "-out", f"{run}/ca.crt")
        for folder, signed in (("certs", True), ("weak", False)):
            for domain in (OURS, THEIRS):
                certificate(run, folder, domain, signed)
        servers = run_pair(program, run, "EXTERNAL, we connect", "we", 1)
        try:
            queries_and_bounces(*servers)
        finally:
            stop(*servers)
        stop(*run_pair(program, run, "EXTERNAL, Prosody connects", "they", 1))
        stop(*run_pair(program, run, "without bidi, we connect", "we", 2, bidi=False))
        stop(*run_pair(program, run, "without bidi, Prosody connects", "they", 2, bidi=False))
        # Prosody keeps the connection on which it has dialed back, and sends on that one from then on.
        for what, ours, theirs, opener, bidi, dialback, expected in (
            ("our certificate is not trusted, we connect", "weak", "certs", "we", True, True, 2),
            ("our certificate is not trusted, Prosody connects", "weak", "certs", "they", True, False, 1),
            ("Prosody's certificate is not trusted, we connect", "certs", "weak", "we", True, False, 1),
            ("Prosody's certificate is not trusted, Prosody connects", "certs", "weak", "they", True, True, 1),
            ("no certificate is trusted, we connect", "weak", "weak", "we", True, True, 2),
            ("no certificate is trusted, Prosody connects", "weak", "weak", "they", True, True, 1),
            ("no certificate is trusted, without bidi, we connect", "weak", "weak", "we", False, True, 2),
            ("no certificate is trusted, without bidi, Prosody connects", "weak", "weak", "they", False, True, 2),
        ):
            stop(*run_pair(program, run, what, opener, expected, bidi, dialback, ours, theirs))
        refused(program, run)
    sys.exit(1 if FAILED else 0)


main()

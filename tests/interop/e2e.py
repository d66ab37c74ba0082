#!/usr/bin/env python3
"""e2e.py STATE ONETRIP [DIR]: two clients of ours with a stream between them, through the embedded server and through Prosody;
and our bytestreams against slixmpp's, through Prosody.

STATE is the directory of install.sh. Each check is a line `ok` or `FAIL`; exit code 0 if all are ok."""
import json
import os
import pathlib
import select
import socket
import subprocess
import sys
import tempfile
import time

DOMAIN = "e2e.test"
PLACE, C2S, PROXY = "127.0.91.21", 15323, 15300
STANZAS, BYTES = 1000, 1_000_000
FAILED = []


def check(name, good, detail=""):
    FAILED.append(name) if not good else None
    print(f"{'ok  ' if good else 'FAIL'} e2e: {name}" + (f": {detail}" if detail or not good else ""), flush=True)


def sh(*command):
    subprocess.run(command, check=True, capture_output=True, text=True)


def await_port(host, port):
    end = time.time() + 20
    while time.time() < end:
        try:
            return socket.create_connection((host, port), 1).close()
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{host}:{port}: not up")


class Prosody:
    name = "Prosody"
    proxy = f"proxy.{DOMAIN}"

    def __init__(self, run):
        self.ca, self.port = run / "ca.crt", C2S
        sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=e2e authority",
           "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", f"{run}/ca.key", "-out", f"{run}/ca.crt")
        (run / "certs").mkdir()
        (run / "ext").write_text(f"basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:{DOMAIN}\nextendedKeyUsage=serverAuth\n")
        name = f"{run}/certs/{DOMAIN}"
        sh("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key", "-subj", f"/CN={DOMAIN}", "-out", f"{name}.csr")
        sh("openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", f"{run}/ca.crt", "-CAkey", f"{run}/ca.key", "-CAcreateserial", "-days", "30", "-extfile", f"{run}/ext", "-out", f"{name}.crt")
        config = run / "prosody.cfg.lua"
        config.write_text(f"""
run_as_root = true
daemonize = false
pidfile = "{run}/prosody.pid"
data_path = "{run}/data"
log = {{ {{ levels = {{ min = "debug" }}, to = "file", filename = "{run}/prosody.log" }} }}
interfaces = {{ "{PLACE}" }}
local_interfaces = {{ "{PLACE}" }}
c2s_ports = {{ }}
c2s_direct_tls_ports = {{ {C2S} }}
s2s_ports = {{ }}
s2s_direct_tls_ports = {{ }}
http_ports = {{ }}
https_ports = {{ }}
proxy65_ports = {{ {PROXY} }}
proxy65_interfaces = {{ "{PLACE}" }}
modules_enabled = {{ "roster"; "saslauth"; "tls"; "disco"; "ping"; "presence"; "message"; "iq" }}
modules_disabled = {{ "offline"; "s2s" }}
authentication = "internal_plain"
certificates = "{run}/certs"
limits = {{ }}
VirtualHost "{DOMAIN}"
disco_items = {{ {{ "{self.proxy}" }} }}
Component "{self.proxy}" "proxy65"
proxy65_address = "{PLACE}"
proxy65_acl = {{ "{DOMAIN}" }}
""")
        (run / "data").mkdir()
        for user in ("juliet", "romeo"):
            sh("prosodyctl", "--config", str(config), "register", user, DOMAIN, f"secret-{user}")
        self.process = subprocess.Popen(["prosody", "-F", "--config", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await_port(PLACE, C2S)
        await_port(PLACE, PROXY)
        self.place = f"{PLACE}:{C2S}"

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Serve:
    name = "onetrip serve"
    proxy = f"proxy.{DOMAIN}"

    def __init__(self, program, run):
        self.ca = run / "serve.crt"
        command = [program, "serve", "--domain", DOMAIN, "--ca-out", str(self.ca), "--proxy", "127.0.0.1:0"]
        for user in ("juliet", "romeo"):
            command += ["--user", f"{user}@{DOMAIN}", "--password-file", str(run / user)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.place = json.loads(self.process.stdout.readline())["direct_tls"]

    def stop(self):
        self.process.kill()
        self.process.wait(10)


class Program:
    """A client that prints JSON lines."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.buffer = b""

    def line(self, seconds=60):
        end = time.time() + seconds
        while b"\n" not in self.buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.time()))
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not data:
                self.process.kill()
                return {"error": self.process.stderr.read().decode()[-600:]}
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def end(self):
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def onetrip(program, run, server, user, *options):
    return Program([program, "--format", "json", "e2e", f"{user}@{DOMAIN}", "--password-file", str(run / user), "--connect", server.place, "--direct-tls",
                    "--ca-file", str(server.ca), "--allow-loopback", *options])


def slixmpp(state, server, user, way, *options):
    return Program([f"{state}/venv/bin/python", str(pathlib.Path(__file__).parent / "slixmpp_bytes.py"), "--host", PLACE, "--port", str(C2S), "--ca-file", str(server.ca),
                    "--jid", f"{user}@{DOMAIN}", "--password", f"secret-{user}", "--way", way, "--bytes", str(BYTES), *options])


def pair(waits, opens):
    """Two programs, the second opened with the address of the first; what both came to."""
    first = waits()
    jid = first.line().get("jid")
    second = opens(jid or "nobody")
    second.line()
    results = [second.line(), first.line()]
    return results, [second.end(), first.end()]


def streams(program, run, server):
    """A stream of stanzas over every transport, closed in order."""
    proxy = ("--offer", "proxy", "--proxy", server.proxy)
    ways = (
        ("direct, to the responder", "direct", (), ("--offer", "direct")),
        ("direct, to the initiator", "direct", ("--offer", "direct"), ()),
        ("proxy of the initiator", "proxy", proxy, ()),
        ("proxy of the responder", "proxy", (), proxy),
        ("in band", "ibb", ("--in-band",), ()),
        ("in band, behind SOCKS5 that failed", "ibb", (), ()),
        ("direct, text of 2009", "direct", ("--dialect", "published"), ("--offer", "direct")),
        ("proxy of the initiator, text of 2009", "proxy", ("--dialect", "published", *proxy), ()),
        ("direct, interim text", "direct", ("--dialect", "interim"), ("--dialect", "interim", "--offer", "direct")),
        ("in band, interim text", "ibb", ("--dialect", "interim", "--in-band"), ("--dialect", "interim")),
    )
    for what, transport, ours, theirs in ways:
        many = ("--stanzas", str(STANZAS))
        results, codes = pair(lambda: onetrip(program, run, server, "juliet", *many, *theirs),
                              lambda jid: onetrip(program, run, server, "romeo", "--to", jid, *many, *ours))
        right = codes == [0, 0] and all(
            result.get("transport") == transport and result.get("clean") and result.get("verification") == "announced"
            and result.get("sent") == result.get("received") == STANZAS for result in results)
        check(f"{server.name}: {STANZAS} stanzas both ways, {what}", right, f"{results[0].get('ms')} ms" if right else (codes, results))


def bytestreams(state, program, run, server):
    """Bare bytestreams, ours against slixmpp's, and each against itself for the time it takes."""
    size = ("--bytes", str(BYTES))
    ours = lambda user, *options: lambda: onetrip(program, run, server, user, *size, *options)
    opens = lambda user, *options: lambda jid: onetrip(program, run, server, user, *size, "--to", jid, *options)
    theirs = lambda user, way: lambda: slixmpp(state, server, user, way)
    they_open = lambda user, way: lambda jid: slixmpp(state, server, user, way, "--to", jid)
    proxy = ("--offer", "proxy", "--proxy", server.proxy)
    for what, waits, opener in (
        ("IBB, we open, slixmpp waits", theirs("juliet", "ibb"), opens("romeo", "--in-band")),
        ("IBB, slixmpp opens, we wait", ours("juliet"), they_open("romeo", "ibb")),
        ("IBB, both ours", ours("juliet"), opens("romeo", "--in-band")),
        ("IBB, both ours, a window of 8", ours("juliet", "--window", "8"), opens("romeo", "--in-band", "--window", "8")),
        ("IBB, both slixmpp's", theirs("juliet", "ibb"), they_open("romeo", "ibb")),
        ("SOCKS5, our streamhost, slixmpp connects", theirs("juliet", "s5b"), opens("romeo", "--offer", "direct")),
        ("SOCKS5, we offer the proxy", theirs("juliet", "s5b"), opens("romeo", *proxy)),
        ("SOCKS5, slixmpp offers the proxy", ours("juliet"), they_open("romeo", "s5b")),
    ):
        results, codes = pair(waits, opener)
        right = codes == [0, 0] and all(result.get("equal") for result in results)
        check(f"Prosody: {BYTES} bytes both ways, {what}", right, f"{results[0].get('ms')} ms" if right else (codes, results))


def main():
    state, program = sys.argv[1], str(pathlib.Path(sys.argv[2]).resolve())
    with tempfile.TemporaryDirectory() as directory:
        run = pathlib.Path(sys.argv[3] if len(sys.argv) > 3 else directory)
        run.mkdir(exist_ok=True)
        run.chmod(0o755)
        for user in ("juliet", "romeo"):
            (run / user).write_text(f"secret-{user}")
        server = Serve(program, run)
        try:
            streams(program, run, server)
        finally:
            server.stop()
        server = Prosody(run)
        try:
            streams(program, run, server)
            bytestreams(state, program, run, server)
        finally:
            server.stop()
    sys.exit(1 if FAILED else 0)


main()

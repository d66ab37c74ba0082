"""What the tests of federation share: two places on loopback, names, certificates, users on raw sockets, and the servers.

Each run has a network of its own in 127/8, so that several can go on at once. The names are known to the servers under test only."""
import base64
import json
import os
import pathlib
import socket
import ssl
import struct
import subprocess
import threading
import time

OURS, THEIRS = "ours.test", "theirs.test"
ROOMS, SECOND = f"rooms.{THEIRS}", f"second.{OURS}"
NET = f"127.{os.getpid() % 200 + 20}.89"
OUR_PLACE, THEIR_PLACE, NOBODY = f"{NET}.11", f"{NET}.12", f"{NET}.13"
C2S, S2S, S2S_TLS, DNS = 15223, 5269, 5270, 5353
FAILED = []


def check(name, good, detail=""):
    FAILED.append(name) if not good else None
    print(f"{'ok  ' if good else 'FAIL'} federation: {name}" + (f": {detail}" if not good else ""), flush=True)


def sh(*command):
    subprocess.run(command, check=True, capture_output=True, text=True)


def authority(run):
    """An authority, and for both servers a certificate that it has signed and one that nobody has."""
    run.mkdir(exist_ok=True)
    run.chmod(0o755)
    sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=federation authority",
       "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", f"{run}/ca.key", "-out", f"{run}/ca.crt")
    for folder, signed in (("certs", True), ("weak", False)):
        for domain in (OURS, THEIRS):
            certificate(run, folder, domain, signed)


def certificate(run, folder, domain, signed):
    """A key and a certificate, signed by the authority or else by itself."""
    (run / folder).mkdir(exist_ok=True)
    name = f"{folder}/{domain}"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{run}/{name}.key", "-subj", f"/CN={domain}"]
    (run / "ext").write_text(f"basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:{domain},DNS:{SECOND if domain == OURS else ROOMS}\nextendedKeyUsage=serverAuth,clientAuth\n")
    sh("openssl", "req", "-new", *key, "-out", f"{run}/{name}.csr")
    sign = ["-CA", f"{run}/ca.crt", "-CAkey", f"{run}/ca.key", "-CAcreateserial"] if signed else ["-signkey", f"{run}/{name}.key"]
    sh("openssl", "x509", "-req", "-in", f"{run}/{name}.csr", *sign, "-days", "30", "-extfile", f"{run}/ext", "-out", f"{run}/{name}.crt")
    (run / f"{name}.pem").write_text("".join((run / f"{name}.{part}").read_text() for part in ("crt", "key")))


class Names:
    """DNS for the domains of both servers: where they are, and at which port with STARTTLS or with TLS from the first byte.

    The targets of SRV are addresses, since ejabberd asks this server for SRV alone."""

    def __init__(self, direct=False):
        self.direct = direct
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((THEIR_PLACE, DNS))
        self.socket.settimeout(0.05)
        self.over = False
        self.thread = threading.Thread(target=self.answer, daemon=True)
        self.thread.start()

    def answer(self):
        while not self.over:
            try:
                query, asker = self.socket.recvfrom(4096)
            except TimeoutError:
                continue
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
                at += query[at] + 1
            question, kind = query[12:at + 5], query[at + 2]
            record = self.record(".".join(labels), kind)
            counts = struct.pack(">HHHH", 1, bool(record), 0, 0)
            answer = b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(record)) + record if record else b""
            self.socket.sendto(query[:2] + (b"\x85\x80" if record else b"\x85\x83") + counts + question + answer, asker)

    def record(self, name, kind):
        places = {OURS: OUR_PLACE, SECOND: OUR_PLACE, THEIRS: THEIR_PLACE, ROOMS: THEIR_PLACE}
        ports = {"_xmpps-server._tcp.": S2S_TLS} if self.direct else {"_xmpp-server._tcp.": S2S}
        if kind == 1:
            place = places.get(name)
            if place is None and name.replace(".", "").isdigit():
                place = name
            return place and socket.inet_aton(place)
        for service, port in ports.items():
            if kind == 33 and name.startswith(service) and name[len(service):] in places:
                target = b"".join(bytes([len(part)]) + part.encode() for part in places[name[len(service):]].split("."))
                return struct.pack(">HHH", 0, 0, port) + target + b"\0"
        return None

    def stop(self):
        self.over = True
        self.thread.join()
        self.socket.close()


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


def connections(ports=(S2S, S2S_TLS)):
    """How many TCP connections there are between the two servers."""
    count = 0
    places = {"".join(f"{int(part):02X}" for part in reversed(place.split("."))) for place in (OUR_PLACE, THEIR_PLACE)}
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        address, port = local.split(":")
        count += state == "01" and int(port, 16) in ports and address in places
    return count


def settle(expected):
    """How many connections there are, once those for a verification alone have been closed."""
    end = time.time() + 3
    while connections() != expected and time.time() < end:
        time.sleep(0.02)
    return connections()


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
    """`home` is where another version than the installed one has been unpacked, `direct` says that it looks for other servers
    where TLS begins with the first byte."""

    def __init__(self, run, bidi=True, strict=True, shown="certs", direct=False, home="/"):
        self.names = Names(direct)
        self.log = run / f"prosody-{time.time()}.log"
        config = run / "prosody.cfg.lua"
        config.write_text(f"""
run_as_root = true
daemonize = false
pidfile = "{run}/prosody.pid"
data_path = "{run}/data"
log = {{ {{ levels = {{ min = "debug" }}, to = "file", filename = "{self.log}" }} }}
unbound = {{ resolvconf = false; forward = {{ "{THEIR_PLACE}@{DNS}" }}; options = {{ ["local-zone:"] = "test. transparent"; ["do-ip6:"] = "no"; ["do-not-query-localhost:"] = "no" }} }}
interfaces = {{ "{THEIR_PLACE}" }}
local_interfaces = {{ "{THEIR_PLACE}" }}
c2s_ports = {{ }}
c2s_direct_tls_ports = {{ {C2S} }}
s2s_ports = {{ {S2S} }}
s2s_direct_tls_ports = {{ {S2S_TLS} }}
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
            sh(f"{home}/usr/bin/prosodyctl", "--config", str(config), "register", "romeo", THEIRS, "secret-romeo")
        self.process = subprocess.Popen([f"{home}/usr/bin/prosody", "-F", "--config", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await_port(THEIR_PLACE, C2S)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.names.stop()


class Ejabberd:
    """`home` and `direct` as above."""

    def __init__(self, run, bidi=True, strict=True, shown="certs", home=None, direct=False):
        folder = run / f"ejabberd-{time.time()}"
        folder.mkdir()
        self.log = folder / "log"
        self.names = Names(direct)
        place = THEIR_PLACE.replace(".", ",")
        (folder / "inetrc").write_text(f'{{resolv_conf,""}}.\n{{hosts_file,""}}.\n{{lookup,[dns]}}.\n{{nameserver,{{{place}}},{DNS}}}.\n{{timeout,2000}}.\n{{retry,1}}.\n{{cache_size,0}}.\n')
        (folder / "ejabberd.yml").write_text(f"""
hosts: ["{THEIRS}"]
loglevel: info
certfiles: ["{run}/{shown}/{THEIRS}.pem"]
ca_file: "{run}/ca.crt"
listen:
  - {{ port: {C2S}, ip: "{THEIR_PLACE}", module: ejabberd_c2s, tls: true }}
  - {{ port: {S2S}, ip: "{THEIR_PLACE}", module: ejabberd_s2s_in }}
  - {{ port: {S2S_TLS}, ip: "{THEIR_PLACE}", module: ejabberd_s2s_in, tls: true }}
s2s_use_starttls: required
s2s_cafile: "{run}/ca.crt"
s2s_dns_retries: 1
s2s_dns_timeout: 3 s
outgoing_s2s_families: [ipv4]
outgoing_s2s_ipv4_address: "{THEIR_PLACE}"
auth_method: [internal]
auth_password_format: plain
disable_sasl_mechanisms: [digest-md5, X-OAUTH2]
modules:
  mod_disco: {{}}
  mod_ping: {{}}
  mod_muc: {{ host: "{ROOMS}" }}
  {"mod_s2s_dialback: {}" if not strict else ""}
  {"mod_s2s_bidi: {}" if bidi and home else ""}
""")
        wait = ("W = fun W() -> case catch ejabberd:is_loaded() andalso lists:keymember(ejabberd,1,application:which_applications()) of "
                "true -> ok; _ -> timer:sleep(100), W() end end, W(), timer:sleep(300),")
        script = f'spawn(fun() -> {wait} ejabberd_auth:try_register(<<"romeo">>,<<"{THEIRS}">>,<<"secret-romeo">>), file:write_file("{folder}/ready", <<"yes">>) end).'
        libraries = "/usr/lib/x86_64-linux-gnu" if home is None else f"{home}/usr/lib/erlang/lib:{home}/usr/lib/x86_64-linux-gnu"
        environment = dict(os.environ, EJABBERD_CONFIG_PATH=f"{folder}/ejabberd.yml", EJABBERD_LOG_PATH=str(self.log), ERL_LIBS=libraries,
                           ERL_INETRC=f"{folder}/inetrc", ERL_CRASH_DUMP=f"{folder}/crash", HOME=str(folder))
        self.process = subprocess.Popen(["erl", "-noinput", "+S", "2:2", "-mnesia", "dir", f'"{folder}/mnesia"', "-s", "ejabberd", "-eval", script],
                                        cwd=folder, env=environment, stdout=open(folder / "out", "w"), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        await_port(THEIR_PLACE, C2S)
        end = time.time() + 20
        while not (folder / "ready").exists() and time.time() < end:
            time.sleep(0.05)

    def stop(self):
        """It writes its log when it ends."""
        self.process.terminate()
        self.process.wait(20)
        self.names.stop()


class Onetrip:
    def __init__(self, program, run, peers, shown="certs", direct=False, more=()):
        password = run / "password"
        password.write_text("secret-juliet")
        command = [program, "serve", "--domain", OURS, "--domain", SECOND, "--listen-tls", f"{OUR_PLACE}:{C2S}", "--s2s", f"{OUR_PLACE}:{S2S}", "--s2s-tls", f"{OUR_PLACE}:{S2S_TLS}",
                   "--s2s-ca", f"{run}/ca.crt", "--cert", f"{run}/{shown}/{OURS}.crt", "--key", f"{run}/{shown}/{OURS}.key",
                   "--user", f"juliet@{OURS}", "--password-file", str(password), "--user", f"juliet@{SECOND}", "--password-file", str(password), *more]
        port = S2S_TLS if direct else S2S
        for domain, place in {**{domain: f"{THEIR_PLACE}:{port}" for domain in (THEIRS, ROOMS)}, **peers}.items():
            command += ["--peer-tls" if direct else "--peer", f"{domain}={place}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.ready = json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.kill()
        self.process.wait(10)


class Pair:
    """A fresh pair of servers and a user of each."""

    def __init__(self, program, run, what, theirs, ours="certs", direct=False, peers=(), more=()):
        self.what, self.theirs = what, theirs
        try:
            self.onetrip = Onetrip(program, run, dict(peers), ours, direct, more)
        except BaseException:
            theirs.stop()
            raise

    def __enter__(self):
        try:
            ready = self.onetrip.ready
            check(f"{self.what}: serve says where it listens for servers", (ready.get("s2s"), ready.get("s2s_direct_tls")) == (f"{OUR_PLACE}:{S2S}", f"{OUR_PLACE}:{S2S_TLS}"), ready)
            self.juliet, self.romeo = Client(OUR_PLACE, "juliet", OURS), Client(THEIR_PLACE, "romeo", THEIRS)
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.onetrip.stop()
        self.theirs.stop()

    def both_ways(self, we, expected, direct=False):
        """Messages both ways, with us or with them opening the connection, over so many connections."""
        first, other = (self.juliet, self.romeo) if we else (self.romeo, self.juliet)
        for number, (sender, taker) in enumerate([(first, other), (other, first)] * 3):
            sender.message(taker.jid, f"m{number}")
            got = taker.until(f">m{number}</body>")
            right = f">m{number}</body>" in got and sender.jid in got and "jabber:server" not in got
            check(f"{self.what}: message {number + 1} of {sender.jid.split('/')[0]} arrives", right, got)
        count, secured = settle(expected), connections((S2S_TLS,))
        check(f"{self.what}: {expected} TCP connection(s)" + (", direct TLS" if direct else ""), (count, secured) == (expected, expected if direct else 0), (count, secured))

    def further_domains(self, rooms, second, back):
        """A further domain of theirs, one of ours, and the answer of theirs to that one: over so many more connections."""
        before = connections()
        self.juliet.send(f"<iq type='get' id='p2' to='{ROOMS}'><ping xmlns='urn:xmpp:ping'/></iq>")
        got = self.juliet.until("p2")
        check(f"{self.what}: a further domain of theirs answers, {rooms} more connection(s)", f"from='{ROOMS}'" in got and "remote-server" not in got and settle(before + rooms) == before + rooms, (before, connections(), got))
        other = Client(OUR_PLACE, "juliet", SECOND)
        before = connections()
        other.message(self.romeo.jid, "s1")
        got = self.romeo.until(">s1</body>")
        check(f"{self.what}: a message from a further domain of ours arrives, {second} more connection(s)", other.jid in got and settle(before + second) == before + second, (before, connections(), got))
        before = connections()
        self.romeo.message(other.jid, "s2")
        got = other.until(">s2</body>")
        check(f"{self.what}: and is answered, {back} more connection(s)", self.romeo.jid in got and settle(before + back) == before + back, (before, connections(), got))


def levels(program, run, theirs, name, bidi):
    """QS-R10 between servers: header, `<bidi/>` and `<auth/>` in one write save two waits, always; what a race saves beyond that it never costs."""
    strategies = [f"s2s-{level}-starttls-external-bidi" for level in ("classic", "safe", "paced", "quickstart")]
    command = [program, "compare", THEIRS, "--connect", f"{THEIR_PLACE}:{S2S}", "--local", OURS, "--listen", f"{OUR_PLACE}:{S2S}", "--ca-file", f"{run}/ca.crt",
               "--cert", f"{run}/certs/{OURS}.crt", "--key", f"{run}/certs/{OURS}.key", "--rtt", "100ms", "--format", "json"]
    try:
        done = subprocess.run([*command, *(word for strategy in strategies for word in ("--strategy", strategy))], capture_output=True, text=True, timeout=120)
    finally:
        theirs.stop()
    rows = {row["strategy"]: row for row in map(json.loads, done.stdout.splitlines())}
    for strategy, trips in zip(strategies, (7, 5, 3, None)):
        row = rows.get(strategy, {})
        got, level = row.get("rtt_to_send"), strategy.split("-")[1]
        good = row.get("lost") == 0
        if level in ("classic", "safe"):
            good = good and got == trips and row.get("second_connections") == 0 and (not bidi or row.get("rtt_to_answer") == trips + 1)
        elif level == "paced":
            good = good and got in (trips, None)
        else:
            good = good and got is None
        check(f"{name}, {level}: {trips or 'does not take one write, and what was sent is answered'}" + (" round trips" if trips else ""), good, row or done.stderr[-300:])

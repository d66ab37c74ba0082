"""The servers that clients log in to: Prosody and ejabberd, as installed or unpacked elsewhere, with juliet and romeo on each."""
import os
import pathlib
import signal
import socket
import subprocess
import time
import typing

USERS = {"juliet": "balcony-Secret1", "romeo": "orchard-Secret2"}
STARTTLS, DIRECT = 15222, 15223
PROCESSES = []


class Peer(typing.NamedTuple):
    """A server, with its domain on an address of its own; `home` is where it has been unpacked, a version that has SASL2 and tokens."""
    name: str
    host: str
    domain: str
    home: pathlib.Path | None = None


def sh(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options)


def certificates(run, domains):
    """An authority, and a certificate for each domain."""
    certs = run / "certs"
    certs.mkdir(parents=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    sh("openssl", "req", "-x509", *key, "-days", "30", "-subj", "/CN=interop authority",
       "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", str(certs / "ca.key"), "-out", str(certs / "ca.crt"))
    for domain in domains:
        (certs / "ext").write_text(f"subjectAltName=DNS:{domain}\nextendedKeyUsage=serverAuth\n")
        sh("openssl", "req", "-new", *key, "-subj", f"/CN={domain}", "-keyout", str(certs / f"{domain}.key"), "-out", str(certs / f"{domain}.csr"))
        sh("openssl", "x509", "-req", "-in", str(certs / f"{domain}.csr"), "-CA", str(certs / "ca.crt"), "-CAkey", str(certs / "ca.key"), "-CAcreateserial",
           "-days", "30", "-extfile", str(certs / "ext"), "-out", str(certs / f"{domain}.crt"))
        pem = "".join((certs / f"{domain}.{part}").read_text() for part in ("crt", "key"))
        (certs / f"{domain}.pem").write_text(pem)
    for file in certs.iterdir():
        file.chmod(0o644)


def start(run, name, command, **options):
    log = open(run / f"{name}.out", "w")
    PROCESSES.append(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, **options))


def stop():
    for process in PROCESSES:
        try:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            process.kill()


def await_port(host, port, seconds=40):
    end = time.time() + seconds
    while time.time() < end:
        try:
            socket.create_connection((host, port), 1).close()
            return True
        except OSError:
            time.sleep(0.1)
    return False


def await_peer(run, peer):
    """Until it listens, and has its accounts."""
    up = await_port(peer.host, STARTTLS)
    end = time.time() + 20
    while up and not (run / peer.domain / "ready").exists() and time.time() < end:
        time.sleep(0.1)
    return up and (run / peer.domain / "ready").exists()


def prosody(run, peer):
    _, host, domain, home = peer
    folder, certs = run / domain, run / "certs"
    folder.mkdir()
    config = folder / "prosody.cfg.lua"
    newer = '"sasl2"; "sasl2_bind2"; "sasl2_fast"; "sasl2_sm"' if home else ""
    config.write_text(f"""
run_as_root = true
daemonize = false
pidfile = "{folder}/pid"
data_path = "{folder}"
log = {{ {{ levels = {{ min = "info" }}, to = "file", filename = "{folder}/log" }} }}
interfaces = {{ "{host}" }}
c2s_ports = {{ {STARTTLS} }}
c2s_direct_tls_ports = {{ {DIRECT} }}
s2s_ports = {{ }}
certificates = "{certs}"
http_ports = {{ }}
https_ports = {{ }}
modules_enabled = {{ "roster"; "saslauth"; "tls"; "disco"; "ping"; "smacks"; "carbons"; {newer} }}
modules_disabled = {{ "s2s"; "offline" }}
authentication = "internal_plain"
c2s_require_encryption = true
VirtualHost "{domain}"
  ssl = {{ key = "{certs}/{domain}.key"; certificate = "{certs}/{domain}.crt" }}
""")
    programs = f"{home or ''}/usr/bin"
    for user, password in USERS.items():
        sh(f"{programs}/prosodyctl", "--config", str(config), "register", user, domain, password)
    start(run, domain, [f"{programs}/prosody", "-F", "--config", str(config)])
    (folder / "ready").touch()


def ejabberd(run, peer):
    _, host, domain, home = peer
    folder, certs = run / domain, run / "certs"
    folder.mkdir()
    config = folder / "ejabberd.yml"
    config.write_text(f"""
hosts: ["{domain}"]
loglevel: info
certfiles: ["{certs}/{domain}.pem"]
listen:
  - {{ port: {STARTTLS}, ip: "{host}", module: ejabberd_c2s, starttls_required: true }}
  - {{ port: {DIRECT}, ip: "{host}", module: ejabberd_c2s, tls: true }}
auth_method: [internal]
auth_password_format: plain
disable_sasl_mechanisms: [digest-md5, X-OAUTH2]
modules:
  mod_disco: {{}}
  mod_ping: {{}}
  mod_roster: {{}}
  mod_stream_mgmt: {{}}
  {"mod_auth_fast: {}" if home else ""}
""")
    register = " ".join(f'ejabberd_auth:try_register(<<"{user}">>,<<"{domain}">>,<<"{password}">>),' for user, password in USERS.items())
    wait = ("W = fun W() -> case catch ejabberd:is_loaded() andalso lists:keymember(ejabberd,1,application:which_applications()) of "
            "true -> ok; _ -> timer:sleep(200), W() end end, W(), timer:sleep(500),")
    script = f'spawn(fun() -> {wait} {register} file:write_file("{folder}/ready", <<"yes">>) end).'
    system = "usr/lib/x86_64-linux-gnu"
    libraries = f"{home}/usr/lib/erlang/lib:{home}/{system}" if home else f"/{system}"
    environment = dict(os.environ, EJABBERD_CONFIG_PATH=str(config), EJABBERD_LOG_PATH=str(folder / "log"), ERL_LIBS=libraries,
                       ERL_CRASH_DUMP=str(folder / "crash"), HOME=str(folder))
    start(run, domain, ["erl", "-noinput", "+S", "2:2", "-mnesia", "dir", f'"{folder}/mnesia"', "-s", "ejabberd", "-eval", script], cwd=folder, env=environment)

"""The program on a terminal: what it draws fits, and Ctrl-C leaves the terminal as it was.

terminal.py PROGRAM; needs nothing but a kernel with pseudo-terminals. One JSON line per check; exit code 1 if one fails.
"""
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time

PROGRAM = sys.argv[1]
FAILED = []
AFTER_A_SECOND = object()


def check(what, good, more=""):
    print(json.dumps({"check": what, "ok": bool(good), **({} if good else {"more": str(more)[-600:]})}), flush=True)
    if not good:
        FAILED.append(what)


def on_terminal(arguments, interrupt=None, patience=60, **variables):
    """Runs the program on a terminal of 80 columns; presses Ctrl-C as soon as `interrupt` was shown. Returns what was shown, the
    exit code, and whether the terminal's settings are what they were."""
    keyboard, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    before = termios.tcgetattr(terminal)
    environment = {**os.environ, "TERM": "xterm-256color", "ONETRIP_PASSWORD": "x", **variables}
    if "NO_COLOR" not in variables:
        environment.pop("NO_COLOR", None)

    def lead():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen([PROGRAM, *arguments], stdin=terminal, stdout=terminal, stderr=terminal,
                               env=environment, preexec_fn=lead)
    shown, sent, end = b"", False, time.monotonic() + patience
    while time.monotonic() < end:
        if select.select([keyboard], [], [], 0.1)[0]:
            shown += os.read(keyboard, 65536)
        elif process.poll() is not None:
            break
        due = time.monotonic() > end - patience + 1 if interrupt is AFTER_A_SECOND else interrupt and re.search(interrupt, shown)
        if due and not sent:
            os.write(keyboard, b"\x03")
            sent = True
    else:
        process.send_signal(signal.SIGKILL)
    code = process.wait()
    same = termios.tcgetattr(terminal) == before
    os.close(keyboard)
    os.close(terminal)
    return shown.decode(errors="replace"), code, same


def left_as_it_was(shown):
    """Nothing is switched on that is not switched off: colours, the cursor, another screen; the last line is empty."""
    styles = re.findall(r"\x1b\[([0-9;]*)m", shown)
    plain = not styles or styles[-1] in ("", "0")
    modes = re.findall(r"\x1b\[\?([0-9]+)([hl])", shown)
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).split("\n")[-1]
    # What stands on a line behind its last carriage return, and not as blanks.
    visible = last.split("\r")[-1].strip().replace("^C", "")
    return plain and not modes and not visible


def widest(shown):
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    lines = [part for line in text.replace("\r\n", "\n").split("\n") for part in line.split("\r")]
    return max(lines, key=len)


def interrupts():
    silent = socket.create_server(("127.0.0.1", 0))
    place = "127.0.0.1:%d" % silent.getsockname()[1]
    who = ["juliet@capulet.lit", "--connect", place]
    for arguments, when, wanted in (
        (["compare", "--rtt", "200ms"], rb"c2s-classic[a-z-]* \.\.\.", 130),
        (["compare", *who], rb"c2s-classic[a-z-]* \.\.\.", 130),
        (["compare", "--rtt", "30ms", "--color", "always"], rb"c2s-quickstart", 130),
        (["trace", *who], None, 130),
        (["e2e", *who], None, 130),
        (["probe", "capulet.lit", "--connect", place], rb"capulet.lit", 130),
        (["serve"], rb'"ready":true', 0),
    ):
        # What shows nothing while it waits is given a second to begin to.
        shown, code, same = on_terminal(arguments, when or AFTER_A_SECOND, 30)
        good = code == wanted and same and left_as_it_was(shown)
        check("Ctrl-C leaves the terminal as it was: onetrip " + " ".join(arguments[:1] + arguments[-2:]), good, (code, same, shown))


def forms():
    with tempfile.TemporaryDirectory() as folder:
        record = os.path.join(folder, "record.json")
        subprocess.run([PROGRAM, "trace", "--simulate", "-o", record], check=True, capture_output=True)
        served = subprocess.Popen([PROGRAM, "serve", "--domain", "capulet.lit", "--ca-out", os.path.join(folder, "ca.pem")],
                                  stdout=subprocess.PIPE, text=True)
        place = json.loads(served.stdout.readline())["starttls"]
        try:
            for arguments in (
                ["compare", "--runs", "2"],
                ["compare", "--strategy", "c2s-paced-starttls-plain", "--strategy", "c2s-isr-direct", "--runs", "2"],
                ["simulate"],
                ["simulate", "--strategy", "s2s-quickstart-starttls-dialback-two", "--ladder"],
                ["simulate", "--rtt", "5s", "--rate", "2400", "--strategy", "s2s-zero-tls", "--ladder"],
                ["trace", "--strategy", "c2s-quickstart-direct-external"],
                ["replay", record],
                ["probe", "capulet.lit", "--connect", place, "--ca-file", os.path.join(folder, "ca.pem")],
            ):
                name = "onetrip " + " ".join(arguments[:3])
                shown, code, _ = on_terminal(arguments)
                wide = widest(shown)
                check(f"{name} fits 80 columns", code == 0 and len(wide) <= 80, (code, len(wide), wide))
                check(f"{name} leaves the terminal as it was", left_as_it_was(shown), shown)
                shown, code, _ = on_terminal([*arguments, "--ascii"], NO_COLOR="1")
                strange = sorted({letter for letter in shown if ord(letter) > 126 or letter == "\x1b"})
                check(f"{name} --ascii, without colour", code == 0 and not strange, (code, strange))
        finally:
            served.kill()


interrupts()
forms()
sys.exit(bool(FAILED))

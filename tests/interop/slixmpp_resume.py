#!/usr/bin/env python3
"""A slixmpp client whose socket is cut resumes its session (XEP-0198): every message comes once, and in order.

Prints one JSON line, exit code 0 if all went well."""
import argparse
import asyncio
import json
import sys

import slixmpp

BEFORE, MEANWHILE, BEHIND = 5, 5, 5


class Client(slixmpp.ClientXMPP):
    def __init__(self, jid, password, options):
        super().__init__(jid, password)
        self.options = options
        self.online = asyncio.get_event_loop().create_future()
        self.enabled = asyncio.get_event_loop().create_future()
        self.resumed = asyncio.get_event_loop().create_future()
        self.sessions = 0
        self.bodies = []
        self.inbox = asyncio.Condition()
        for plugin in ("xep_0030", "xep_0198", "xep_0199"):
            self.register_plugin(plugin)
        self.ca_certs = options.ca_file
        self.end_session_on_disconnect = False
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("sm_enabled", lambda _: self.enabled.done() or self.enabled.set_result(None))
        self.add_event_handler("session_resumed", lambda _: self.resumed.done() or self.resumed.set_result(None))
        self.add_event_handler("message", self.message)
        self.add_event_handler("failed_all_auth", lambda _: self.online.set_exception(RuntimeError("authentication failed")))

    async def started(self, _):
        self.sessions += 1
        self.send_presence()
        if not self.online.done():
            self.online.set_result(None)

    async def message(self, message):
        async with self.inbox:
            self.bodies.append(message["body"])
            self.inbox.notify_all()

    async def have(self, count):
        async with self.inbox:
            await self.inbox.wait_for(lambda: len(self.bodies) >= count)

    def go(self):
        self.enable_direct_tls = self.options.mode == "direct"
        self.enable_starttls = self.options.mode == "starttls"
        self.enable_plaintext = False
        self.connect(self.options.host, self.options.port)


async def run(options):
    one = Client(options.user1, options.pass1, options)
    two = Client(options.user2, options.pass2, options)
    one.go()
    two.go()
    await asyncio.gather(one.online, two.online, one.enabled, two.enabled)
    address = one.boundjid.full

    def say(first, count):
        for number in range(first, first + count):
            two.send_message(mto=address, mbody=f"number {number}", mtype="chat")

    say(0, BEFORE)
    await one.have(BEFORE)
    # Its own words, said into a socket that dies at once.
    cut = one.disconnected
    one.transport.abort()
    await cut
    say(BEFORE, MEANWHILE)
    await asyncio.sleep(0.5)
    one.go()
    await one.resumed
    await one.have(BEFORE + MEANWHILE)
    say(BEFORE + MEANWHILE, BEHIND)
    await one.have(BEFORE + MEANWHILE + BEHIND)
    expected = [f"number {number}" for number in range(BEFORE + MEANWHILE + BEHIND)]
    assert one.bodies == expected, one.bodies
    assert one.boundjid.full == address, (one.boundjid.full, address)
    assert one.sessions == 1, "a new session instead of the old one"
    one.send_message(mto=two.boundjid.full, mbody="back again", mtype="chat")
    await two.have(1)
    assert two.bodies == ["back again"], two.bodies
    one.disconnect()
    two.disconnect()
    await asyncio.gather(one.disconnected, two.disconnected)
    return {"ok": True, "client": f"slixmpp {slixmpp.__version__}", "mode": options.mode, "messages": len(expected)}


def main():
    parser = argparse.ArgumentParser()
    for name in ("host", "ca-file", "user1", "pass1", "user2", "pass2"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mode", choices=("starttls", "direct"), required=True)
    parser.add_argument("--debug", action="store_true")
    options = parser.parse_args()
    if options.debug:
        import logging
        logging.basicConfig(level=logging.DEBUG)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        result = loop.run_until_complete(asyncio.wait_for(run(options), 20))
    except Exception as error:  # any reason is a failure, and is told
        print(json.dumps({"ok": False, "reason": f"{type(error).__name__}: {error}"}))
        sys.exit(1)
    print(json.dumps(result))


main()

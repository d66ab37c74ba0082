#!/usr/bin/env python3
"""Two slixmpp clients log in, exchange messages and ping their server; prints one JSON line, exit code 0 if all went well."""
import argparse
import asyncio
import json
import ssl
import sys

import slixmpp


class Client(slixmpp.ClientXMPP):
    def __init__(self, jid, password, options):
        super().__init__(jid, password)
        self.options = options
        self.online = asyncio.get_event_loop().create_future()
        self.inbox = asyncio.Queue()
        self.mechanism = None
        for plugin in ("xep_0030", "xep_0199"):
            self.register_plugin(plugin)
        self.ca_certs = options.ca_file
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("message", lambda message: self.inbox.put_nowait(message))
        self.add_event_handler("failed_all_auth", lambda _: self.fail("authentication failed"))
        self.add_event_handler("connection_failed", lambda reason: self.fail(f"no connection: {reason}"))
        self.add_event_handler("auth_success", lambda _: None)

    def fail(self, reason):
        if not self.online.done():
            self.online.set_exception(RuntimeError(reason))

    async def started(self, _):
        self.send_presence()
        await self.get_roster()
        mech = self["feature_mechanisms"].mech
        self.mechanism = getattr(mech, "name", None)
        if not self.online.done():
            self.online.set_result(None)

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
    await asyncio.gather(one.online, two.online)
    one.send_message(mto=two.boundjid.full, mbody="wherefore art thou?", mtype="chat")
    first = await two.inbox.get()
    assert first["body"] == "wherefore art thou?", first
    assert first["from"] == one.boundjid, first["from"]
    two.send_message(mto=one.boundjid.bare, mbody="here <&> 'now' \u2764", mtype="chat")
    second = await one.inbox.get()
    assert second["body"] == "here <&> 'now' \u2764", second
    await one["xep_0199"].send_ping(one.boundjid.domain, timeout=5)
    info = await two["xep_0030"].get_info(jid=two.boundjid.domain, timeout=5)
    features = len(info["disco_info"]["features"])
    one.disconnect()
    two.disconnect()
    await asyncio.gather(one.disconnected, two.disconnected)
    return {"ok": True, "client": f"slixmpp {slixmpp.__version__}", "mode": options.mode, "mechanism": one.mechanism, "features": features}


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

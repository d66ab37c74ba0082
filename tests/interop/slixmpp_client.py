"""What the slixmpp scripts share: a client that is told where to go, and a program around a coroutine.

The program prints one JSON line, exit code 0 if all went well."""
import argparse
import asyncio
import json
import sys

import slixmpp


class Client(slixmpp.ClientXMPP):
    def __init__(self, jid, password, options, plugins):
        super().__init__(jid, password)
        self.options = options
        self.online = asyncio.get_event_loop().create_future()
        for plugin in ("xep_0030", "xep_0199", *plugins):
            self.register_plugin(plugin)
        self.ca_certs = options.ca_file
        self.add_event_handler("failed_all_auth", lambda _: self.fail("authentication failed"))
        self.add_event_handler("connection_failed", lambda reason: self.fail(f"no connection: {reason}"))

    def fail(self, reason):
        if not self.online.done():
            self.online.set_exception(RuntimeError(reason))

    def go(self):
        self.enable_direct_tls = self.options.mode == "direct"
        self.enable_starttls = self.options.mode == "starttls"
        self.enable_plaintext = False
        self.connect(self.options.host, self.options.port)


def main(run):
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
    print(json.dumps({"ok": True, "client": f"slixmpp {slixmpp.__version__}", "mode": options.mode, **result}))

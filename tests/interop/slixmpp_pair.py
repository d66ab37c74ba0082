#!/usr/bin/env python3
"""Two slixmpp clients log in, exchange messages and ping their server."""
import asyncio

import slixmpp_client


class Client(slixmpp_client.Client):
    def __init__(self, jid, password, options):
        super().__init__(jid, password, options, ())
        self.inbox = asyncio.Queue()
        self.mechanism = None
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("message", lambda message: self.inbox.put_nowait(message))

    async def started(self, _):
        self.send_presence()
        await self.get_roster()
        mech = self["feature_mechanisms"].mech
        self.mechanism = getattr(mech, "name", None)
        if not self.online.done():
            self.online.set_result(None)


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
    return {"mechanism": one.mechanism, "features": features}


slixmpp_client.main(run)

#!/usr/bin/env python3
"""A slixmpp client whose socket is cut resumes its session (XEP-0198): every message comes once, and in order."""
import asyncio

import slixmpp_client

BEFORE, MEANWHILE, BEHIND = 5, 5, 5


class Client(slixmpp_client.Client):
    def __init__(self, jid, password, options):
        super().__init__(jid, password, options, ("xep_0198",))
        self.enabled = asyncio.get_event_loop().create_future()
        self.resumed = asyncio.get_event_loop().create_future()
        self.sessions = 0
        self.bodies = []
        self.inbox = asyncio.Condition()
        self.end_session_on_disconnect = False
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("sm_enabled", lambda _: self.enabled.done() or self.enabled.set_result(None))
        self.add_event_handler("session_resumed", lambda _: self.resumed.done() or self.resumed.set_result(None))
        self.add_event_handler("message", self.message)

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
    return {"messages": len(expected)}


slixmpp_client.main(run)

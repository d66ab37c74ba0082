#!/usr/bin/env python3
"""A slixmpp client at one end of a bytestream (xep_0047, xep_0065): so many bytes each way.

Prints its address as one JSON line when it is there, and what came of it as another; exit code 0 if the bytes are right."""
import argparse
import asyncio
import json
import sys
import time

import slixmpp_client


def pattern(opener, length):
    step, start = (31, 7) if opener else (17, 3)
    return bytes((at * step + start) % 251 for at in range(length))


class Client(slixmpp_client.Client):
    def __init__(self, options):
        super().__init__(options.jid, options.password, options, ("xep_0047", "xep_0065"))
        self.plugin["xep_0047"].auto_accept = True
        self.plugin["xep_0065"].auto_accept = True
        self.add_event_handler("session_start", self.started)
        self.opened = asyncio.get_event_loop().create_future()
        self.taken = bytearray()
        self.complete = asyncio.Event()
        for event in ("ibb_stream_start", "socks5_stream"):
            self.add_event_handler(event, lambda stream: self.opened.done() or self.opened.set_result(stream))
        self.add_event_handler("ibb_stream_data", lambda stream: self.take(stream.read()))
        self.add_event_handler("socks5_data", self.take)

    def take(self, data):
        self.taken += data
        if len(self.taken) >= self.options.bytes:
            self.complete.set()

    async def started(self, _):
        self.send_presence()
        self.online.set_result(None)


async def run(options):
    client = Client(options)
    client.go()
    await client.online
    print(json.dumps({"ready": True, "jid": str(client.boundjid)}), flush=True)
    opener = options.to is not None
    begun = time.monotonic()
    if opener and options.way == "ibb":
        stream = await client.plugin["xep_0047"].open_stream(options.to)
    elif opener:
        stream = await client.plugin["xep_0065"].handshake(options.to)
    else:
        stream = await client.opened
        begun = time.monotonic()
    data = pattern(opener, options.bytes)
    if options.way == "ibb":
        await stream.sendall(data)
        await client.complete.wait()
        if opener:
            await stream.close()
        else:
            while not stream.stream_in_closed:
                await asyncio.sleep(0.01)
    else:
        await stream.write(data)
        # Prosody's proxy keeps the end of what it was given until more comes.
        await asyncio.sleep(0.3)
        await stream.write(b" ")
        await client.complete.wait()
        spent = time.monotonic() - begun
        await asyncio.sleep(1)
        stream.transport.close()
    if options.way == "ibb":
        spent = time.monotonic() - begun
    equal = bytes(client.taken[:options.bytes]) == pattern(not opener, options.bytes)
    print(json.dumps({"bytes": options.bytes, "equal": equal, "ms": round(spent * 1000, 1)}), flush=True)
    client.disconnect()
    await client.disconnected
    return equal


def main():
    parser = argparse.ArgumentParser()
    for name in ("host", "ca-file", "jid", "password"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mode", default="direct")
    parser.add_argument("--way", choices=("ibb", "s5b"), required=True)
    parser.add_argument("--to")
    parser.add_argument("--bytes", type=int, required=True)
    options = parser.parse_args()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    sys.exit(0 if loop.run_until_complete(asyncio.wait_for(run(options), 120)) else 1)


main()

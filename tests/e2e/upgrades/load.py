"""Callers of all kinds, and what they call, for a sidecar that is replaced under them.

Everything runs on one asyncio loop in a thread of its own. A caller holds one connection for the whole test and
notices everything that could go wrong with it: each call has a number that must come back, bytes in a stream are
known beforehand by their place and summed up at both ends. So a lost, doubled or crossed answer and a cut
connection each have their own count, and none of them can hide behind another.
"""

import asyncio
import contextlib
import hashlib
import random
import threading

from attacks import wire

SERVICE = "com.acme.EchoService:1.0"
CHUNK = 16 * 1024
PATIENCE = 60


def sea(seed, length):
    """Bytes that are another's at each place, from a seed."""
    return hashlib.shake_128(seed.to_bytes(8, "big")).digest(length)


# ---- what is called ----

async def http_upstream(reader, writer):
    """/echo/N says N. /sea/SEED/LENGTH/PAUSE_MS streams known bytes. POST says the sum of the body. A WebSocket's
    bytes come back."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            target = head.split(" ", 2)[1]
            fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            if fields.get("upgrade") == "websocket":
                writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                await echo(reader, writer)
                return
            if target.startswith("/sea/"):
                await stream(writer, *map(int, target.split("/")[2:]))
                continue
            body = await reader.readexactly(int(fields.get("content-length", "0")))
            said = hashlib.sha256(body).hexdigest() if body else target
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(said)}\r\n\r\n{said}".encode())
            await writer.drain()


async def stream(writer, seed, length, pause_ms):
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode())
    data = sea(seed, length)
    for at in range(0, length, CHUNK):
        writer.write(data[at:at + CHUNK])
        await writer.drain()
        await asyncio.sleep(pause_ms / 1000)


async def echo(reader, writer):
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def bolt_upstream(reader, writer, pause):
    """Says what it is told, each after a time of its own: answers overtake one another."""
    frames = wire.Frames()

    async def answer(frame):
        await asyncio.sleep(random.random() * pause)
        with contextlib.suppress(ConnectionError):
            writer.write(wire.answer(frame, frame.content))

    tasks = set()
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            for frame in frames.feed(data):
                if frame.command == 0:
                    writer.write(wire.heartbeat_ack(frame))
                else:
                    task = asyncio.ensure_future(answer(frame))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
    writer.close()


# ---- who calls ----

class Count:
    """What happened to all callers of a kind."""

    FAULTS = ("closed", "failed", "lost", "doubled", "crossed")

    def __init__(self):
        self.callers = self.calls = self.bytes = 0
        self.longest = 0.0
        for name in self.FAULTS:
            setattr(self, name, 0)
        self.first = ""

    def fault(self, name, why):
        setattr(self, name, getattr(self, name) + 1)
        self.first = self.first or f"{name}: {why}"


class Load:
    """All callers; `start` returns when each has had its first answer."""

    def __init__(self, ports, pause=0.2):
        self.ports, self.pause = ports, pause
        self.counts = {}
        self.ending = False
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.number = 0
        self.tasks = []
        self.begun = 0

    def run(self, coroutine, seconds=PATIENCE * 5):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(seconds)

    def serve(self):
        """The upstreams; their ports by name."""
        async def begin():
            found = {}
            for name, body in (("http", http_upstream), ("tcp", echo),
                               ("bolt", lambda reader, writer: bolt_upstream(reader, writer, self.pause))):
                server = await asyncio.start_server(body, "127.0.0.1", 0, limit=1 << 20, backlog=4096)
                found[name] = server.sockets[0].getsockname()[1]
            return found
        return self.run(begin())

    def start(self, kinds):
        """kinds: name of a method -> how many."""
        async def begin():
            wanted = sum(kinds.values())
            for name, many in kinds.items():
                self.counts[name] = Count()
                for _ in range(many):
                    self.tasks.append(asyncio.ensure_future(self.guard(name)))
                    if len(self.tasks) % 100 == 0:
                        await asyncio.sleep(0.05)
            while self.begun < wanted and not any(count.first for count in self.counts.values()):
                await asyncio.sleep(0.02)
        self.run(begin())

    def end(self):
        """Callers finish what they have begun; then each has had its last answer."""
        async def finish():
            self.ending = True
            done, late = await asyncio.wait(self.tasks, timeout=PATIENCE)
            for task in late:
                task.cancel()
            return len(late)
        late = self.run(finish())
        if late:
            next(iter(self.counts.values())).fault("lost", f"{late} callers got no answer for {PATIENCE} s")

    async def guard(self, name):
        count = self.counts[name]
        count.callers += 1
        try:
            await getattr(self, name)(count)
        except (ConnectionError, asyncio.IncompleteReadError) as err:
            count.fault("closed", f"{type(err).__name__} {err}")
        except asyncio.CancelledError:
            pass
        except Exception as err:
            count.fault("failed", f"{type(err).__name__} {err}")

    def next(self):
        self.number += 1
        return self.number

    def rest(self):
        return asyncio.sleep(self.pause * (0.5 + random.random()))

    async def dial(self, name):
        where = self.ports[name]
        if isinstance(where, str):
            return await asyncio.open_unix_connection(where, limit=1 << 20)
        return await asyncio.open_connection("127.0.0.1", where, limit=1 << 20)

    async def answer(self, reader, count, began):
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            count.fault("failed", head.split(b"\r\n\r\n")[0].decode())
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n")
                      if line.startswith(b"content-length"))
        body = await reader.readexactly(length)
        count.calls += 1
        count.longest = max(count.longest, self.loop.time() - began)
        return body

    async def one_call(self, reader, writer, count):
        number, began = self.next(), self.loop.time()
        writer.write(f"GET /echo/{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        got = await self.answer(reader, count, began)
        if got != f"/echo/{number}".encode():
            count.fault("crossed", f"{got[:60]} came for number {number}")

    async def http(self, count, door="http"):
        """A call, a rest, a call: idle most of the time."""
        reader, writer = await self.dial(door)
        first = True
        while not self.ending:
            await self.one_call(reader, writer, count)
            self.begun += first
            first = False
            await self.rest()
        writer.close()

    async def unix(self, count):
        await self.http(count, "unix")

    async def fresh(self, count):
        """A connection for each call: those that wait to be accepted are among them."""
        first = True
        while not self.ending:
            reader, writer = await self.dial("http")
            await self.one_call(reader, writer, count)
            writer.close()
            self.begun += first
            first = False
            await self.rest()

    async def uploads(self, count):
        """A request that takes its time."""
        reader, writer = await self.dial("http")
        first = True
        while not self.ending:
            body = sea(self.next(), 20000)
            writer.write(f"POST /sum HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n".encode())
            await self.rest()
            writer.write(b"\r\n")
            for at in range(0, len(body), 2500):
                writer.write(body[at:at + 2500])
                await asyncio.sleep(self.pause / 4)
            got = await self.answer(reader, count, self.loop.time())
            if got.decode() != hashlib.sha256(body).hexdigest():
                count.fault("crossed", "the upstream has summed up another body")
            count.bytes += len(body)
            self.begun += first
            first = False
        writer.close()

    async def downloads(self, count):
        """A response that takes its time."""
        reader, writer = await self.dial("http")
        first = True
        while not self.ending:
            seed, length = self.next(), 40 * CHUNK
            writer.write(f"GET /sea/{seed}/{length}/{int(self.pause * 100)} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            if await self.answer(reader, Count(), self.loop.time()) != sea(seed, length):
                count.fault("crossed", "other bytes than the upstream has sent")
            count.calls += 1
            count.bytes += length
            self.begun += first
            first = False
        writer.close()

    async def websocket(self, count):
        reader, writer = await self.dial("http")
        writer.write(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                     b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head:
            count.fault("failed", head.decode())
            return
        await self.flood(reader, writer, count)

    async def tcp(self, count):
        await self.flood(*await self.dial("tcp"), count)

    async def flood(self, reader, writer, count):
        """Bytes both ways without a stop for breath: what comes back is what was sent, in its order."""
        sent, got = hashlib.sha256(), hashlib.sha256()
        lengths = [0, 0]

        async def send():
            while not self.ending:
                data = sea(self.next(), random.randrange(1, CHUNK))
                sent.update(data)
                lengths[0] += len(data)
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(self.pause * random.random() / 2)
            writer.write_eof()

        sender = asyncio.ensure_future(send())
        while data := await reader.read(1 << 16):
            self.begun += not lengths[1]
            got.update(data)
            lengths[1] += len(data)
        if not self.ending:
            count.fault("closed", f"after {lengths[1]} bytes")
        await sender
        count.calls += 1
        count.bytes += lengths[1]
        if lengths[0] != lengths[1]:
            count.fault("lost" if lengths[1] < lengths[0] else "doubled", f"sent and got: {lengths}")
        elif sent.digest() != got.digest():
            count.fault("crossed", "other bytes than were sent")
        writer.close()

    async def bolt(self, count):
        """Four calls are under way at any time, and their answers overtake one another."""
        reader, writer = await self.dial("bolt")
        frames, open_calls, local = wire.Frames(), {}, 0
        while open_calls or not self.ending:
            while len(open_calls) < 4 and not self.ending:
                number, local = self.next(), local + 1
                open_calls[local] = (number, self.loop.time())
                writer.write(wire.call(local, SERVICE, content=b"%d" % number, timeout=60000))
            data = await reader.read(1 << 16)
            if not data:
                count.fault("closed", f"with {len(open_calls)} calls under way")
                return
            for frame in frames.feed(data):
                number, began = open_calls.pop(frame.id, (None, 0))
                if number is None:
                    count.fault("doubled", f"an answer for call {frame.id}, which is not under way")
                elif frame.status:
                    count.fault("failed", f"status {frame.status}, reason {frame.reason}")
                elif frame.content != b"%d" % number:
                    count.fault("crossed", f"{frame.content} came for {number}")
                count.calls += 1
                self.begun += count.calls <= count.callers
                count.longest = max(count.longest, self.loop.time() - began)
        writer.close()

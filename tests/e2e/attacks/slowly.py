#!/usr/bin/env python3
"""A child of the slow-client scenarios: thousands of connections that say a byte a second.

    slowly.py PORT COUNT head|body|chunk|bolt|silent EVERY SECONDS

Opens COUNT connections, says `open N`, then gives each one more byte every EVERY seconds. Ends when all have been
cut, or after SECONDS, and says in one line of JSON how many were cut, when (seconds after their first byte), and
what the last words to them were.
"""

import collections
import json
import select
import socket
import sys
import time

START = {
    "head": b"GET /slow HTTP/1.1\r\nHost: test\r\nX: ",
    "body": b"POST /slow HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n",
    "chunk": b"POST /slow HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
    "bolt": bytes.fromhex("010100010100000001010000ffff002c0175"),
    "silent": b"",
}


PARTS = 20


class Crowd:
    def __init__(self, port, count, kind):
        self.poll = select.epoll()
        self.socks, self.began = {}, {}
        self.first = START[kind]
        self.silent = kind == "silent"
        self.refused = 0
        self.cut, self.words = [], collections.Counter()
        for _ in range(count):
            self.open(port)

    def open(self, port):
        try:
            sock = socket.create_connection(("127.0.0.1", port), 10)
            sock.setblocking(False)
            if self.first:
                sock.send(self.first)
        except OSError:
            self.refused += 1
            return
        self.socks[sock.fileno()] = sock
        self.began[sock.fileno()] = time.monotonic()
        self.poll.register(sock.fileno(), select.EPOLLIN)

    def end(self, fd, words):
        sock = self.socks.pop(fd)
        self.cut.append(time.monotonic() - self.began.pop(fd))
        self.words[words] += 1
        self.poll.unregister(fd)
        sock.close()

    def listen(self, seconds):
        """Hears who is cut, for so long."""
        until = time.monotonic() + seconds
        while self.socks and (left := until - time.monotonic()) > 0:
            for fd, _ in self.poll.poll(left, 1024):
                try:
                    got = self.socks[fd].recv(4096)
                except ConnectionError:
                    got = b""
                self.end(fd, got.split(b"\r\n")[0][:40].decode(errors="replace") if got[:4] == b"HTTP" else
                         "bytes" if got else "end")

    def speak(self, part):
        """A part of them, so that they do not all speak in the same instant."""
        for fd in [fd for fd in self.socks if fd % PARTS == part]:
            try:
                self.socks[fd].send(b"0")
            except BlockingIOError:
                pass
            except OSError:
                self.end(fd, "reset")


def main():
    port, count, kind, every, seconds = sys.argv[1:]
    crowd = Crowd(int(port), int(count), kind)
    print(f"open {len(crowd.socks)}", flush=True)
    end, part = time.monotonic() + float(seconds), 0
    while crowd.socks and time.monotonic() < end:
        began = time.monotonic()
        if not crowd.silent:
            crowd.speak(part)
        part = (part + 1) % PARTS
        crowd.listen(max(0.01, float(every) / PARTS - (time.monotonic() - began)))
    took = sorted(crowd.cut) or [0]
    print("done " + json.dumps({"open": len(crowd.socks) + len(crowd.cut), "refused": crowd.refused,
                                "cut": len(crowd.cut), "first": took[0], "median": took[len(took) // 2],
                                "last": took[-1], "words": crowd.words}), flush=True)


if __name__ == "__main__":
    main()

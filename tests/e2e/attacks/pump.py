#!/usr/bin/env python3
"""A child of the bulk scenario: one end of a body of gigabytes.

    pump.py send PORT PATH BYTES           POSTs BYTES and says the answer: `done STATUS BODY`
    pump.py fetch PORT PATH BYTES PAUSE    GETs, pauses when the body begins, reads on: `done BYTES bad`
    pump.py serve PORT PAUSE               an upstream: /up reads and judges (after a pause), /down/BYTES gives

What is sent is a pattern of a prime length over and over, so a byte that is lost, doubled or moved shows at once;
it is made and compared block by block, and nobody holds more than two.
"""

import socket
import sys
import time

PERIOD = 1048583    # a prime: no block of the pattern lies as the one before
TAIL = 4 << 20


def pattern():
    """Two periods and more, so that a piece from any place in the first lies in one piece."""
    one = bytes((i * i + i // 251) & 255 for i in range(65537)) * (PERIOD // 65537 + 1)
    return (one[:PERIOD] * (TAIL // PERIOD + 3))[:2 * PERIOD + TAIL]


class Judge:
    """Compares what comes with what must come."""

    def __init__(self):
        self.pattern = pattern()
        self.at = 0
        self.bad = 0

    def see(self, piece):
        place = self.at % PERIOD
        if piece != self.pattern[place:place + len(piece)]:
            self.bad += 1
        self.at += len(piece)


def pour(sock, count):
    view = memoryview(pattern())
    at = 0
    while at < count:
        place = at % PERIOD
        at += sock.send(view[place:place + min(2 << 20, count - at)])


def read_head(sock):
    got = b""
    while b"\r\n\r\n" not in got:
        part = sock.recv(1 << 16)
        if not part:
            return None, b""
        got += part
    head, _, rest = got.partition(b"\r\n\r\n")
    return head, rest


def drain(sock, judge, count):
    room = bytearray(1 << 20)
    view = memoryview(room)
    while judge.at < count:
        got = sock.recv_into(view, min(len(room), count - judge.at))
        if not got:
            return
        judge.see(room[:got] if got < len(room) else room)


def length_of(head):
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return -1


def send(port, path, count):
    with socket.create_connection(("127.0.0.1", port), 60) as sock:
        sock.sendall(f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {count}\r\n\r\n".encode())
        pour(sock, count)
        head, rest = read_head(sock)
        while len(rest) < length_of(head):
            rest += sock.recv(1 << 16)
        print("done", head.split(b" ")[1].decode(), rest.decode(), flush=True)


def fetch(port, path, count, pause):
    with socket.create_connection(("127.0.0.1", port), 60) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        head, rest = read_head(sock)
        judge = Judge()
        judge.see(rest)
        time.sleep(pause)
        drain(sock, judge, count)
        print("done", head.split(b" ")[1].decode(), f"{judge.at} bytes, {judge.bad} bad", flush=True)


def serve(port, pause):
    with socket.create_server(("127.0.0.1", port)) as listener:
        print("ready", flush=True)
        while True:
            sock, _ = listener.accept()
            with sock:
                head, rest = read_head(sock)
                if not head:
                    continue
                target = head.split(b" ")[1].decode()
                if target.startswith("/down/"):
                    count = int(target.split("/")[2])
                    sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % count)
                    pour(sock, count)
                else:
                    judge = Judge()
                    judge.see(rest)
                    time.sleep(pause)
                    drain(sock, judge, length_of(head))
                    said = f"{judge.at} bytes, {judge.bad} bad".encode()
                    sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
                    sock.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(said), said))


def main():
    kind, port, *more = sys.argv[1:]
    if kind == "serve":
        serve(int(port), float(more[0]))
    elif kind == "send":
        send(int(port), more[0], int(more[1]))
    else:
        fetch(int(port), more[0], int(more[1]), float(more[2]))


if __name__ == "__main__":
    main()

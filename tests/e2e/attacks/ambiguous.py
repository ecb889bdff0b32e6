"""tests/conform/h1/ambiguous.txt, as its own first lines say it."""

import os
import re

from harness import ROOT, Failed

PLACE = os.path.join(ROOT, "tests", "conform", "h1", "ambiguous.txt")
ESCAPE = re.compile(rb"\\(?:(x[0-9a-fA-F]{2})|\{(\d+) ([^}]*)\}|(.))")
PLAIN = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"s": b" ", b"\\": b"\\"}


def unescape(text):
    def one(m):
        if m[1]:
            return bytes([int(m[1][1:], 16)])
        if m[2]:
            return unescape(m[3]) * int(m[2])
        if m[4] not in PLAIN:
            raise Failed(f"ambiguous.txt: unknown escape {m[0]!r}")
        return PLAIN[m[4]]

    return ESCAPE.sub(one, text)


class Record:
    """`wanted`: whole requests as (method, target, host, body), host None for "whatever"; `status`: of the
    refusal behind them, or None; `more`: the last request is not whole."""

    def __init__(self, name):
        self.name = name
        self.bytes = b""
        self.wanted = []
        self.status = None
        self.more = False

    def expect(self, text):
        if text == b"more":
            self.more = True
        elif text.isdigit():
            self.status = int(text)
        else:
            method, target, host, *body = text.split(b" ", 3)
            self.wanted.append((method, unescape(target), None if host == b"-" else unescape(host),
                                unescape(body[0]) if body else b""))


def records():
    found = []
    with open(PLACE, "rb") as f:
        for line in f.read().split(b"\n"):
            if line.startswith(b"= "):
                found.append(Record(line[2:].decode()))
            elif line.startswith(b"< "):
                found[-1].bytes += unescape(line[2:])
            elif line.startswith(b"> "):
                found[-1].expect(line[2:])
            elif line.strip() and not line.startswith(b"#"):
                raise Failed(f"ambiguous.txt: unknown line {line!r}")
    if len(found) < 200:
        raise Failed(f"{len(found)} records, not at least 200")
    return found

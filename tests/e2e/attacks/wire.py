"""Readers of the test's own: strict, small, and written without a look at the sidecar's.

What an upstream receives is read by `Requests`: by RFC 9112's grammar and nothing else, so a byte that another
reader could take otherwise raises `Ambiguous`. What a client receives is read by `responses`. Bolt's frames are
read by `frames`.
"""

import re
import struct

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
START = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]+) HTTP/1\.1\Z")
STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)\Z")
FIELD = re.compile(rb"(" + TOKEN + rb"):[ \t]*([\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?"
                   rb"[ \t]*\Z")
HOST = re.compile(rb"(?:[0-9A-Za-z._~-]+|\[[0-9A-Fa-f:.]+\])(?::[1-9][0-9]{0,4})?\Z")
SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}\Z")
HOPS = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade"}
PATIENT_BYTES = 1 << 20     # a head that has not ended by then is no head


class Ambiguous(Exception):
    """Bytes that not every reader reads in the same way."""


class More(Exception):
    """The bytes end before the message does."""


def lines_of(data, at):
    """The lines of a head from `at` and where its body begins."""
    end = data.find(b"\r\n\r\n", at)
    if end < 0:
        if len(data) - at > PATIENT_BYTES:
            raise Ambiguous(f"a head of more than {PATIENT_BYTES} bytes")
        raise More
    lines = data[at:end].split(b"\r\n")
    for line in lines:
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise Ambiguous(f"CR, LF or NUL inside a line: {line!r}")
    return lines, end + 4


def fields_of(lines):
    found = []
    for line in lines:
        m = FIELD.match(line)
        if not m:
            raise Ambiguous(f"no field line: {line!r}")
        found.append((m[1].lower(), m[2] or b""))
    return found


def values(fields, name):
    return [value for key, value in fields if key == name]


def chunks_of(data, at):
    """A chunked body from `at`: bytes, trailers, where it ends."""
    body = []
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            raise More
        if not SIZE.match(data[at:end]):
            raise Ambiguous(f"no chunk size: {data[at:end][:40]!r}")
        size, at = int(data[at:end], 16), end + 2
        if size == 0:
            break
        if len(data) < at + size + 2:
            raise More
        if data[at + size:at + size + 2] != b"\r\n":
            raise Ambiguous("a chunk that CR LF does not end")
        body.append(data[at:at + size])
        at += size + 2
    trailers = []
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            raise More
        if end == at:
            return b"".join(body), fields_of(trailers), end + 2
        trailers.append(data[at:end])
        at = end + 2


def length_of(fields):
    """Declared length, "chunked", or None; two ways to say it are none."""
    lengths, codings = values(fields, b"content-length"), values(fields, b"transfer-encoding")
    if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
        raise Ambiguous(f"a length said twice: {lengths} {codings}")
    if codings and codings[0].lower() != b"chunked":
        raise Ambiguous(f"transfer coding {codings[0]!r}")
    if lengths and not re.match(rb"[0-9]{1,19}\Z", lengths[0]):
        raise Ambiguous(f"content length {lengths[0]!r}")
    return "chunked" if codings else int(lengths[0]) if lengths else None


class Request:
    def __init__(self, method, target, fields, body, length):
        self.method, self.target, self.fields, self.body, self.length = method, target, fields, body, length
        self.host = values(fields, b"host")[0]

    def brief(self):
        return self.method, self.target, self.host, self.body


class Requests:
    """Reads the requests of one connection. `begun` is the one whose body is still to come."""

    def __init__(self):
        self.data = b""
        self.begun = None

    def feed(self, data):
        self.data += data
        found = []
        while self.data:
            try:
                request, at = self.one()
            except More:
                break
            found.append(request)
            self.data = self.data[at:]
            self.begun = None
        return found

    def one(self):
        lines, at = lines_of(self.data, 0)
        start = START.match(lines[0])
        if not start:
            raise Ambiguous(f"no request line: {lines[0][:80]!r}")
        fields = fields_of(lines[1:])
        hosts = values(fields, b"host")
        if len(hosts) != 1 or not HOST.match(hosts[0]):
            raise Ambiguous(f"Host {hosts}")
        for name, value in fields:
            if name in HOPS and not (name in (b"connection", b"upgrade") and values(fields, b"upgrade")):
                raise Ambiguous(f"{name.decode()} is for the connection before: {value!r}")
            if b"_" in name and name.replace(b"_", b"-") in (b"content-length", b"transfer-encoding"):
                raise Ambiguous(f"a length in disguise: {name!r}")
        length = length_of(fields)
        self.begun = Request(start[1], start[2], fields, self.data[at:], length)
        if length == "chunked":
            body, trailers, at = chunks_of(self.data, at)
            if any(name in (b"content-length", b"transfer-encoding", b"host") for name, _ in trailers):
                raise Ambiguous(f"trailers {trailers}")
        else:
            if len(self.data) < at + (length or 0):
                raise More
            body = self.data[at:at + (length or 0)]
            at += length or 0
        return Request(start[1], start[2], fields, body, length), at


class Response:
    def __init__(self, status, fields, body, whole):
        self.status, self.fields, self.body, self.whole = status, fields, body, whole

    def value(self, name):
        found = values(self.fields, name.encode())
        return found[0].decode() if found else None

    @property
    def reason(self):
        return self.value("x-sampan-reason")


def response_body(data, at, fields, status, method):
    """(body, where it ends, whole?)"""
    if method == b"HEAD" or status in (204, 304) or status < 200:
        return b"", at, True
    length = length_of(fields)
    if length is None:
        return data[at:], len(data), True
    if length == "chunked":
        try:
            body, _, end = chunks_of(data, at)
        except More:
            return data[at:], len(data), False
        return body, end, True
    end = at + length
    return data[at:end], min(end, len(data)), len(data) >= end


def responses(data, methods=()):
    """All answers in `data`, interim ones left out; `methods` of the requests, in order (GET where none is
    given). Raises More where it ends in the middle of a head."""
    found, at, methods = [], 0, list(methods)
    while at < len(data):
        lines, at = lines_of(data, at)
        status = STATUS.match(lines[0])
        if not status:
            raise Ambiguous(f"no status line: {lines[0][:80]!r}")
        fields, code = fields_of(lines[1:]), int(status[1])
        if 100 <= code < 200 and code != 101:
            continue
        body, at, whole = response_body(data, at, fields, code, methods.pop(0) if methods else b"GET")
        found.append(Response(code, fields, body, whole))
    return found


# ---- Bolt ----

CLASS = b"com.alipay.sofa.rpc.core.request.SofaRequest"


def pairs(names):
    """A header block."""
    return b"".join(struct.pack(">I", len(part)) + part
                    for name, value in names.items() for part in (name.encode(), value.encode()))


def call(number, service, content=b"ahoy", timeout=3000, v=1, oneway=False, method="say", name=CLASS, block=None,
         lengths=None):
    """A request frame. `lengths`: what it says of class, block and content, where that is not the truth."""
    if block is None:
        block = pairs({"service": service, "sofa_head_method_name": method})
    said = lengths or (len(name), len(block), len(content))
    front = struct.pack(">BBHBIB", v, 2 if oneway else 1, 1, 1, number, 1) if v == 1 else \
        struct.pack(">BBBHBIBB", 2, 1, 2 if oneway else 1, 1, 1, number, 1, 0)
    return front + struct.pack(">iHHI", timeout, *said) + name + block + content


def answer(frame, content=b"ahoy", status=0):
    """The response to a request frame (a `Frame`)."""
    front = struct.pack(">BBHBIB", 1, 0, 2, 1, frame.id, 1) if frame.v == 1 else \
        struct.pack(">BBBHBIBB", 2, 1, 0, 2, 1, frame.id, 1, 0)
    return front + struct.pack(">HHHI", status, 0, 0, len(content)) + content


def heartbeat_ack(frame):
    front = struct.pack(">BBHBIB", 1, 0, 0, 1, frame.id, 1) if frame.v == 1 else \
        struct.pack(">BBBHBIBB", 2, 1, 0, 0, 1, frame.id, 1, 0)
    return front + struct.pack(">HHHI", 0, 0, 0, 0)


class Frame:
    """A frame that was read. `kind` 0 response, 1 request, 2 one-way; `command` 0 heartbeat, 1 request, 2 response."""

    def __init__(self, v, kind, command, number, word, headers, content, total):
        self.v, self.kind, self.command, self.id, self.status = v, kind, command, number, word
        self.headers, self.content, self.total = headers, content, total
        self.line = None

    @property
    def reason(self):
        return self.headers.get("x-sampan-reason")


def block_of(data):
    found, at = {}, 0
    parts = []
    while at < len(data):
        if len(data) - at < 4:
            raise Ambiguous("a header block that ends inside a length")
        size = struct.unpack_from(">I", data, at)[0]
        if at + 4 + size > len(data):
            raise Ambiguous("a header block that ends inside a word")
        parts.append(data[at + 4:at + 4 + size].decode("latin-1"))
        at += 4 + size
    if len(parts) % 2:
        raise Ambiguous("a name without a value")
    for i in range(0, len(parts), 2):
        found[parts[i]] = parts[i + 1]
    return found


def one_frame(data, at):
    """(frame, where it ends), or None where it is not whole."""
    v = data[at]
    if v not in (1, 2):
        raise Ambiguous(f"a frame of protocol {v}")
    skip = 0 if v == 1 else 1
    if len(data) - at < 22 + 2 * skip - 2:
        return None
    kind, command, two, number = struct.unpack_from(">BHBI", data, at + 1 + skip)
    if kind > 2 or two != 1 or command > 2:
        raise Ambiguous(f"a frame of type {kind}, command {command}, version {two}")
    front = 10 + 2 * skip
    if kind == 0:
        word, front = struct.unpack_from(">H", data, at + front)[0], front + 2
    elif len(data) - at < front + 12:
        return None
    else:
        word, front = struct.unpack_from(">i", data, at + front)[0], front + 4
    class_len, block_len, content_len = struct.unpack_from(">HHI", data, at + front)
    if max(class_len, block_len) > 32767 or content_len > 0x7fffffff:
        raise Ambiguous("a length that Java reads as negative")
    body = at + front + 8
    total = body + class_len + block_len + content_len - at
    if len(data) - at < total:
        return None
    block = body + class_len
    content = block + block_len
    return Frame(v, kind, command, number, word, block_of(data[block:content]),
                 bytes(data[content:content + content_len]), total), at + total


class Frames:
    """Reads the frames of one connection; a large one in many pieces costs one copy."""

    def __init__(self):
        self.data = bytearray()

    def feed(self, data):
        self.data += data
        found, self.data = frames(self.data)
        return found


def frames(data):
    """All whole frames, and what is left."""
    found, at = [], 0
    while at < len(data):
        got = one_frame(data, at)
        if not got:
            break
        found.append(got[0])
        at = got[1]
    return found, data[at:] if at else data

"""What curl (and, for pipelining, a plain socket) asks of node/http-server.js, through whatever is between."""

import hashlib
import json
import os
import re
import socket
import subprocess
import threading

from harness import Failed, expect

MIB = 1 << 20
BIG_MIB = 64
CHUNKED = ("-H", "Transfer-Encoding: chunked", "-H", "Expect:")
PATIENCE = 120  # seconds; a call that takes longer hangs
BLOCK = hashlib.sha512(b"sampan").digest()


class Answer:
    """One run of curl: its exit, what it received, and what it said on the way (-v)."""

    def __init__(self, done):
        self.exit = done.returncode
        self.body = done.stdout
        self.said = done.stderr.decode(errors="replace")
        self.sent = re.findall(r"^> (.*?)\r?$", self.said, re.M)
        self.got = re.findall(r"^< (.*?)\r?$", self.said, re.M)
        self.statuses = [int(m) for m in re.findall(r"^< HTTP/1\.[01] (\d{3})", self.said, re.M)]

    def header(self, name):
        return [line.split(":", 1)[1].strip() for line in self.got if line.lower().startswith(name.lower() + ":")]


class Curl:
    def __init__(self, scenario, port):
        self.s = scenario
        self.port = port

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def curl(self, *args, good=True, data=None):
        done = subprocess.run(["curl", "-sv", "--http1.1", "-m", str(PATIENCE), *args], input=data,
                              capture_output=True, timeout=2 * PATIENCE)
        answer = Answer(done)
        if good and answer.exit:
            raise Failed(f"curl {' '.join(args)} ended with {answer.exit}: {answer.said.splitlines()[-1]}")
        return answer

    def run(self):
        for name in ("get", "head", "post", "put", "expect_continue", "expect_refused", "chunked_up", "chunked_down",
                     "http_1_0", "keep_alive", "five_statuses", "no_body_statuses", "two_set_cookie_lines",
                     "request_headers_arrive", "long_header", "big_down", "big_up", "big_both_ways",
                     "compressed_name_untouched", "first_chunk_before_the_last", "cut_body_is_seen", "pipelining",
                     "pipelined_posts", "client_leaves_early", "refused_garbage"):
            self.s.check(name.replace("_", "-"), getattr(self, name))

    # ---- the checks ----

    def get(self):
        answer = self.curl(self.url("/any/where?a=1&b=%20x"))
        expect([200], answer.statuses)
        expect(b"hello from /any/where?a=1&b=%20x", answer.body)

    def head(self):
        """HEAD has a length and no body, and the connection goes on."""
        answer = self.curl("-I", self.url("/big?mib=1"), "-I", self.url("/big?mib=1"), "-w", "%{num_connects} ")
        expect([200, 200], answer.statuses)
        expect([str(MIB), str(MIB)], answer.header("content-length"))
        expect([b"1 ", b"0 "], re.findall(rb"(?:^|\n)(\d )", answer.body))  # among the headers that -I prints

    def post(self):
        answer = self.curl("-H", "content-type: text/x-log", "-d", "ahoy", self.url("/echo"))
        expect(b"ahoy", answer.body)
        expect(["text/x-log"], answer.header("content-type"))
        expect(b"", self.curl("-X", "POST", "-H", "content-length: 0", self.url("/echo")).body)

    def put(self):
        body = os.urandom(100_000)
        expect(digest(body), self.curl("-T", "-", "-H", "Expect:", self.url("/hash"), data=body).body)

    def expect_continue(self):
        body = os.urandom(300_000)
        answer = self.curl("-H", "Expect: 100-continue", "--expect100-timeout", str(PATIENCE), "--data-binary", "@-",
                           self.url("/hash"), data=body)
        expect([100, 200], answer.statuses)
        expect(digest(body), answer.body)

    def expect_refused(self):
        """The server says 417 and reads nothing: so does the client hear, at once."""
        answer = self.curl("-H", "Expect: 100-continue", "--expect100-timeout", str(PATIENCE), "--data-binary", "@-",
                           self.url("/refuse"), data=b"x" * 300_000, good=False)
        expect(417, answer.statuses[0] if answer.statuses else answer.said)

    def chunked_up(self):
        for size in (0, 1, 65_536, 3_000_001):
            body = os.urandom(size)
            answer = self.curl("-X", "POST", *CHUNKED, "-T", "-", self.url("/hash"), data=body)
            expect(digest(body), answer.body, f"{size} bytes")

    def chunked_down(self):
        answer = self.curl(self.url("/chunked"))
        expect(b"one two three", answer.body)
        if answer.header("content-length"):
            raise Failed("a length and chunks")

    def http_1_0(self):
        """To HTTP/1.0 a body without a length ends with the connection; chunks would be noise in it."""
        answer = self.curl("-0", self.url("/chunked"))
        expect(b"one two three", answer.body)
        expect([], answer.header("transfer-encoding"))
        expect(b"ahoy", self.curl("-0", "-d", "ahoy", self.url("/echo")).body)

    def keep_alive(self):
        paths = [self.url(f"/hello/{i}") for i in range(6)]
        answer = self.curl("-o", "/dev/null", paths[0], *sum((["-o", "/dev/null", p] for p in paths[1:]), []),
                           "-w", "%{num_connects} ")
        expect(b"1 0 0 0 0 0 ", answer.body)

    def five_statuses(self):
        for code in (201, 301, 403, 500, 503):
            answer = self.curl(self.url(f"/status/{code}"))
            expect([code], answer.statuses)
            expect(f"status {code}".encode(), answer.body)
        expect(["/elsewhere"], self.curl(self.url("/status/301")).header("location"))

    def no_body_statuses(self):
        for code in (204, 304):
            answer = self.curl(self.url(f"/status/{code}"), self.url("/hello"), "-w", "%{num_connects} ")
            expect([code, 200], answer.statuses)
            expect(b"1 hello from /hello0 ", answer.body)

    def two_set_cookie_lines(self):
        expect(["a=1; Path=/", "b=2; Path=/"], self.curl(self.url("/cookies")).header("set-cookie"))

    def request_headers_arrive(self):
        answer = self.curl("-H", "X-Visitor: gull", "-H", "x-list: a", "-H", "x-list: b", "-H", "X-Empty;",
                           "-H", "Host: harbour.example:81", self.url("/headers"))
        got = json.loads(answer.body)
        expect(("gull", "a, b", "", "harbour.example:81"),
               (got.get("x-visitor"), got.get("x-list"), got.get("x-empty"), got.get("host")))

    def long_header(self):
        value = "v" * 12_000
        expect(value, json.loads(self.curl("-H", f"x-long: {value}", self.url("/headers")).body).get("x-long"))

    def big_down(self):
        body = self.curl(self.url(f"/big?mib={BIG_MIB}")).body
        expect(digest(BLOCK * (BIG_MIB * MIB // len(BLOCK))), digest(body))

    def big_up(self):
        body = os.urandom(MIB) * BIG_MIB
        expect(digest(body), self.curl("-H", "Expect:", "--data-binary", "@-", self.url("/hash"), data=body).body)

    def big_both_ways(self):
        """The answer starts before the request has ended: neither side may wait for the other."""
        body = os.urandom(MIB) * 16
        answer = self.curl("-X", "POST", *CHUNKED, "-T", "-", self.url("/echo"), data=body)
        expect(digest(body), digest(answer.body))

    def compressed_name_untouched(self):
        """What cannot be understood is not touched: a body that only claims to be gzip."""
        answer = self.curl("-H", "content-encoding: gzip", "-H", "content-type: x/y", "-d", "not gzip",
                           self.url("/echo"))
        expect(b"not gzip", answer.body)

    def first_chunk_before_the_last(self):
        """The second event is sent only after the first was seen here: nothing between may hold it back."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as s:
            s.sendall(b"GET /stream HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            got = b""
            while b"data: first" not in got:
                part = s.recv(65536)
                if not part:
                    raise Failed(f"closed after {got!r}")
                got += part
            expect(b"released 1", self.curl(self.url("/release")).body)
            while part := s.recv(65536):
                got += part
        if b"data: second" not in got:
            raise Failed(f"the second event is not in {got!r}")

    def cut_body_is_seen(self):
        """A body that breaks off must not look whole."""
        answer = self.curl(self.url("/cut"), good=False)
        if answer.exit not in (18, 56):
            raise Failed(f"curl ended with {answer.exit}: {answer.body!r}")

    def pipelining(self):
        """Twenty requests in one write; twenty answers in their order."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as s:
            s.sendall(b"".join(f"GET /p/{i} HTTP/1.1\r\nHost: h\r\n\r\n".encode() for i in range(20)))
            f = s.makefile("rb")
            for i in range(20):
                status, body = answer_from(f)
                expect((200, f"hello from /p/{i}".encode()), (status, body))

    def pipelined_posts(self):
        """Bodies among them, one chunked, written in pieces that end in odd places."""
        wanted, wire = [], b""
        for i in range(12):
            body = bytes([65 + i]) * (i * 700 + 1)
            wanted.append(digest(body))
            if i % 3 == 2:
                head = "Transfer-Encoding: chunked\r\n"
                sent = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
            else:
                head, sent = f"Content-Length: {len(body)}\r\n", body
            wire += f"POST /hash HTTP/1.1\r\nHost: h\r\n{head}\r\n".encode() + sent
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def write():
                for at in range(0, len(wire), 997):
                    s.sendall(wire[at:at + 997])

            writer = threading.Thread(target=write, daemon=True)
            writer.start()
            f = s.makefile("rb")
            for body in wanted:
                expect((200, body), answer_from(f))
            writer.join(PATIENCE)

    def client_leaves_early(self):
        """Clients that hang up in mid-body cost only their own call."""
        for _ in range(8):
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as s:
                s.sendall(b"GET /big?mib=64 HTTP/1.1\r\nHost: h\r\n\r\n")
                s.recv(100_000)
        expect(b"hello from /still", self.curl(self.url("/still")).body)

    def refused_garbage(self):
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as s:
            s.sendall(b"\x00\x01\x02 this is not HTTP\r\n\r\n")
            got = b""
            while part := s.recv(65536):
                got += part
        if got and not got.startswith(b"HTTP/1.1 400"):
            raise Failed(f"answered {got[:60]!r}")
        expect(b"hello from /still", self.curl(self.url("/still")).body)


def digest(body):
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()


def answer_from(f):
    """Reads one response with a length, or in chunks, from a buffered socket."""
    status = int(f.readline().split()[1])
    length, chunked = None, False
    while (line := f.readline().strip()):
        name, _, value = line.lower().partition(b":")
        if name == b"content-length":
            length = int(value)
        chunked = chunked or (name == b"transfer-encoding" and b"chunked" in value)
    if not chunked:
        return status, f.read(length)
    body = b""
    while (size := int(f.readline(), 16)):
        body += f.read(size)
        f.readline()
    f.readline()
    return status, body

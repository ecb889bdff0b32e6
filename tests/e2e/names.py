"""netns.py's scenario of names: a sidecar starts while the name server still thinks.

The name server is this file's; the sidecar finds it in a resolv.conf of its own (a mount namespace, so root is
needed). Until the first answer has come nobody is let in and `/ready` says so; whoever calls meanwhile waits, and is
served then.
"""

import os
import re
import socket
import threading
import urllib.error
import urllib.request

from attacks.house import Proxy, cluster, http
from attacks.peers import Recorder, await_true, read_answer
from harness import ADMIN_SECONDS, READY_SECONDS, Failed, expect, free_port

SERVER = "127.0.77.53"
ENTER = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
WARNING = "names have no answer yet"


class NameServer:
    """Knows one address, 127.0.0.1, and says it when it may."""

    def __init__(self, s):
        self.may_answer, self.asked = threading.Event(), threading.Event()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((SERVER, 53))
        s.closers.append(self.close)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            if len(query) < 17:
                return  # woken to end
            self.asked.set()
            threading.Thread(target=self.answer, args=(query, peer), daemon=True).start()

    def answer(self, query, peer):
        self.may_answer.wait()
        end = query.index(0, 12) + 5
        wants_ip4 = query[end - 4:end - 2] == b"\0\1"
        found = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1" if wants_ip4 else b""
        head = query[:2] + b"\x81\x80\0\1" + (b"\0\1" if found else b"\0\0") + b"\0\0\0\0"
        try:
            self.sock.sendto(head + query[12:end] + found, peer)
        except OSError:
            pass

    def close(self):
        self.sock.sendto(b"", (SERVER, 53))
        self.thread.join()
        self.sock.close()


class Starting(Proxy):
    """One whose start is looked at."""

    def start(self):
        conf = os.path.join(self.scenario.folder, "resolv.conf")
        with open(conf, "w") as f:
            f.write(f"nameserver {SERVER}\n")
        self.child = self.scenario.spawn(self.name, ["unshare", "-m", "sh", "-c", ENTER, conf, *self.argv])

    def readiness(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/ready", timeout=ADMIN_SECONDS) as answer:
                return answer.status, answer.read().decode().strip()
        except urllib.error.HTTPError as err:
            return err.code, err.read().decode().strip()
        except urllib.error.URLError:
            return None, ""  # there is no admin yet

    def is_ready(self):
        return re.search(r"\bready\b", self.child.text(), re.M) is not None


def start(s, name, upstream):
    """A name server that keeps silent, and a sidecar that asks it."""
    server, port = NameServer(s), free_port()
    named = cluster("out", upstream, type="STRICT_DNS")
    endpoint = named["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    endpoint["address"]["socket_address"]["address"] = "svc.test"
    proxy = Starting(s, name, [http(port, "out")], [named])
    return server, proxy, port


def is_asked(server):
    if not server.asked.wait(READY_SECONDS):
        raise Failed("the name server was not asked")


def is_held(server, proxy):
    is_asked(server)
    await_true("admin answers", lambda: proxy.readiness()[0] is not None)
    expect((503, "INITIALIZING"), proxy.readiness())
    expect(False, proxy.is_ready(), "ready is said")


def first_call(server, proxy, port):
    """It comes before the answer does, and is served behind it."""
    is_asked(server)
    with socket.create_connection(("127.0.0.1", port), ADMIN_SECONDS) as caller:
        caller.sendall(b"GET /first HTTP/1.1\r\nHost: test\r\n\r\n")
        server.may_answer.set()
        expect(200, read_answer(caller).status)
    proxy.child.wait_for_line(r"\bready\b")
    expect((200, "LIVE"), proxy.readiness())
    expect(False, WARNING in proxy.child.text(), "it gave up waiting")


def begins_all_the_same(proxy):
    proxy.child.wait_for_line(r"\bready\b")
    expect(True, WARNING in proxy.child.text(), "it says that it gave up waiting")


def scenario(s):
    upstream = Recorder(s)
    server, proxy, port = start(s, "answered", upstream.port)
    s.check("the-first-call-is-served", first_call, server, proxy, port)
    server.close()
    server, proxy, port = start(s, "ended", upstream.port)
    s.check("nobody-is-let-in-before-the-first-answer", is_held, server, proxy)
    s.check("a-start-that-waits-can-be-ended", proxy.end_cleanly)
    server.close()
    server, proxy, port = start(s, "silent", upstream.port)
    s.check("a-name-server-that-is-silent-keeps-nobody-for-ever", begins_all_the_same, proxy)

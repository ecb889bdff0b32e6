"""What run.py and netns.py share: children, ports, sidecars, stand-ins, checks.

The rules of the house: every wait is for a thing (a `ready` line, a port that answers, an exit) and has a
deadline that only a hang reaches, for other programs may have the machine; every child is ended by its own pid,
and by nothing else; what a scenario writes is in one folder, which is kept when something in it failed. A
stand-in is a few lines of Python where a sidecar would be: it lets the programs and this harness be checked by
themselves (`--direct`, `--relay`).
"""

import contextlib
import http.server
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
APPS = os.environ.get("E2E_OUT", os.path.join(ROOT, "build", "e2e"))
BUILD = os.path.abspath(os.environ.get("SAMPAN_BUILD", os.path.join(ROOT, "build")))
PROXY = os.path.join(BUILD, "sampan-proxy")

READY_SECONDS = 90
CLIENT_SECONDS = 240
END_SECONDS = 20        # of the sidecar's 30 to drain: it has nothing to wait for
ADMIN_SECONDS = 30

# Hessian looks into java.lang's own fields; the compilers' lower tier saves a second a start.
JAVA = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
        "--add-opens", "java.base/java.lang=ALL-UNNAMED", "--add-opens", "java.base/java.util=ALL-UNNAMED",
        "--add-opens", "java.base/java.math=ALL-UNNAMED"]
SOFA_JARS = os.path.join(APPS, "java", "app.jar") + ":" + os.path.join(APPS, "java", "lib", "*")
SPRING = os.path.join(APPS, "spring")
NODE = os.path.join(APPS, "node")
PYTHON = os.path.join(APPS, "python", "bin", "python")


class Failed(Exception):
    """A check did not hold. Its text is the reason."""


def expect(want, got, what=""):
    if want != got:
        raise Failed(f"{what + ': ' if what else ''}expected {want!r}, got {got!r}")


# ---- ports ----

_taken = set()


def free_port():
    """A port on loopback that nobody holds, from below the kernel's own range, never the same twice."""
    for port in range(21000 + os.getpid() % 2000 * 4, 32000):
        if port in _taken:
            continue
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        _taken.add(port)
        return port
    raise Failed("no free port below 32000")


def await_free(*ports, seconds=READY_SECONDS):
    """Waits until nobody holds these, which a library has fixed: another run may be at its end."""
    end = time.monotonic() + seconds
    for port in ports:
        while True:
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a server would
                try:
                    s.bind(("127.0.0.1", port))
                    break
                except OSError as err:
                    if time.monotonic() > end:
                        raise Failed(f"port {port} is held by somebody else: {err.strerror}") from err
            time.sleep(0.05)


# ---- the count of all checks ----

class Tally:
    """All checks of a run, and where their logs are."""

    def __init__(self, mode):
        self.mode = mode
        self.passed = 0
        self.failed = 0
        self.told = []  # of failures, told again at the end: who reads a log reads its end
        self.folder = tempfile.mkdtemp(prefix="sampan-e2e.")
        os.chmod(self.folder, 0o755)

    def ok(self, name):
        self.passed += 1
        print(f"ok {name}", flush=True)

    def not_ok(self, name, why):
        self.failed += 1
        self.told.append(f"not ok {name}: {' '.join(str(why).split())[:600]}")
        print(self.told[-1], flush=True)

    def finish(self):
        if self.failed:
            print(f"# logs: {self.folder}\n# failed:")
            for line in self.told:
                print(line)
        else:
            shutil.rmtree(self.folder)
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0


# ---- one scenario ----

class Child:
    """A program that this harness started."""

    def __init__(self, name, process, log):
        self.name = name
        self.process = process
        self.log = log

    def alive(self):
        return self.process.poll() is None

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def wait_for_line(self, pattern, seconds=READY_SECONDS):
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text(), re.M):
            if not self.alive():
                raise Failed(f"{self.name} ended with {self.process.returncode} before it was ready: {self.tail()}")
            if time.monotonic() > end:
                raise Failed(f"{self.name} is not ready after {seconds} s: {self.tail()}")
            time.sleep(0.02)

    def tail(self):
        return " | ".join(self.text().splitlines()[-5:])

    def end(self, seconds=END_SECONDS):
        """Asks it to end and waits; returns its exit status, or None where it had to be killed."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None


class Scenario:
    """A folder, some children, and checks with the scenario's name before them."""

    def __init__(self, tally, name):
        self.tally = tally
        self.name = name
        self.mode = tally.mode
        self.folder = os.path.join(tally.folder, name)
        os.mkdir(self.folder)
        os.chmod(self.folder, 0o777)
        self.children = []
        self.sidecars = []
        self.closers = []

    def __enter__(self):
        print(f"# {self.name}", flush=True)
        return self

    def __exit__(self, kind, err, trace):
        if isinstance(err, Exception):
            self.tally.not_ok(f"{self.name}/start", f"{type(err).__name__}: {err}")
        stopped = isinstance(err, (KeyboardInterrupt, SystemExit))  # whoever stopped us will not wait long
        try:
            if stopped:
                self.end_all(0.3)
            else:
                self.end_in_order()
        finally:
            for close in reversed(self.closers):
                with contextlib.suppress(OSError):
                    close()
        return not stopped

    def end_in_order(self):
        """The programs first: a sidecar that drains should have nothing left to wait for."""
        for sidecar in self.sidecars:
            sidecar.snapshot()
        sidecars = [sidecar.child for sidecar in self.sidecars]
        self.end_all(5, [child for child in self.children if child not in sidecars])
        for sidecar in reversed(self.sidecars):
            self.check(f"{sidecar.name}-ends-cleanly", sidecar.end_cleanly)

    def end_all(self, seconds, children=None):
        for child in reversed(self.children if children is None else children):
            child.end(seconds)

    def check(self, name, body, *args):
        name = f"{self.name}/{name}"
        try:
            body(*args)
        except Exception as err:
            self.tally.not_ok(name, err if isinstance(err, Failed) else f"{type(err).__name__}: {err}")
            return False
        self.tally.ok(name)
        return True

    def spawn(self, name, argv, ready=None, **more):
        """Starts a program; its output goes to NAME.log. `ready` is a pattern of one of its lines."""
        log = os.path.join(self.folder, name + ".log")
        home = os.path.join(self.folder, "home")
        os.makedirs(home, exist_ok=True)
        os.chmod(home, 0o777)
        env = dict(os.environ, HOME=home, TZ="UTC", LC_ALL="C.UTF-8", **more.pop("env", {}))
        with open(log, "wb") as out:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                       env=env, cwd=self.folder, **more)
        child = Child(name, process, log)
        self.children.append(child)
        if ready:
            child.wait_for_line(ready)
        return child

    def run_checks(self, name, argv, seconds=CLIENT_SECONDS, prefix="", expected=1):
        """Runs a client that says `ok X` and `not ok X: why` itself; its standard error goes to NAME.err."""
        env = dict(os.environ, HOME=self.folder, TZ="UTC", LC_ALL="C.UTF-8")
        with open(os.path.join(self.folder, name + ".err"), "wb") as err:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, env=env,
                                       cwd=self.folder, text=True)
        self.children.append(Child(name, process, err.name))
        said, bad = 0, 0
        for line in lines_until(process.stdout, time.monotonic() + seconds):
            m = re.match(r"(not )?ok ([^:\s]+)(?:: (.*))?$", line)
            if not m:
                continue
            said += 1
            if m[1]:
                bad += 1
                self.tally.not_ok(f"{self.name}/{prefix}{m[2]}", m[3])
            else:
                self.tally.ok(f"{self.name}/{prefix}{m[2]}")
        try:
            status = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            status = f"killed after {seconds} s"
            process.wait()
        if (status != 0) != (bad > 0) or said < expected:
            self.tally.not_ok(f"{self.name}/{prefix}{name}-ran-to-its-end", f"exit {status} after {said} checks, "
                              f"at least {expected} expected: {self.children[-1].tail()}")
        return bad == 0


def lines_until(stream, end):
    """The lines of a pipe as they come, until it closes or the time is over."""
    os.set_blocking(stream.fileno(), False)
    rest = ""
    while True:
        left = end - time.monotonic()
        if left <= 0 or not select.select([stream], [], [], left)[0]:
            return
        part = stream.read()
        if part == "":
            return
        rest += part or ""
        *whole, rest = rest.split("\n")
        yield from whole


# ---- the programs ----

def java(s, home):
    """A JVM whose libraries write their own logs into the scenario's folder, not into the user's home."""
    return JAVA + [f"-Duser.home={os.path.join(s.folder, home)}"]


def sofa_server(s, port, *more, prefix=()):
    return s.spawn("sofa-server", [*prefix, *java(s, "server.home"), "-cp", SOFA_JARS, "com.acme.EchoServer",
                                   "--port", str(port), *more], ready="^ready")


def sofa_client(s, name, *more, prefix=(), said="", expected=13):
    argv = [*prefix, *java(s, name + ".home"), "-cp", SOFA_JARS, "com.acme.EchoClient", *more]
    return s.run_checks(name, argv, prefix=said, expected=expected)


def spring_server(s, port, *more, prefix=()):
    jar = f"{SPRING}/spring-server/spring-server.jar"
    return s.spawn("spring-server", [*prefix, *java(s, "server.home"), "-jar", jar, f"--server.port={port}", *more],
                   ready="^ready")


def spring_client(s, name, url, *more, prefix=(), said="", expected=8):
    jar = f"{SPRING}/spring-client/spring-client.jar"
    argv = [*prefix, *java(s, name + ".home"), "-jar", jar, f"--acme.url={url}", *more]
    return s.run_checks(name, argv, prefix=said, expected=expected)


def node(program, *more, prefix=()):
    return [*prefix, "node", os.path.join(NODE, program), *more]


# ---- sidecars ----

def render(template, values):
    with open(os.path.join(HERE, "config", template)) as f:
        text = f.read()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    left = re.findall(r"@[A-Z_]+@", text)
    if left:
        raise Failed(f"{template}: no value for {', '.join(sorted(set(left)))}")
    return text


class Sidecar:
    """A running sampan-proxy, its configuration (a template's name, or a bootstrap as a value) and its admin door."""

    def __init__(self, scenario, name, template, prefix=(), owner=None, **values):
        self.scenario = scenario
        self.name = name
        self.admin_port = values.setdefault("ADMIN_PORT", free_port())
        self.prefix = list(prefix)
        self.last = {}
        self.config = os.path.join(scenario.folder, name + ".yaml")
        base = os.path.join(scenario.folder, name + ".base")
        os.mkdir(base, 0o700)
        if owner is not None:
            os.chown(base, owner, owner)
        with open(self.config, "w") as f:
            f.write(json.dumps(template) if isinstance(template, dict) else render(template, values))
        argv = [PROXY, "-c", self.config, "--concurrency", "2", "--base-dir", base]
        self.child = scenario.spawn(name, self.prefix + argv)
        scenario.sidecars.append(self)
        self.child.wait_for_line(r"\bready\b")

    def admin(self, path):
        url = f"http://127.0.0.1:{self.admin_port}{path}"
        if self.prefix:  # it is in a namespace: ask from there
            argv = self.prefix[:self.prefix.index("--") + 1] if "--" in self.prefix else self.prefix
            argv += ["curl", "-sS", "-m", str(ADMIN_SECONDS), url]
            return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=2 * ADMIN_SECONDS).stdout
        with urllib.request.urlopen(url, timeout=ADMIN_SECONDS) as answer:
            return answer.read().decode()

    def stats(self):
        """`/stats`: name -> number, where it is one."""
        found = {}
        for line in self.admin("/stats").splitlines():
            name, _, value = line.rpartition(": ")
            with contextlib.suppress(ValueError):
                found[name] = int(value)
        return found

    def snapshot(self):
        """Keeps what it said of itself beside its log, for who looks into a failure."""
        with contextlib.suppress(Exception):
            with open(os.path.join(self.scenario.folder, self.name + ".stats"), "w") as f:
                f.write(self.admin("/stats"))

    def calls(self, cluster):
        return self.stats().get(f"cluster.{cluster}.upstream_rq_total", 0)

    def expect_calls(self, cluster, least):
        got = self.calls(cluster)
        if got < least:
            raise Failed(f"{self.name}: cluster.{cluster}.upstream_rq_total is {got}, not at least {least}")

    def end_cleanly(self):
        status = self.child.end(END_SECONDS)
        text = self.child.text()
        for bad in ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:", "assert", "panic"):
            for line in text.splitlines():
                if bad in line:
                    raise Failed(f"{self.name}: {line.strip()}")
        expect(0, status, f"exit status of {self.name} after SIGTERM ({self.child.tail()})")


# ---- stand-ins, for checking the programs and this harness by themselves ----

class Relay:
    """Copies bytes both ways between one port and another, half-closes and resets included."""

    def __init__(self, port, upstream, host="127.0.0.1"):
        self.upstream = upstream
        self.listener = socket.create_server((host, port), backlog=256)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                down, _ = self.listener.accept()
            except OSError:
                return
            try:
                up = socket.create_connection(self.upstream, 30)
            except OSError:
                down.close()
                continue
            up.settimeout(None)
            for s in (up, down):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, sink in ((down, up), (up, down)):
                threading.Thread(target=self.copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def copy(source, sink):
        try:
            while True:
                part = source.recv(1 << 16)
                if not part:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(part)
        except OSError:
            for s in (source, sink):
                with contextlib.suppress(OSError):
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    s.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`, which would hold the port
        self.listener.close()


class MeshApi:
    """The light SDK's HTTP interface, as a sidecar would answer it: everything succeeds, and is remembered."""

    def __init__(self, port):
        heard = self.heard = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
                heard.append((self.path, body))
                answer = json.dumps({"success": True, "serviceName": body.get("serviceName", ""), "datas": []}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def main_guard(main):
    """Runs `main`; an interruption ends the children first (by the scenarios' own exits)."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())

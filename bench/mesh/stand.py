"""What stands on the machine while a row is measured: the back-end, and proxies before it.

    load ──► instance ──► instance ──► back-end          a Subject has 0 (direct), 1 or 2 instances
    core 1     core 0       core 0       core 1

Every process that is started here is a child of the driver, in a group of its own, and is told by the kernel
to end when the driver dies. Ports are on loopback, taken upward from --base-port where they are free.
"""

import contextlib
import ctypes
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

from machine import ROOT, said_by
from procfs import read, tree

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.environ.get('RIG_BIN', os.path.join(ROOT, 'build', 'bench', 'bin'))
PROXY_CORE, LOAD_CORE = 0, 1
FILES_WANTED = 200000
START_TIMEOUT_S = 15
MODES = ('http1', 'h2', 'bolt', 'tcp')
AT_WORD = ['sh', '-c', 'read -r word; exec "$@" </dev/null', 'sh']

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


class NotMeasured(Exception):
    """Why a proxy has no figure in a row. That is printed, and is no failure."""


def on_core(core, nice=0):
    """What a child does before it becomes the program."""
    def prepare():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        os.setpgid(0, 0)
        os.sched_setaffinity(0, {core})
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (FILES_WANTED, FILES_WANTED))
        except (ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if nice:
            os.setpriority(os.PRIO_PROCESS, 0, nice)
    return prepare


def tool(name):
    return os.path.join(BIN, name)


class Ports:
    """Hands out free ports on loopback, upward."""

    def __init__(self, base):
        self.next = base

    def take(self):
        while True:
            self.next += 1
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(('127.0.0.1', self.next))
                return self.next


class Backend:
    """The servers behind the proxies; h2 needs nghttpd, the rest is ours."""

    def __init__(self, ports, nice=0):
        self.nice, self.processes = nice, []
        self.ports = {mode: ports.take() for mode in MODES}
        self.documents = tempfile.mkdtemp(prefix='bench-documents-')
        for size in (16, 128, 4096):
            with open(os.path.join(self.documents, str(size)), 'w', encoding='utf-8') as opened:
                opened.write('x' * size)
        self.commands = [[tool('backend'), '--http', str(self.ports['http1']),
                          '--bolt', str(self.ports['bolt']), '--source', str(self.ports['tcp'])]]
        if shutil.which('nghttpd'):
            self.commands.append(['nghttpd', '--no-tls', '-a', '127.0.0.1', '-n', '1', '-m', '1024',
                                  '-d', self.documents, str(self.ports['h2'])])
        for command in self.commands:
            self.processes.append(subprocess.Popen(command, preexec_fn=on_core(LOAD_CORE, nice),
                                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        for mode in ('http1', 'bolt', 'tcp'):
            await_answer(mode, self.ports[mode], self.processes[0])

    def pids(self):
        return [process.pid for process in self.processes]

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.documents, ignore_errors=True)


# ---------------------------------------------------------------- does it answer?
def bolt_request():
    """A Bolt v1 request with the class and the header block that a SOFARPC client sends."""
    name = b'com.alipay.sofa.rpc.core.request.SofaRequest'
    headers = b''
    for key, value in ((b'service', b'com.example.EchoService:1.0'),
                       (b'sofa_head_target_service', b'com.example.EchoService:1.0'),
                       (b'sofa_head_method_name', b'echo')):
        headers += struct.pack('>I', len(key)) + key + struct.pack('>I', len(value)) + value
    fixed = struct.pack('>BBHBIBiHHI', 1, 1, 1, 1, 77, 1, 3000, len(name), len(headers), 16)
    return fixed + name + headers + b'x' * 16


def bolt_heartbeat():
    """What a server of any service answers."""
    return struct.pack('>BBHBIBiHHI', 1, 1, 0, 1, 77, 1, 3000, 0, 0, 0)


def receive(connection, count):
    data = b''
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            break
        data += more
    return data


def answers(mode, port):
    """Does one real request get its good answer?"""
    if mode == 'http1':
        client = http.client.HTTPConnection('127.0.0.1', port, timeout=2)
        try:
            client.request('GET', '/16')
            answer = client.getresponse()
            return answer.status == 200 and len(answer.read()) == 16
        finally:
            client.close()
    with socket.create_connection(('127.0.0.1', port), timeout=2) as connection:
        if mode == 'beat':
            connection.sendall(bolt_heartbeat())
            head = receive(connection, 20)
            return len(head) == 20 and head[:4] == b'\1\0\0\0' and head[5:9] == b'\0\0\0\x4d'
        if mode == 'bolt':
            connection.sendall(bolt_request())
            head = receive(connection, 20)
            return len(head) == 20 and head[1] == 0 and head[5:9] == b'\0\0\0\x4d' and head[10:12] == b'\0\0'
        if mode == 'tcp':
            return len(connection.recv(1)) == 1
    return True


def await_answer(mode, port, process):
    """Seconds until the first good answer; None when there was none or the process has ended."""
    began = time.perf_counter()
    while time.perf_counter() - began < START_TIMEOUT_S:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if answers(mode, port):
                return time.perf_counter() - began
        if process.poll() is not None:
            return None
        time.sleep(0.0005)
    return None


# ---------------------------------------------------------------- proxies
class Definition:
    """A file proxies/NAME.json and the binary that it means."""

    def __init__(self, name):
        path = os.path.join(HERE, 'proxies', name + '.json')
        if not os.path.exists(path):
            raise SystemExit(f'measure: there is no {path}')
        with open(path, encoding='utf-8') as opened:
            self.raw = json.load(opened)
        self.name, self.modes = name, self.raw['modes']
        self.binary = self._find()
        self.vars = dict(self.raw.get('vars', {}))
        for key, line in self.raw.get('vars_cmd', {}).items():
            if self.binary:
                self.vars[key] = said_by(['sh', '-c', line.replace('@BIN@', self.binary)])

    def _find(self):
        """The binary: named by the environment, built here, or on the path; None when there is none."""
        if os.environ.get(self.raw['bin_env']):
            return os.path.abspath(os.environ[self.raw['bin_env']])
        if self.raw.get('only_env'):
            return None
        path = os.pathsep.join([BIN, os.path.join(ROOT, 'build'), os.environ.get('PATH', ''), '/usr/sbin'])
        return shutil.which(self.raw['bin'], path=path)

    def version(self):
        """What the binary says of itself; our own floor has the commit for a version."""
        if 'version' not in self.raw:
            return 'of this commit'
        words = said_by([part.replace('@BIN@', self.binary) for part in self.raw['version']]).split()
        return ' '.join(word for word in words if not word.startswith(('/', 'http')))

    def check(self, mode, kind):
        """Raise NotMeasured where this proxy has no part in a row."""
        if mode not in self.modes:
            raise NotMeasured(f'does not do {mode}')
        if kind == 'reload' and mode not in self.raw.get('reload', {}).get('modes', []):
            raise NotMeasured(f'has no hot upgrade of {mode}')
        if not self.binary:
            how = f"name a binary by {self.raw['bin_env']}" if self.raw.get('only_env') else 'not installed'
            raise NotMeasured(how)


class Instance:
    """One running process tree of a definition, in one mode, before one upstream port."""

    def __init__(self, definition, mode, upstream_port, ports, nice=0, probe=None):
        self.definition, self.mode, self.nice, self.probe = definition, mode, nice, probe or mode
        self.section = definition.modes[mode]
        self.port, self.admin_port, self.upstream_port = ports.take(), ports.take(), upstream_port
        self.processes, self.folder, self.epoch, self.command = [], '', 0, []

    def fill(self, text):
        """A template with its @WORDS@ replaced, twice, since a value may hold another word."""
        values = {'BIN': self.definition.binary, 'PORT': self.port, 'ADMIN_PORT': self.admin_port,
                  'UPSTREAM_PORT': self.upstream_port, 'DIR': self.folder, 'EPOCH': self.epoch,
                  'CONF': os.path.join(self.folder, 'proxy' + self.section.get('suffix', '.conf')),
                  'BASE_ID': self.port % 32000}
        values.update(self.definition.vars)
        values.update(self.section.get('vars', {}))
        for _ in range(2):
            for key, value in values.items():
                text = text.replace(f'@{key}@', str(value))
        return text

    def spawn(self, command, at_word=False):
        """Start a program; with `at_word` it waits for a line on standard input before it becomes itself."""
        environment = dict(os.environ)
        environment.update(self.definition.raw.get('env', {}))
        self.command = [self.fill(part) for part in command]
        words = AT_WORD + self.command if at_word else self.command
        with open(os.path.join(self.folder, 'log.txt'), 'ab') as log:
            self.processes.append(subprocess.Popen(
                words, preexec_fn=on_core(PROXY_CORE, self.nice),
                stdin=subprocess.PIPE if at_word else subprocess.DEVNULL,
                stdout=log, stderr=log, cwd=self.folder, env=environment))

    def start(self, hot=False):
        """Start, wait for the first good answer; returns the seconds from exec until then."""
        self.folder = tempfile.mkdtemp(prefix=f'bench-{self.definition.name}-')
        self.epoch, self.processes = 0, []
        os.chmod(self.folder, 0o755)
        if 'config' in self.section:
            with open(os.path.join(HERE, 'proxies', self.section['config']), encoding='utf-8') as opened:
                text = self.fill(opened.read())
            with open(self.fill('@CONF@'), 'w', encoding='utf-8') as opened:
                opened.write(text)
        command = self.section.get('cmd', self.definition.raw['cmd'])
        began = time.perf_counter()
        self.spawn(self.definition.raw['reload'].get('hot_cmd', command) if hot else command)
        if await_answer(self.probe, self.port, self.processes[0]) is None:
            log = read(os.path.join(self.folder, 'log.txt')).strip()[-600:]
            self.stop()
            raise NotMeasured(f'did not start: {log or "no answer, no words"}')
        return time.perf_counter() - began

    def prepare_reload(self):
        """A function that begins the upgrade. What the driver itself needs for it, such as a fork of Python
        on the core of the load, is done before: only the proxy's own work is in the window."""
        how = self.definition.raw['reload']
        if how['how'] == 'signal':
            return lambda: os.kill(self.processes[0].pid, getattr(signal, 'SIG' + how['signal']))
        self.epoch += 1
        self.spawn(how['cmd'], at_word=True)
        waiting = self.processes[-1].stdin

        def begin():
            waiting.write(b'\n')
            waiting.close()
        return begin

    def pids(self):
        return tree([process.pid for process in self.processes if process.poll() is None])

    def stop(self):
        left = self.pids()
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        end = time.monotonic() + 2
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.05, end - time.monotonic()))
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2)
        self.processes = []
        if self.folder and not os.environ.get('RIG_KEEP'):
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder = ''


class Subject:
    """What is measured in a row: `direct`, or one proxy in `hops` instances, the last before the back-end."""

    def __init__(self, name, definition, row, backend, ports, nice=0):
        self.name, self.direct, self.instances = name, definition is None, []
        self.port = backend.ports[row['mode']]
        for _ in range(0 if self.direct else row.get('hops', 1)):
            self.instances.insert(0, Instance(definition, row['mode'], self.port, ports, nice, row.get('probe')))
            self.port = self.instances[0].port

    @property
    def hops(self):
        return len(self.instances)

    def start(self, hot=False):
        """Back to front: each finds its upstream there. Returns the seconds of all."""
        return sum(instance.start(hot) for instance in reversed(self.instances))

    def stop(self):
        for instance in self.instances:
            instance.stop()

    def pids(self):
        return [pid for instance in self.instances for pid in instance.pids()]

"""A real SOFARPC pair in the place of load and back-end: two JVMs on the core of the load.

The server is the one of tests/e2e, the client java/LoadClient.java, compiled against the same jars. Both live
as long as the row, so that all proxies of it meet code that is compiled already: they are heated without a
proxy first. Their young generations are large enough that no collection falls into most windows, and their
tracer writes no line for each call: both would be noise on the core of the load.
"""

import contextlib
import json
import math
import os
import shutil
import subprocess
import tempfile
import time

import stand
from machine import ROOT

JARS = os.path.join(os.environ.get('E2E_OUT', os.path.join(ROOT, 'build', 'e2e')), 'java')
CLASSES = os.path.join(os.path.dirname(stand.BIN), 'java')
SOURCE = os.path.join(stand.HERE, 'java', 'LoadClient.java')
CLASS_PATH = os.pathsep.join([CLASSES, os.path.join(JARS, 'app.jar'), os.path.join(JARS, 'lib', '*')])
JVM = ['-Ddisable_middleware_digest_log=true', '-Xms320m', '-Xmx320m', '-Xmn240m', '-XX:+UseSerialGC',
       '-XX:+AlwaysPreTouch',
       '--add-opens', 'java.base/java.lang=ALL-UNNAMED', '--add-opens', 'java.base/java.util=ALL-UNNAMED',
       '--add-opens', 'java.base/java.math=ALL-UNNAMED']          # Hessian looks into java.lang's own fields
THREADS = 16
HEAT_CALLS, HEAT_S = 30000, 20  # until the second compiler has done with both ends, but no longer
IDLE_MS = 600000                # the server hangs up behind it; no row lasts that long
PR_SET_TIMERSLACK = 29


def lacking():
    """What is missing for the row, and what to type; '' when all is there."""
    for program in ('java', 'javac'):
        if not shutil.which(program):
            return f'{program} is not installed; `make bench-deps` brings it'
    if not os.path.exists(os.path.join(JARS, 'app.jar')):
        return 'SOFARPC and its server are not built; type `make bench-deps` or tests/e2e/build.sh java'
    return ''


def build():
    """Compile the client when it is older than its source or than the jar."""
    target = os.path.join(CLASSES, 'com', 'acme', 'bench', 'LoadClient.class')
    newest = max(os.path.getmtime(path) for path in (SOURCE, os.path.join(JARS, 'app.jar')))
    if not os.path.exists(target) or os.path.getmtime(target) < newest:
        os.makedirs(CLASSES, exist_ok=True)
        subprocess.run(['javac', '-Xlint:all', '-Werror', '-proc:none', '-cp', CLASS_PATH, '-d', CLASSES, SOURCE],
                       check=True)


def figures_of(line):
    """What `load` says of a run, from the line of JSON that the client ends one with."""
    run = json.loads(line)
    ns = sorted(run.pop('latencies_ns'))
    if not ns:
        raise RuntimeError('no call was answered')
    for part, name in ((0.5, 'p50_us'), (0.9, 'p90_us'), (0.99, 'p99_us'), (0.999, 'p999_us'), (1, 'max_us')):
        run[name] = ns[math.ceil(part * len(ns)) - 1] / 1000
    return dict(run, ok=len(ns), rps=len(ns) / run['secs'], mean_us=sum(ns) / len(ns) / 1000)


def sharp(prepare):
    """A thread of the JVM wakes within a microsecond of the due time, not 50: children inherit the slack."""
    def both():
        prepare()
        stand.LIBC.prctl(PR_SET_TIMERSLACK, 1000)
    return both


class Pair:
    """Server and client; what a row needs of its back-end, and `ask` for a run."""

    def __init__(self, ports, nice=0):
        build()
        self.folder = tempfile.mkdtemp(prefix='bench-sofarpc-')
        self.ports = {'bolt': ports.take()}
        self.commands, self.processes = [], []
        try:
            port = str(self.ports['bolt'])
            server = self.spawn('com.acme.EchoServer', nice, '--port', port, '--idle', str(IDLE_MS))
            if stand.await_answer('beat', self.ports['bolt'], server) is None:
                raise stand.NotMeasured('the SOFARPC server did not start: ' + self.log()[-300:])
            self.client = self.spawn('com.acme.bench.LoadClient', nice, '1024', str(THREADS))
            self.heat()
        except BaseException:
            self.stop()
            raise

    def heat(self):
        """Call without a pause until both ends are compiled."""
        calls, began = 0, time.monotonic()
        while calls < HEAT_CALLS and time.monotonic() - began < HEAT_S:
            client = self.order(self.ports['bolt'], 0, 0, 2)
            line = next((line for line in client.stdout if line.startswith('{')), '')
            if not line:
                break
            calls += len(json.loads(line)['latencies_ns'])
        if not calls:
            raise stand.NotMeasured('the SOFARPC client has no answer: ' + self.log()[-300:])

    def spawn(self, name, nice, *words):
        """Libraries write logs of their own: below the folder, not in the user's home."""
        command = ['java', *JVM, f'-Duser.home={self.folder}', '-cp', CLASS_PATH, name, *words]
        self.commands.append(command)
        with open(os.path.join(self.folder, 'log.txt'), 'ab') as log:
            self.processes.append(subprocess.Popen(
                command, preexec_fn=sharp(stand.on_core(stand.LOAD_CORE, nice)), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if 'Client' in name else log, stderr=log, text=True, cwd=self.folder))
        return self.processes[-1]

    def log(self):
        return stand.read(os.path.join(self.folder, 'log.txt')).strip()

    def order(self, port, rate, warm_s, secs):
        """Have the client begin a run; it prints START, END and a line of JSON."""
        self.client.stdin.write(f'{port} {rate} {warm_s} {secs}\n')
        self.client.stdin.flush()
        return self.client

    def pids(self):
        return [process.pid for process in self.processes]

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    with contextlib.suppress(OSError):
                        pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)

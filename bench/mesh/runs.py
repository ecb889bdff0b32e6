"""One run of each kind of row. A run gives a dictionary of figures; a broken run raises RuntimeError.

CPU is the scheduler's own run time, summed over all threads of the proxy's processes, read before and after
the counted window. TCP work on loopback that the kernel does while the proxy sends is charged to the proxy,
and so it is for every proxy alike. `foreign` is what anything else on the machine used in that window, as a
share of one core: the measure of how much a figure may be trusted.
"""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time

import sofarpc
from procfs import cpu, descriptors, machine_busy, memory, read, resident
from stand import LOAD_CORE, on_core, tool

WARM_S = 0.4
WINDOW_SLACK = 0.03             # a driver that woke later than this share of the window has no figure


class Bench:
    """What a run needs to know of its surroundings: the back-end, the priority; it collects the commands."""

    def __init__(self, backend, nice=0):
        self.backend, self.nice, self.commands = backend, nice, []

    def child(self, command, **options):
        self.commands.append(command)
        options = {'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT, 'text': True, **options}
        return subprocess.Popen(command, preexec_fn=on_core(LOAD_CORE, self.nice), **options)

    def output(self, command):
        return self.child(command).communicate(timeout=120)[0]

    def load(self, subject, row, *more, secs=None, **options):
        return self.child([tool('load'), '--port', str(subject.port), *row['args'],
                           '--warm', str(row.get('warm', WARM_S)), '--secs', str(secs or row['secs']), *more],
                          **options)


def in_turn(subjects, turn):
    """The order of a round: another one first each time, and every second time backwards, so that nobody is
    always measured in the wake of the same other."""
    first = turn // 2 % len(subjects)
    order = subjects[first:] + subjects[:first]
    return order[::-1] if turn % 2 else order


def resources(who):
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def measured(subject, bench, window, generators=()):
    """Run window() and add to its figures what the proxy, and what strangers, used meanwhile.

    generators: pids of loads that run on after the window; those that end within it are seen as children."""
    pids, ours = subject.pids(), bench.backend.pids() + list(generators)

    def look():
        children, self = resources(resource.RUSAGE_CHILDREN), resources(resource.RUSAGE_SELF)
        return cpu(pids), cpu(ours)[0] + children + self, machine_busy(), time.perf_counter()

    proxy0, ours0, busy0, began = look()
    figures = window()
    proxy1, ours1, busy1, ended = look()
    elapsed = ended - began
    used = [after - before for before, after in zip(proxy0, proxy1)]
    if not subject.direct and used[0] <= 0:
        raise RuntimeError('no CPU time was read for the proxy')
    strangers = (busy1[0] - busy0[0]) - used[0] - (ours1 - ours0)
    figures.update(cpu_s=used[0], cpu_user_s=used[1], cpu_system_s=used[2], window_s=elapsed,
                   core_use=used[0] / elapsed, foreign=max(0.0, strangers) / elapsed,
                   stolen=(busy1[1] - busy0[1]) / elapsed)
    return figures


def await_line(process, word):
    for line in process.stdout:
        if line.startswith(word):
            return line
    raise RuntimeError(f'the load generator ended before {word}')


def results_of(process, count):
    """The lines of JSON that end a run of `load`, one for each window."""
    lines = process.stdout.read().strip().splitlines()
    process.wait()
    if len(lines) < count or not all(line.startswith('{') for line in lines[-count:]):
        raise RuntimeError('load: ' + ' '.join(lines[-3:]))
    return [json.loads(line) for line in lines[-count:]]


# ---------------------------------------------------------------- CPU for each request, latency
def wrk_window(bench, command, secs):
    out = bench.output(command)
    total = re.search(r'(\d+) requests in ([\d.]+)(m?s)', out)
    if not total:
        raise RuntimeError('wrk: ' + out[-300:])
    bad = re.search(r'Non-2xx or 3xx responses: (\d+)', out)
    errors = re.search(r'Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)', out)
    took = float(total[2]) / (1000 if total[3] == 'ms' else 1)
    return {'ok': int(total[1]), 'secs': took, 'rps': int(total[1]) / took,
            'bad_status': int(bad[1]) if bad else 0,
            'failed': sum(int(n) for n in errors.groups()) if errors else 0}


def h2load_window(bench, command, secs):
    out = bench.output(command)
    counts = re.search(r'(\d+) succeeded, (\d+) failed, (\d+) errored', out)
    good = re.search(r'status codes: (\d+) 2xx', out)
    if not counts or not good:
        raise RuntimeError('h2load: ' + out[-300:])
    return {'ok': int(good[1]), 'secs': secs, 'rps': int(good[1]) / secs,
            'bad_status': int(counts[1]) - int(good[1]), 'failed': int(counts[2])}


def for_each_request(figures):
    """CPU for each request, or for each GiB where bytes were counted."""
    if figures.get('ok'):
        for part, name in (('cpu_s', 'cpu_us'), ('cpu_user_s', 'user_us'), ('cpu_system_s', 'system_us')):
            figures[name] = figures[part] * 1e6 / figures['ok']
    elif figures.get('bytes'):
        gib = figures['bytes'] / 2**30
        figures['gib_s'], figures['cpu_s_per_gib'] = gib / figures['secs'], figures['cpu_s'] / gib
    else:
        raise RuntimeError('no request was answered')
    return figures


def run_wrk(subject, row, bench):
    bench.output([tool('load'), '--port', str(subject.port), '--path', row['path'],
                  '--conns', str(row['conns']), '--warm', '0', '--secs', str(WARM_S)])
    command = ['wrk', '-t1', f"-c{row['conns']}", f"-d{round(row['secs'])}s",
               f"http://127.0.0.1:{subject.port}{row['path']}"]
    return for_each_request(measured(subject, bench, lambda: wrk_window(bench, command, row['secs'])))


def run_h2load(subject, row, bench):
    def command(secs):
        return ['h2load', '-c', str(row['conns']), '-m', str(row['streams']), '-t1', '-D', str(secs),
                f"http://127.0.0.1:{subject.port}{row['path']}"]
    bench.output(command(1))
    secs = round(row['secs'])
    return for_each_request(measured(subject, bench, lambda: h2load_window(bench, command(secs), secs)))


def marked(subject, bench, process, generators, result):
    """The run of a generator that marks its window, so that the CPU that is read covers just the counted time."""
    await_line(process, 'START')

    def window():
        await_line(process, 'END')
        return {}

    figures = measured(subject, bench, window, generators)
    figures.update(result())
    if abs(figures['window_s'] - figures['secs']) > WINDOW_SLACK * figures['secs']:
        raise RuntimeError(f"the driver woke late: CPU of {figures['window_s']:.2f} s read for a load of "
                           f"{figures['secs']:.2f} s")
    if subject.hops > 1:
        figures['pss_kib_each'] = memory(subject.pids())[1] / subject.hops
    return for_each_request(figures)


def run_load(subject, row, bench):
    process = bench.load(subject, row, '--marks')
    return marked(subject, bench, process, [process.pid], lambda: results_of(process, 1)[0])


def run_sofarpc(subject, row, bench):
    client = bench.backend.order(subject.port, row['rate'], row['warm'], row['secs'])
    return marked(subject, bench, client, [], lambda: sofarpc.figures_of(await_line(client, '{')))


# ---------------------------------------------------------------- memory, start
HELD = (1000, 8000)             # twice as many descriptors must fit under a hard limit of 20,000


def hold(subject, row, bench, count):
    """Open connections, one answered request on each; returns the load that keeps them, and how many live."""
    process = bench.child([tool('load'), '--proto', row['mode'], '--port', str(subject.port),
                           '--conns', str(count), '--hold'], stdin=subprocess.PIPE)
    live = int(await_line(process, 'READY').split()[1])
    time.sleep(0.5)
    return process, live


def run_mem(subject, row, bench):
    """Idle, with 1,000 and 8,000 held connections; then a fresh process after two seconds of full load."""
    figures = {}
    try:
        subject.start()
        time.sleep(1)
        figures['rss_idle'], figures['pss_idle'] = memory(subject.pids())
        for count in HELD:
            process, live = hold(subject, row, bench, count)
            figures[f'live_{count}'] = live
            figures[f'rss_{count}'], figures[f'pss_{count}'] = memory(subject.pids())
            process.communicate('')
            time.sleep(0.3)
        grown, live = figures[f'pss_{HELD[1]}'] - figures['pss_idle'], figures[f'live_{HELD[1]}']
        figures['kib_per_conn'] = grown / max(1, live)
        subject.stop()
        subject.start()
        shape = ['--path', '/4096'] if row['mode'] == 'http1' else ['--depth', '8']
        bench.output([tool('load'), '--proto', row['mode'], '--port', str(subject.port), '--conns', '64',
                      *shape, '--warm', '0', '--secs', '2'])
        time.sleep(0.3)
        figures['rss_after'], figures['pss_after'] = memory(subject.pids())
    finally:
        subject.stop()
    return figures


def run_start(subject, row, bench):
    try:
        return {'ready_ms': subject.start() * 1000}
    finally:
        subject.stop()


# ---------------------------------------------------------------- system calls
def read_trace(text, requests):
    """The counts of `strace -C -Z`: failing calls line by line, then the summary of all calls."""
    calls, failing = {}, {}
    for line in text.splitlines():
        counted = re.match(r'\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)(?:\s+\d+)?\s+(\w+)$', line)
        failed = re.match(r'(?:\d+\s+)?(?:<\.\.\. )?(\w+).* = -1 E(?:AGAIN|WOULDBLOCK)\b', line)
        if counted and counted[2] != 'total':
            calls[counted[2]] = int(counted[1]) / requests
        elif failed:
            failing[failed[1]] = failing.get(failed[1], 0) + 1
    if not calls:
        raise RuntimeError('strace: ' + text[-300:])
    return {'ok': requests, 'calls': sum(calls.values()), 'eagain': sum(failing.values()) / requests,
            'eagain_count': sum(failing.values()), 'calls_by_name': calls, 'eagain_by_name': failing}


def count_answers(process):
    process.stdin.write('count\n')
    process.stdin.flush()
    return int(await_line(process, 'COUNT').split()[1])


def run_syscalls(subject, row, bench):
    """Trace a proxy under a load that is under way already, so that no call of setting up is counted."""
    load = bench.load(subject, row, '--marks', '--ask', secs=60, stdin=subprocess.PIPE)
    await_line(load, 'START')
    with tempfile.NamedTemporaryFile(prefix='bench-strace-') as trace:
        pids = subject.pids()
        strace = bench.child(['strace', '-f', '-C', '-Z', '-o', trace.name,
                              *(word for pid in pids for word in ('-p', str(pid)))])
        try:
            for _ in pids:
                await_line(strace, 'strace: Process')
            before = count_answers(load)
            time.sleep(row['secs'])
            requests = count_answers(load) - before
        finally:
            os.kill(strace.pid, signal.SIGINT)
            strace.communicate(timeout=20)
            load.stdin.close()
            load.stdout.read()
            load.wait()
        return read_trace(read(trace.name), max(1, requests))


# ---------------------------------------------------------------- hot upgrade
LEAD_S = 0.5                    # from the border of the window to the upgrade
LOOK_S = 0.05                   # between two looks at what the proxy holds
LOST = ('failed', 'unanswered', 'bad_status', 'id_errors', 'overflow')
WITHOUT = ('longest_ms', 'p99_us', 'p999_us', 'lost', 'closes', 'ok')  # kept of the window without upgrade


def beside(without, upgraded):
    """The figures of an upgrade: what its window shows, and its longest answer above that of the window of
    the same load in which nothing happened. A request is lost when it has no good answer."""
    for window in (without, upgraded):
        window['longest_ms'] = window['max_us'] / 1000
        window['lost'] = sum(window[key] for key in LOST)
    figures = dict(upgraded, longer_ms=upgraded['longest_ms'] - without['longest_ms'])
    figures.update({'without_' + key: without[key] for key in WITHOUT})
    return figures


def run_reload(subject, row, bench):
    """One steady load, two windows of one length; the upgrade falls into the second. The driver does the same
    in both, since it shares a core with the load."""
    most = {'peak_rss': 0, 'peak_files': 0}

    def look_until(end, pids_before):
        while time.perf_counter() < end:
            pids = [pid for pid in subject.pids() if pid not in pids_before]
            most['peak_rss'] = max(most['peak_rss'], resident(pids))
            most['peak_files'] = max(most['peak_files'], descriptors(pids))
            time.sleep(LOOK_S)

    try:
        subject.start(hot=True)
        old = set(subject.pids())
        upgrade = subject.instances[0].prepare_reload()
        waiting = set(subject.pids()) - old
        load = bench.load(subject, row, '--windows', '2', '--marks')
        if 'live' in row:
            live = int(await_line(load, 'SETTLED').split()[1])
            if live < row['live']:
                raise RuntimeError(f"only {live:,} of {row['live']:,} connections live")
        await_line(load, 'START')
        look_until(time.perf_counter() + row['secs'] - LOOK_S, waiting)
        await_line(load, 'NEXT')
        began = time.perf_counter()
        look_until(began + LEAD_S, waiting)
        upgrade()
        look_until(began + row['secs'] - LOOK_S, ())
        figures = beside(*results_of(load, 2))
        now = set(subject.pids())
        if not now - old:
            raise RuntimeError('no new process took over')
        return dict(figures, **most, new_pids=len(now - old), old_pids_left=len(now & old))
    finally:
        subject.stop()


KINDS = {'wrk': run_wrk, 'h2load': run_h2load, 'load': run_load, 'sofarpc': run_sofarpc, 'mem': run_mem,
         'start': run_start, 'syscalls': run_syscalls, 'reload': run_reload}
STARTS_ITSELF = ('mem', 'start', 'reload')
NEEDS = {'wrk': ['wrk'], 'h2load': ['h2load', 'nghttpd'], 'syscalls': ['strace']}


def lacking(row):
    """Why this machine cannot run a row at all; '' where it can."""
    for name in NEEDS.get(row['kind'], []):
        if not shutil.which(name):
            return f'{name} is not installed'
    if row['kind'] == 'sofarpc':
        return sofarpc.lacking()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if row.get('files', 0) > most:
        return f"needs {row['files']:,} open files for a process; the hard limit here is {most:,}"
    return ''

#!/usr/bin/env python3
"""Measure sidecars side by side on one machine: ours, its peers, and a bare relay as the floor.

    measure.py build                       compile load, backend and relay into build/bench/bin
    measure.py list                        the rows, the sets of rows, the proxies
    measure.py run [options] [ROW|SET...]  measure (default: the set `sidecar`) and write a result file
    measure.py table FILE [ROW...]         print a result file; colours on a terminal only

The proxy under test has core 0 and one worker; load generator and back-end share core 1. All proxies of a
row stand ready together and are measured in turn, once each a round, in an order that rotates. The README
beside bench/ says how the figures are made and how a proxy is added.
"""

import argparse
import contextlib
import fcntl
import glob
import json
import os
import signal
import subprocess
import sys
import time

import machine
import rows
import runs
import sofarpc
import stand
import summary
import table

HERE = os.path.dirname(os.path.abspath(__file__))
RESULTS = os.path.join(machine.ROOT, 'bench', 'results')
CFLAGS = ['-O2', '-g', '-std=gnu17', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Wshadow', '-Wvla', '-Werror']
RETRY_SHARE = 0.15              # how much longer than estimated a row may take for the sake of repeated runs


def say(text):
    print(text, file=sys.stderr, flush=True)


def build():
    """Compile what is older than its sources. A program is NAME.c, NAME_*.c and rig.c."""
    os.makedirs(stand.BIN, exist_ok=True)
    headers = glob.glob(os.path.join(HERE, '*.h'))
    for name in ('load', 'backend', 'relay'):
        sources = [os.path.join(HERE, name + '.c'), *sorted(glob.glob(os.path.join(HERE, name + '_*.c'))),
                   os.path.join(HERE, 'rig.c')]
        target = stand.tool(name)
        if os.path.exists(target) and all(os.path.getmtime(source) <= os.path.getmtime(target)
                                          for source in sources + headers):
            continue
        say(f'bench: compiling {name}')
        subprocess.run([os.environ.get('CC', 'cc'), *CFLAGS, '-o', target, *sources], check=True)


# ---------------------------------------------------------------- one row
class Measure:
    """The making of one result file."""

    def __init__(self, options):
        self.options = options
        self.ports = stand.Ports(options.base_port)
        self.definitions = {name: stand.Definition(name) for name in options.proxies}
        self.printer = table.Printer()
        self.result = {
            'when': machine.now(), 'commit': machine.commit(), 'command': sys.argv,
            'machine': machine.facts(), 'tools': machine.tools(),
            'cores': {'proxy': stand.PROXY_CORE, 'load_and_backend': stand.LOAD_CORE},
            'options': {key: value for key, value in vars(options).items() if key not in ('what', 'words')},
            'peers': {}, 'rows': {}}
        for name, definition in self.definitions.items():
            self.result['peers'][name] = (
                {'version': definition.version(), 'binary': os.path.basename(definition.binary)}
                if definition.binary else {'not_measured': 'no binary'})

    def candidates(self, name):
        """The proxies that have a part in a row, and why the others have none."""
        row, found, absent = rows.ROWS[name], [], {}
        if row.get('direct'):
            found.append('direct')
        for proxy, definition in self.definitions.items():
            if self.options.proxies is rows.PROXIES and proxy not in row.get('proxies', rows.USUAL):
                continue
            if proxy.endswith('-splice') and row['mode'] != 'tcp':
                continue
            try:
                definition.check(row['mode'], row['kind'])
                found.append(proxy)
            except stand.NotMeasured as reason:
                absent[proxy] = str(reason)
        return found, absent

    def rounds_of(self, name):
        return rows.rounds(rows.ROWS[name], self.options.rounds)

    def runs_of(self, name):
        """How many runs a row has, of all proxies and rounds."""
        turns = self.rounds_of(name)
        return sum(rows.takes_part(rows.ROWS[name], proxy, turn, turns)
                   for proxy in self.candidates(name)[0] for turn in range(turns))

    def estimate(self, names):
        """Seconds that the rows will take, without repeated runs."""
        return sum(rows.ROWS[name]['seconds'] * self.runs_of(name) + rows.ROWS[name].get('before', 1.5)
                   for name in names)

    def fit(self, names):
        """Take fewer rounds where the time allowed would not do for all, and say so."""
        allowed = self.options.minutes * 60 / (1 + RETRY_SHARE / 2)
        while self.options.minutes and self.options.rounds > 1 and self.estimate(names) > allowed:
            self.options.rounds -= 1
            say(f'bench: {self.options.rounds} rounds, to stay within {self.options.minutes:g} minutes')
        say(f'bench: {len(names)} rows, about {self.estimate(names) / 60:.0f} minutes')

    def stand_up(self, name, row, bench, absent):
        """The subjects of a row, started where the row does not start them itself."""
        subjects = []
        for proxy in self.candidates(name)[0]:
            subject = stand.Subject(proxy, self.definitions.get(proxy), row, bench.backend, self.ports,
                                    self.options.nice)
            try:
                if row['kind'] not in runs.STARTS_ITSELF:
                    subject.start()
                subjects.append(subject)
            except stand.NotMeasured as reason:
                absent[proxy] = str(reason)
                subject.stop()
        return subjects

    def run_once(self, subject, row, bench, may_retry):
        """One figure: a run that strangers disturbed is made again, and the quietest is kept. So is one that
        failed; that it did is kept too."""
        best, faults = None, []
        for attempt in range(1, self.options.attempts + 1):
            try:
                figures = runs.KINDS[row['kind']](subject, row, bench)
            except (RuntimeError, OSError, ValueError, stand.NotMeasured, subprocess.TimeoutExpired) as fault:
                figures = {'error': str(fault)[-300:]}       # recorded, not hidden
                faults.append(figures['error'])
            if best is None or 'error' in best or figures.get('foreign', 9) < best.get('foreign', 9):
                best = dict(figures, attempts=attempt)
            if ('error' not in best and best.get('foreign', 0) < self.options.foreign) or not may_retry():
                break
        if faults and 'error' not in best:
            best['error_before'] = faults[0]
        return best

    def behind(self, row):
        """The back-end of a row."""
        lacking = runs.lacking(row)
        if lacking:
            raise stand.NotMeasured(lacking)
        kind = sofarpc.Pair if row['kind'] == 'sofarpc' else stand.Backend
        return kind(self.ports, self.options.nice)

    def measure(self, name):
        """All rounds of one row, into the result."""
        row, absent = dict(rows.ROWS[name]), self.candidates(name)[1]
        if self.options.secs and 'secs' in row:
            row['secs'] = self.options.secs
        rounds, limit = self.rounds_of(name), self.estimate([name]) * (1 + RETRY_SHARE)
        say(f"bench: {name}: {row['title']}")
        taken = {}
        try:
            bench = runs.Bench(self.behind(row), self.options.nice)
        except stand.NotMeasured as reason:
            absent.update({proxy: str(reason) for proxy in self.candidates(name)[0]})
            self.keep(name, row, [], taken, absent, runs.Bench(None))
            return
        began = time.monotonic()
        subjects = []
        try:
            subjects = self.stand_up(name, row, bench, absent)
            for turn in range(rounds if subjects else 0):
                for subject in runs.in_turn(subjects, turn):
                    if not rows.takes_part(row, subject.name, turn, rounds):
                        continue
                    figures = self.run_once(subject, row, bench, lambda: time.monotonic() - began < limit)
                    taken.setdefault(subject.name, []).append(figures)
                say(f'bench: {name}: round {turn + 1} of {rounds}, {time.monotonic() - began:.0f} s')
            self.keep(name, row, subjects, taken, absent, bench)
        finally:
            for subject in subjects:
                subject.stop()
            bench.backend.stop()

    def keep(self, name, row, subjects, taken, absent, bench):
        proxies = {}
        for subject in subjects:
            found = summary.summed(subject.name, row, taken)
            for detail in ('calls_by_name', 'eagain_by_name'):
                if detail in taken[subject.name][0]:
                    found[detail] = taken[subject.name][0][detail]
            section = subject.instances[0].section if subject.instances else {}
            proxies[subject.name] = {
                'command': subject.instances[0].command if subject.instances else [],
                'config': section.get('config'), 'note': section.get('note', ''),
                'summary': found, 'rounds': taken[subject.name]}
            if subject.name == 'sampan':
                proxies[subject.name]['goals'] = summary.goals(row, found)
        for proxy, reason in absent.items():
            proxies[proxy] = {'not_measured': reason}
        programs = {os.path.basename(command[0]): command for command in bench.commands}
        self.result['rows'][name] = {'setting': row, 'rounds': self.rounds_of(name), 'load': programs,
                                     'backend': bench.backend.commands if bench.backend else [],
                                     'proxies': proxies}
        self.printer.table(name, self.result['rows'][name])

    def write(self, path):
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        text = json.dumps(self.result, indent=1).replace(machine.ROOT + os.sep, '')  # not where the tree lies
        with open(path + '.part', 'w', encoding='utf-8') as opened:
            opened.write(text + '\n')
        os.replace(path + '.part', path)


# ---------------------------------------------------------------- the commands
def result_path(options, commit):
    """bench/results/<date>-<commit>-<set>.json, or below local/ for what is not to be kept."""
    if options.out:
        return options.out
    name = f"{time.strftime('%Y-%m-%d', time.gmtime())}-{commit}-{'+'.join(options.words)}.json"
    return os.path.join(RESULTS, 'local', name) if options.local else os.path.join(RESULTS, name)


@contextlib.contextmanager
def alone():
    """Two measurements at once would measure each other."""
    with open(os.path.join(stand.BIN, 'lock'), 'w', encoding='utf-8') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say('bench: another measurement is under way; waiting for its end')
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(options):
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit('measure: needs two cores: one for the proxy, one for load and back-end')
    names = rows.chosen(options.words)
    build()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.sched_setaffinity(0, {stand.LOAD_CORE})
    with contextlib.suppress(OSError):      # without root: the driver may then wake late, and says so
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    with alone():
        made = Measure(options)
        made.fit(names)
        path = result_path(options, made.result['commit'])
        made.printer.header(made.result)
        for name in names:
            made.measure(name)
            made.write(path)
    say(f'bench: written: {os.path.relpath(path)}')
    return 0


def show(options):
    printer = table.Printer()
    if not options.words:
        raise SystemExit('measure: table FILE [ROW...]')
    with open(options.words[0], encoding='utf-8') as opened:
        result = json.load(opened)
    printer.header(result)
    for name, row in result['rows'].items():
        if len(options.words) == 1 or name in options.words[1:]:
            printer.table(name, row)
    return 0


def list_all(options):
    for name, row in rows.ROWS.items():
        print(f"{name:12} {row['title']}")
    for name, members in rows.SETS.items():
        print(f"set {name}: {' '.join(members)}")
    print('proxies: direct (where latency is measured)', *options.proxies)
    return 0


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=['build', 'list', 'run', 'table'])
    parser.add_argument('words', nargs='*', help='rows and sets of rows, or the file to print')
    parser.add_argument('--proxies', type=lambda text: text.split(','), default=rows.PROXIES,
                        help='names of files in proxies/, with commas, in place of each row\'s own')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--secs', type=float, default=0, help='length of a window, for a short try')
    parser.add_argument('--minutes', type=float, default=0, help='take fewer rounds to stay within this time')
    parser.add_argument('--foreign', type=float, default=0.15,
                        help='repeat a run when others used more than this share of one core')
    parser.add_argument('--attempts', type=int, default=2,
                        help='runs for a figure at most; the quietest is kept')
    parser.add_argument('--nice', type=int, default=0, help='priority of proxy, load and back-end')
    parser.add_argument('--base-port', type=int, default=21000)
    parser.add_argument('--local', action='store_true',
                        help='write to bench/results/local, which git ignores')
    parser.add_argument('--out', default='', help='write to this file')
    return parser.parse_intermixed_args(arguments)


def main():
    options = options_of(sys.argv[1:])
    if options.what == 'build':
        build()
        return 0
    if options.what == 'run':
        options.words = options.words or ['sidecar']
        return run(options)
    return show(options) if options.what == 'table' else list_all(options)


if __name__ == '__main__':
    sys.exit(main())

"""Results as tables: Markdown that lines up, so that it is read in a terminal and pasted into a page.

Colour is used on a terminal only: our own figures green where the goal is held and red where it is not, the
floor dim, what was not measured yellow.
"""

import sys

GREEN, RED, YELLOW, DIM, BOLD, PLAIN = '\033[32m', '\033[31m', '\033[33m', '\033[2m', '\033[1m', '\033[0m'
DOUBT = 0.03                    # the relay against the relay: more than this and a ratio says nothing of 8 %
FLOORS = ('direct', 'relay', 'relay-again', 'relay-splice')


def figure(summary, key, digits=1, scale=1.0):
    """The median as text, '-' where there is none."""
    if key not in summary:
        return '-'
    return f"{summary[key]['median'] * scale:,.{digits}f}"


def between(summary, key, digits=2, scale=1.0):
    """Median (least..most)."""
    if key not in summary:
        return '-'
    found = summary[key]
    return (f"{found['median'] * scale:.{digits}f} "
            f"({found['min'] * scale:.{digits}f}..{found['max'] * scale:.{digits}f})")


def signed(summary, key):
    return f"{summary[key]['median']:+.0f}" if key in summary else '-'


def percent(summary, key):
    return figure(summary, key, 0, 100) + ' %' if key in summary else '-'


def mib(summary, key):
    return figure(summary, 'rss_' + key, 1, 1 / 1024) + ' / ' + figure(summary, 'pss_' + key, 1, 1 / 1024)


def held(summary, count):
    return f"{mib(summary, str(count))} ({figure(summary, f'live_{count}', 0)})"


def by_name(summary, key, most=6):
    found = summary.get(key, {})
    names = sorted(found, key=found.get, reverse=True)[:most]
    return ', '.join(f'{name} {found[name]:.2f}' if key == 'calls_by_name' else f'{name} {found[name]}'
                     for name in names) or 'none'


TAIL = [('errors', lambda s: str(s.get('errors', 0))), ('foreign', lambda s: percent(s, 'foreign'))]

CLOSED = [('req/s', lambda s: figure(s, 'rps', 0)),
          ('CPU us', lambda s: between(s, 'cpu_us')),
          ('ratio to relay', lambda s: between(s, 'ratio')),
          ('user', lambda s: figure(s, 'user_us', 2)),
          ('system', lambda s: figure(s, 'system_us', 2)),
          ('core', lambda s: percent(s, 'core_use'))] + TAIL

BULK = [('GiB/s', lambda s: between(s, 'gib_s')),
        ('CPU s/GiB', lambda s: between(s, 'cpu_s_per_gib', 3)),
        ('ratio to relay-splice', lambda s: between(s, 'ratio')),
        ('core', lambda s: percent(s, 'core_use'))] + TAIL

LATENCY = [('p50 us', lambda s: figure(s, 'p50_us', 0)),
           ('p99', lambda s: figure(s, 'p99_us', 0)),
           ('p99.9', lambda s: figure(s, 'p999_us', 0)),
           ('+p50', lambda s: signed(s, 'added_p50')),
           ('+p99', lambda s: signed(s, 'added_p99')),
           ('+p99.9', lambda s: signed(s, 'added_p999')),
           ('+p50 to relay', lambda s: between(s, 'ratio_p50')),
           ('+p99 to relay', lambda s: between(s, 'ratio_p99')),
           ('CPU us', lambda s: figure(s, 'cpu_us', 1))] + TAIL

TWO_HOPS = LATENCY[:-2] + [('PSS MiB each', lambda s: figure(s, 'pss_kib_each', 1, 1 / 1024))] + TAIL

MEMORY = [('idle RSS / PSS MiB', lambda s: mib(s, 'idle')),
          ('1,000 held (live)', lambda s: held(s, 1000)),
          ('8,000 held (live)', lambda s: held(s, 8000)),
          ('KiB each (PSS)', lambda s: between(s, 'kib_per_conn')),
          ('after load', lambda s: mib(s, 'after'))]

START = [('ms to first answer', lambda s: between(s, 'ready_ms', 1))]

CALLS = [('calls per request', lambda s: between(s, 'calls')),
         ('EAGAIN per request', lambda s: figure(s, 'eagain', 3)),
         ('EAGAIN seen', lambda s: figure(s, 'eagain_count', 0)),
         ('which calls', lambda s: by_name(s, 'calls_by_name')),
         ('which EAGAIN', lambda s: by_name(s, 'eagain_by_name'))]

RELOAD = [('requests', lambda s: figure(s, 'ok', 0)),
          ('lost', lambda s: between(s, 'lost', 0)),
          ('closed (busy)', lambda s: f"{figure(s, 'closes', 0)} ({figure(s, 'closes_busy', 0)})"),
          ('resets', lambda s: figure(s, 'resets', 0)),
          ('refused', lambda s: figure(s, 'connect_errors', 0)),
          ('longest ms', lambda s: between(s, 'longest_ms', 1)),
          ('without upgrade', lambda s: between(s, 'without_longest_ms', 1)),
          ('difference', lambda s: between(s, 'longer_ms', 1)),
          ('old still there', lambda s: figure(s, 'old_pids_left', 0)),
          ('files', lambda s: figure(s, 'peak_files', 0)),
          ('peak RSS MiB', lambda s: figure(s, 'peak_rss', 1, 1 / 1024))]


def columns(row):
    if row.get('hops', 1) > 1:
        return TWO_HOPS
    if row.get('direct'):
        return LATENCY
    if row['mode'] == 'tcp':
        return BULK
    return {'mem': MEMORY, 'start': START, 'syscalls': CALLS, 'reload': RELOAD}.get(row['kind'], CLOSED)


class Printer:
    def __init__(self, stream=sys.stdout):
        self.stream, self.colour = stream, stream.isatty()

    def line(self, text, colour=''):
        self.stream.write(f'{colour}{text}{PLAIN}\n' if self.colour and colour else f'{text}\n')

    def colour_of(self, name, entry):
        if name == 'sampan':
            goals = entry.get('goals', [])
            return GREEN + BOLD if goals and all(goal['held'] for goal in goals) else RED + BOLD
        return DIM if name in FLOORS else ''

    def table(self, name, row):
        """One row of the budget, from its part of a result file."""
        shape = row['setting']
        heads = [head for head, _ in columns(shape)]
        lines = [['proxy', *heads]]
        measured = [proxy for proxy, entry in row['proxies'].items() if 'summary' in entry]
        for proxy in measured:
            summary = row['proxies'][proxy]['summary']
            lines.append([proxy, *(show(summary) for _, show in columns(shape))])
        wide = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
        self.line('')
        self.line(f"## {name}: {shape['title']}", BOLD)
        self.line('')
        for at, line in enumerate(lines):
            colour = self.colour_of(line[0], row['proxies'][line[0]]) if at else BOLD
            cells = [line[0].ljust(wide[0]), *(cell.rjust(w) for cell, w in zip(line[1:], wide[1:]))]
            self.line('| ' + ' | '.join(cells) + ' |', colour)
            if at == 0:
                rule = ['-' * (w + 1) + (':' if n else '-') for n, w in enumerate(wide)]
                self.line('|' + '|'.join(rule) + '|')
        self.notes(row)

    def doubts(self, row):
        """What the floor measured against itself says of all ratios of the table."""
        summary = row['proxies'].get('relay-again', {}).get('summary', {})
        for key in ('ratio_p50', 'ratio_p99'):
            if key in summary and abs(summary[key]['median'] - 1) > DOUBT:
                self.line(f"relay-again: {key} {summary[key]['median']:.2f}: the others may be as wrong as that",
                          YELLOW)

    def notes(self, row):
        self.doubts(row)
        for proxy, entry in row['proxies'].items():
            if 'not_measured' in entry:
                self.line(f"{proxy}: not measured: {entry['not_measured']}", YELLOW)
            for error in sorted({run['error'] for run in entry.get('rounds', []) if 'error' in run}):
                self.line(f'{proxy}: a run failed: {error}', RED)
            for error in sorted({run['error_before'] for run in entry.get('rounds', []) if 'error_before' in run}):
                self.line(f'{proxy}: a run failed and was made again: {error}', YELLOW)
            for goal in entry.get('goals', []):
                word, colour = ('held', GREEN) if goal['held'] else ('not held', RED)
                said = 'no figure' if goal['figure'] is None else f"{goal['figure']:.2f}"
                what = f"{goal['what']} {said}, goal at most {goal['at_most']}"
                self.line(f'{proxy}: {what}: {word}', colour)
        self.stream.flush()

    def header(self, result):
        machine = result['machine']
        self.line(f"{result['when']}, commit {result['commit']}: {machine['cpu']}, {machine['cores']} cores, "
                  f"kernel {machine['kernel']}, {machine['system']}", BOLD)
        for name, peer in result['peers'].items():
            said = peer.get('version') or 'not measured: ' + peer.get('not_measured', '')
            self.line(f'  {name}: {said}', DIM)

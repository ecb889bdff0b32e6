#!/usr/bin/env python3
"""Tests of the rig's driver: how rounds become figures, how traces and templates are read.

Run by meson when the benchmarks are built, or by hand: bench/mesh/measure_test.py
"""

import contextlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest
from unittest import mock

import measure
import procfs
import rows
import runs
import sofarpc
import stand
import summary
import table
from procfs import read

HERE = os.path.dirname(os.path.abspath(__file__))


def closed(cpu_us):
    return {'cpu_us': cpu_us, 'rps': 1000.0}


class Figures(unittest.TestCase):
    def test_ratio_is_taken_within_the_round_not_between_medians(self):
        taken = {'relay': [closed(10.0), closed(20.0), closed(40.0)],
                 'nginx': [closed(12.0), closed(24.0), closed(48.0)]}
        found = summary.summed('nginx', rows.ROWS['http1_128'], taken)
        self.assertAlmostEqual(found['ratio']['median'], 1.2)
        self.assertAlmostEqual(found['ratio']['max'], 1.2)
        self.assertEqual(found['cpu_us'], {'median': 24.0, 'min': 12.0, 'max': 48.0, 'rounds': 3})

    def test_failed_run_is_counted_and_leaves_the_other_rounds_in_step(self):
        taken = {'relay': [closed(10.0), closed(20.0)], 'nginx': [{'error': 'gone'}, closed(30.0)]}
        found = summary.summed('nginx', rows.ROWS['http1_128'], taken)
        self.assertAlmostEqual(found['ratio']['median'], 1.5)
        self.assertEqual(found['ratio']['rounds'], 1)
        self.assertEqual(found['errors'], 1)

    def test_added_latency_is_above_direct_and_divided_by_what_the_floor_added(self):
        def run(p50):
            return {'p50_us': p50, 'p99_us': p50 * 2, 'p999_us': p50 * 3, 'cpu_us': 1.0}
        taken = {'direct': [run(40.0)], 'relay': [run(90.0)], 'sampan': [run(94.0)]}
        found = summary.summed('sampan', rows.ROWS['lat_bolt'], taken)
        self.assertAlmostEqual(found['added_p50']['median'], 54.0)
        self.assertAlmostEqual(found['ratio_p50']['median'], 54.0 / 50.0)

    def test_floor_that_added_nothing_gives_no_ratio(self):
        self.assertEqual(summary.divided([5.0, 5.0, None], [-1.0, 2.0, 2.0]), [None, 2.5, None])

    def test_goal_is_held_by_the_median(self):
        held = summary.goals({'goals': [('ratio', 1.15)]}, {'ratio': {'median': 1.15}})
        missed = summary.goals({'goals': [('ratio', 1.15)]}, {'ratio': {'median': 1.16}})
        self.assertEqual([held[0]['held'], missed[0]['held']], [True, False])

    def test_goal_of_what_must_never_happen_is_missed_by_one_bad_round(self):
        found = summary.goals({'goals': [('failed', 0, 'max')]}, {'failed': {'median': 0, 'max': 1}})
        self.assertEqual([found[0]['held'], found[0]['figure'], found[0]['what']], [False, 1, 'failed max'])

    def test_goal_without_a_figure_is_not_held(self):
        found = summary.goals({'goals': [('ratio', 1.15)]}, {})
        self.assertEqual([found[0]['held'], found[0]['figure']], [False, None])

    def test_upgrade_is_charged_with_what_its_window_has_above_the_one_without(self):
        def window(max_us, closes, **lost):
            return {'max_us': max_us, 'p99_us': 1.0, 'p999_us': 2.0, 'closes': closes, 'ok': 4000,
                    **dict.fromkeys(runs.LOST, 0), **lost}
        found = runs.beside(window(6500.0, 1), window(9000.0, 32, failed=2, unanswered=3, bad_status=1))
        self.assertEqual([found['lost'], found['without_lost']], [6, 0])
        self.assertAlmostEqual(found['longer_ms'], 2.5)
        self.assertEqual([found['longest_ms'], found['without_longest_ms']], [9.0, 6.5])
        self.assertEqual([found['closes'], found['without_closes']], [32, 1])

    def test_difference_is_taken_within_the_round(self):
        taken = {'sampan': [{'longest_ms': 9.0, 'without_longest_ms': 8.0, 'longer_ms': 1.0},
                            {'longest_ms': 30.0, 'without_longest_ms': 28.0, 'longer_ms': 2.0},
                            {'longest_ms': 5.0, 'without_longest_ms': 1.0, 'longer_ms': 4.0}]}
        found = summary.summed('sampan', rows.ROWS['reload'], taken)
        self.assertEqual(found['longer_ms'], {'median': 2.0, 'min': 1.0, 'max': 4.0, 'rounds': 3})

    def test_each_subject_is_measured_at_each_place_and_not_always_behind_the_same(self):
        subjects = ['direct', 'relay', 'sampan', 'nginx', 'envoy']
        orders = [runs.in_turn(subjects, turn) for turn in range(2 * len(subjects))]
        for place in range(len(subjects)):
            self.assertEqual(sorted(order[place] for order in orders), sorted(subjects * 2))
        before = {order[order.index('sampan') - 1] for order in orders if order[0] != 'sampan'}
        self.assertEqual(before, {'relay', 'nginx'})

    def test_short_windows_make_more_rounds_and_rare_rows_fewer(self):
        self.assertEqual(rows.rounds(rows.ROWS['two_hops'], 5), 15)
        self.assertEqual(rows.rounds(rows.ROWS['mem'], 5), 2)
        self.assertEqual(rows.rounds(rows.ROWS['mem'], 1), 1)

    def test_peers_with_fewer_rounds_have_them_spread_and_none_is_left_out(self):
        row = {'peer_rounds': 3}
        self.assertEqual([turn for turn in range(5) if rows.takes_part(row, 'nginx', turn, 5)], [0, 2, 4])
        self.assertEqual([turn for turn in range(5) if rows.takes_part(row, 'sampan', turn, 5)], [0, 1, 2, 3, 4])
        self.assertTrue(rows.takes_part(row, 'nginx', 0, 1))
        self.assertTrue(all(rows.takes_part({}, 'nginx', turn, 5) for turn in range(5)))

    def test_rows_that_compare_within_the_round_measure_all_in_all_rounds(self):
        self.assertEqual([name for name, row in rows.ROWS.items() if 'peer_rounds' in row and 'floor' in row], [])

    def test_calls_of_java_are_summed_up_as_the_generator_does(self):
        line = json.dumps({'secs': 0.5, 'failed': 2, 'bad_status': 0,
                           'latencies_ns': [1000 * n for n in range(200, 0, -1)]})
        found = sofarpc.figures_of(line)
        self.assertEqual([found[key] for key in ('p50_us', 'p90_us', 'p99_us', 'p999_us', 'max_us')],
                         [100, 180, 198, 200, 200])
        self.assertEqual([found['ok'], found['rps'], found['mean_us'], found['failed']], [200, 400, 100.5, 2])
        self.assertNotIn('latencies_ns', found)
        with self.assertRaises(RuntimeError):
            sofarpc.figures_of('{"secs": 1, "failed": 9, "bad_status": 0, "latencies_ns": []}')

    def test_row_that_needs_a_jdk_or_jars_says_what_to_type(self):
        with mock.patch('shutil.which', lambda name: None):
            self.assertIn('make bench-deps', runs.lacking(rows.ROWS['two_hops_java']))
        with mock.patch('shutil.which', lambda name: name), mock.patch('sofarpc.JARS', '/nowhere'):
            self.assertIn('tests/e2e/build.sh java', runs.lacking(rows.ROWS['two_hops_java']))

    def test_row_that_needs_more_files_than_a_process_may_have_says_so(self):
        self.assertEqual(runs.lacking({'kind': 'start'}), '')
        self.assertIn('open files', runs.lacking({'kind': 'start', 'files': 1 << 62}))

    def test_trace_gives_calls_for_each_request_and_counts_eagain_alone(self):
        text = ('41 readv(9, 0x7f, 1) = -1 EAGAIN (Resource temporarily unavailable)\n'
                '41 <... recvfrom resumed>0x1, 9) = -1 EAGAIN (Resource temporarily unavailable)\n'
                '41 openat(AT_FDCWD, "/x") = -1 ENOENT (No such file or directory)\n'
                '% time     seconds  usecs/call     calls    errors syscall\n'
                '------ ----------- ----------- --------- --------- ----------------\n'
                ' 72.10    0.169112          15       200           sendto\n'
                ' 24.88    0.058350           5       210        10 recvfrom\n'
                '------ ----------- ----------- --------- --------- ----------------\n'
                '100.00    0.234544          10       410        10 total\n')
        found = runs.read_trace(text, 100)
        self.assertAlmostEqual(found['calls'], 4.1)
        self.assertEqual(found['eagain_count'], 2)
        self.assertEqual(found['eagain_by_name'], {'readv': 1, 'recvfrom': 1})

    def test_trace_without_calls_is_no_figure(self):
        with self.assertRaises(RuntimeError):
            runs.read_trace('strace: attach: Operation not permitted', 100)


class Peers(unittest.TestCase):
    def test_every_proxy_of_the_list_has_a_definition_whose_templates_are_filled_to_the_last_word(self):
        for name in rows.PROXIES:
            with self.subTest(proxy=name):
                definition = stand.Definition(name)
                definition.binary = definition.binary or '/nowhere/' + name
                definition.vars.setdefault('MODULES', '/modules')
                for mode, section in definition.modes.items():
                    instance = stand.Instance(definition, mode, 1, stand.Ports(31000))
                    texts = list(section.get('cmd', definition.raw['cmd']))
                    texts += definition.raw.get('reload', {}).get('cmd', [])
                    if 'config' in section:
                        texts.append(read(os.path.join(HERE, 'proxies', section['config'])))
                    for text in texts:
                        self.assertEqual(re.findall(r'@[A-Z_]+@', instance.fill(text)), [])

    def test_every_template_is_used_by_a_proxy(self):
        used = set()
        for name in rows.PROXIES:
            used |= {section.get('config') for section in stand.Definition(name).modes.values()}
        there = {name for name in os.listdir(os.path.join(HERE, 'proxies')) if name.endswith('.in')}
        self.assertEqual(there, used - {None})

    def test_bolt_request_says_its_own_length(self):
        request = stand.bolt_request()
        sizes = int.from_bytes(request[14:16], 'big'), int.from_bytes(request[16:18], 'big')
        self.assertEqual(len(request), 22 + sum(sizes) + int.from_bytes(request[18:22], 'big'))

    def test_bolt_heartbeat_is_a_head_alone(self):
        beat = stand.bolt_heartbeat()
        self.assertEqual([len(beat), beat[:4], beat[14:]], [22, b'\1\1\0\0', b'\0' * 8])

    def test_row_of_no_name_ends_with_words(self):
        with self.assertRaises(SystemExit):
            rows.chosen(['http9'])


class Processes(unittest.TestCase):
    def test_tree_holds_children_of_children_and_not_what_has_ended(self):
        with subprocess.Popen(['sh', '-c', 'sh -c "echo up; read -r word"; true'], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b'up\n')
            found = procfs.tree([process.pid])
            self.assertEqual((found[0], len(found)), (process.pid, 2))
            self.assertGreater(procfs.resident(found), procfs.resident(found[:1]))
            process.communicate(b'\n')
        self.assertEqual(procfs.tree([process.pid]), [])

    def test_open_files_are_those_of_the_process_that_has_most(self):
        before = procfs.descriptors([os.getpid()])
        with open(os.devnull, encoding='utf-8'), open(os.devnull, encoding='utf-8'):
            self.assertEqual(procfs.descriptors([os.getpid()]), before + 2)


class Generator(unittest.TestCase):
    """The compiled load generator against the back-end, or against a server that hangs up."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix='bench-test-')
        cls.bin, stand.BIN = stand.BIN, cls.folder
        measure.build()

    @classmethod
    def tearDownClass(cls):
        stand.BIN = cls.bin
        shutil.rmtree(cls.folder)

    def load(self, port, *words):
        command = [stand.tool('load'), '--port', str(port), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split('\n')

    def test_each_window_counts_the_requests_that_were_due_in_it(self):
        backend = stand.Backend(stand.Ports(32500))
        try:
            said = self.load(backend.ports['http1'], '--conns', '100', '--settle', '--rate', '1000', '--windows',
                             '2', '--warm', '0.1', '--secs', '0.25', '--marks')
        finally:
            backend.stop()
        self.assertEqual(said[:4], ['SETTLED 100', 'START', 'NEXT', 'END'])
        windows = [json.loads(line) for line in said[4:6]]
        lost = sum(window[key] for window in windows for key in ('unanswered', 'failed', 'closes'))
        self.assertEqual(sum(window['ok'] for window in windows) + lost, 500)
        self.assertLessEqual(max(window['ok'] for window in windows), 250)
        self.assertEqual([window['connects'] for window in windows], [100, 0])

    def test_settled_connection_that_is_lost_is_dialled_when_it_is_asked_for(self):
        with HangsUp() as port:
            said = self.load(port, '--conns', '3', '--settle', '--rate', '2', '--warm', '0', '--secs', '0.3')
        figures = json.loads(said[0])
        self.assertGreaterEqual(figures['closes'], 3)
        self.assertLessEqual(figures['connects'], 4)        # one request is due, so at most one dials again


    def test_request_without_an_answer_is_as_long_as_it_was_waited_for(self):
        with socket.create_server(('127.0.0.1', 0)) as deaf:
            said = self.load(deaf.getsockname()[1], '--conns', '1', '--rate', '20', '--windows', '2', '--warm', '0',
                             '--secs', '0.1')
        windows = [json.loads(line) for line in said[:2]]
        self.assertEqual([(window['ok'], window['unanswered']) for window in windows], [(0, 2), (0, 2)])
        self.assertGreaterEqual(windows[0]['max_us'], 1.2e6)        # due at 0, given up a second after the end
        self.assertGreaterEqual(windows[1]['max_us'], 1.1e6)


class HangsUp:
    """A server that answers one request on a connection and closes it."""

    def __enter__(self):
        self.listener = socket.create_server(('127.0.0.1', 0))
        threading.Thread(target=self.serve, daemon=True).start()
        return self.listener.getsockname()[1]

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.listener.accept()[0]
                with connection:
                    connection.recv(4096)
                    connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')


class Tables(unittest.TestCase):
    def test_table_off_a_terminal_has_no_colour_and_names_what_was_not_measured(self):
        taken = {'relay': [closed(10.0)], 'sampan': [closed(11.0)]}
        row = rows.ROWS['http1_128']
        proxies = {name: {'summary': summary.summed(name, row, taken), 'rounds': runs_of}
                   for name, runs_of in taken.items()}
        proxies['sampan']['goals'] = summary.goals(row, proxies['sampan']['summary'])
        proxies['mosn'] = {'not_measured': 'not installed'}
        out = io.StringIO()
        table.Printer(out).table('http1_128', json.loads(json.dumps({'setting': row, 'proxies': proxies})))
        text = out.getvalue()
        self.assertNotIn('\033', text)
        self.assertIn('1.10 (1.10..1.10)', text)
        self.assertIn('mosn: not measured: not installed', text)
        self.assertIn('sampan: ratio 1.10, goal at most 1.15: held', text)

    def test_table_doubts_its_ratios_when_the_relay_is_not_equal_to_itself(self):
        def said(again):
            def run(p50):
                return {'p50_us': p50, 'p99_us': p50, 'p999_us': p50, 'cpu_us': 1.0}
            taken = {'direct': [run(40.0)], 'relay': [run(90.0)], 'relay-again': [run(again)]}
            row, out = rows.ROWS['lat_bolt'], io.StringIO()
            proxies = {name: {'summary': summary.summed(name, row, taken), 'rounds': runs_of}
                       for name, runs_of in taken.items()}
            table.Printer(out).table('lat_bolt', {'setting': row, 'proxies': proxies})
            return [line for line in out.getvalue().split('\n') if 'as wrong as that' in line]
        self.assertEqual(said(91.0), [])
        self.assertEqual([line.split(':')[1] for line in said(100.0)], [' ratio_p50 1.20', ' ratio_p99 1.20'])


if __name__ == '__main__':
    unittest.main()

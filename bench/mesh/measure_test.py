#!/usr/bin/env python3
"""Tests of the rig's driver: how rounds become figures, how traces and templates are read.

Run by meson when the benchmarks are built, or by hand: bench/mesh/measure_test.py
"""

import io
import json
import os
import re
import unittest

import rows
import runs
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

    def test_row_of_no_name_ends_with_words(self):
        with self.assertRaises(SystemExit):
            rows.chosen(['http9'])


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


if __name__ == '__main__':
    unittest.main()

#!/usr/bin/env python3
"""Tests of tidy. Each rule has a tree that breaks it and must be found out, in the file and line where it is.

The good tree below breaks nothing; a case lays a few files over it and names the rule and line to be found.
Run: tools/tidy_test.py. Ends with `N passed, N failed`.
"""

import importlib.machinery
import importlib.util
import os
import re
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True


def load_tidy():
    loader = importlib.machinery.SourceFileLoader('tidy', os.path.join(HERE, 'tidy'))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader('tidy', loader))
    loader.exec_module(module)
    return module


TIDY = load_tidy()

ESSAY = '/* thing: what it is.\n *\n * One.\n * Two.\n * Three.\n * Four.\n * Five. */\n'
FACE = '/* thing: what it is. */\n#pragma once\n'

GOOD = {
    'src/ROOMS': 'base :\nio : base\nwire : base\nproxy : base io/loop.h wire\ncmd : *\n',
    'src/base/meson.build': "room_src = files('thing.c')\n",
    'src/base/thing.h': FACE + 'struct sp_thing;\nint sp_thing_use(struct sp_thing *t);\n',
    'src/base/thing.c': ESSAY + '#include "base/thing.h"\n\nstatic int use(void)\n{\n    return 1;\n}\n\n'
                                'int sp_thing_use(struct sp_thing *t)\n{\n    return t ? use() : 0;\n}\n',
    'src/io/loop.h': FACE + 'struct sp_loop;\n',
    'src/io/other.h': FACE + 'struct sp_other;\n',
    'src/io/meson.build': "room_src = files('loop.c')\n",
    'src/io/loop.c': ESSAY + '#include "io/loop.h"\n#include "io/other.h"\n',
    'tests/unit/base/meson.build': "names = ['thing']\n",
    'tests/unit/base/thing.c': '/* Tests of thing. */\n#include "base/thing.h"\n',
}

LONG = 'int sp_long(void)\n{\n' + '    x();\n' * 101 + '}\n'
THING = ESSAY + '#include "base/thing.h"\n\n'          # its first free line is 10


def thing(code):
    return {'src/base/thing.c': THING + code}


# rule, path, line, files laid over the good tree
BAD = [
    ('rooms', 'src/ROOMS', 1, {'src/ROOMS': 'base : io\nio : base\nwire : base\nproxy : base io/loop.h wire\ncmd : *\n'}),
    ('rooms', 'src/ROOMS', 6, {'src/ROOMS': GOOD['src/ROOMS'] + 'What is this\n'}),
    ('rooms', 'src/ROOMS', 1, {'src/attic/a.h': FACE}),
    ('rooms', 'docs/rooms.md', 1, {'docs/rooms.md': '| base | bytes |\n| io | waits |\n| wire | x |\n| proxy | x |\n'}),
    ('include', 'src/base/thing.c', 10, thing('#include "io/loop.h"\n')),
    ('include', 'src/base/thing.c', 10, thing('#include "loop.h"\n')),
    ('include', 'src/base/thing.c', 10, thing('#include <base/thing.h>\n')),
    ('include', 'src/base/thing.c', 10, thing('#include "base/absent.h"\n')),
    ('include', 'src/proxy/a.h', 3, {'src/proxy/a.h': FACE + '#include "io/other.h"\nstruct sp_other *x(void);\n'}),
    ('include', 'src/io/loop.c', 10, {'src/base/x_impl.h': FACE,
                                     'src/io/loop.c': ESSAY + '#include "io/loop.h"\n\n#include "base/x_impl.h"\n'}),
    ('include', 'src/base/thing.c', 8, {'src/base/thing.c': ESSAY + '#include "base/a.h"\n', 'src/base/a.h': FACE}),
    ('include', 'src/io/loop.h', 3, {'src/io/loop.h': FACE + '#include "base/thing.h"\nstruct sp_loop;\n'}),
    ('include', 'tests/unit/base/thing.c', 2, {'src/io/x_impl.h': FACE, 'tests/unit/base/thing.c':
                                              '/* T. */\n#include "io/x_impl.h"\n'}),
    ('banned', 'src/base/thing.c', 12, thing('int sp_f(char *a)\n{\n    strcpy(a, "x");\n}\n')),
    ('banned', 'tests/unit/base/thing.c', 4, {'tests/unit/base/thing.c':
                                             '/* T. */\nint sp_f(void)\n{\n    return atoi("3");\n}\n'}),
    ('banned', 'src/base/thing.c', 12, thing('int sp_f(void)\n{\n    return ({ 1; });\n}\n')),
    ('memory', 'src/io/loop.c', 11, {'src/io/loop.c': ESSAY + '#include "io/loop.h"\nvoid *sp_f(void)\n{\n'
                                                            '    return malloc(3);\n}\n'}),
    ('world', 'src/base/thing.c', 12, thing('int sp_f(void)\n{\n    return getenv("X") != 0;\n}\n')),
    ('threads', 'src/io/loop.c', 11, {'src/io/loop.c': ESSAY + '#include "io/loop.h"\nint sp_f(void)\n{\n'
                                                             '    return pthread_create(0, 0, 0, 0);\n}\n'}),
    ('purpose', 'src/base/thing.h', 1, {'src/base/thing.h': '#pragma once\nstruct sp_thing;\n'}),
    ('guard', 'src/base/thing.h', 1, {'src/base/thing.h': '/* thing. */\nstruct sp_thing;\n'}),
    ('essay', 'src/base/thing.c', 1, {'src/base/thing.c': '#include "base/thing.h"\n'}),
    ('essay', 'src/base/thing.c', 1, {'src/base/thing.c': '/* Short. */\n#include "base/thing.h"\n'}),
    ('essay', 'src/base/thing.c', 1, {'src/base/thing.c': '/*\n' + ' * x\n' * 41 + ' */\n#include "base/thing.h"\n'}),
    ('file-length', 'src/base/thing.c', 1, thing('\n' * 1000)),
    ('face-length', 'src/base/thing.h', 1, {'src/base/thing.h': FACE + '\n' * 250}),
    ('function-length', 'src/base/thing.c', 10, thing(LONG)),
    ('macro', 'src/base/thing.c', 10, thing('#define SP_M(x) \\\n' + '    x; \\\n' * 10 + '    x\n')),
    ('macro', 'src/base/thing.c', 10, thing('#define SP_TRY(x) if (x) return 1\n')),
    ('fields', 'src/base/thing.c', 10, thing('struct sp_wide {\n' + '    int a;\n' * 25 + '};\n')),
    ('state', 'src/base/thing.c', 10, thing('static int count;\n')),
    ('state', 'src/base/thing.c', 10, thing('static const char *name = "x";\n')),
    ('state', 'src/base/thing.c', 10, thing('int sp_count = 3;\n')),
    ('state', 'src/base/thing.c', 12, thing('int sp_f(void)\n{\n    static int n;\n    return n++;\n}\n')),
    ('state', 'src/base/thing.h', 3, {'src/base/thing.h': FACE + 'extern int sp_count;\n'}),
    ('state', 'src/base/thing.c', 1, thing('__attribute__((constructor)) void sp_f(void)\n{\n}\n')),
    ('name', 'src/base/thing.c', 10, thing('int wrong(void)\n{\n    return 1;\n}\n')),
    ('name', 'src/base/thing.c', 10, thing('static int sp_wrong(void)\n{\n    return 1;\n}\n')),
    ('brace', 'src/base/thing.c', 10, thing('int sp_f(void) {\n    return 1;\n}\n')),
    ('goto', 'src/base/thing.c', 12, thing('int sp_f(void)\n{\n    goto out;\nout:\n    return 1;\n}\n')),
    ('goto', 'src/base/thing.c', 13, thing('int sp_f(void)\n{\nfail_x:\n    goto fail_x;\n}\n')),
    ('dropped', 'src/base/thing.c', 14, thing('int sp_f(void)\n{\n    f();\n\n    (void)sp_thing_use(0);\n\n}\n')),
    ('word', 'src/base/thing.c', 10, thing('/* TO' + 'DO: more */\n')),
    ('machine', 'src/base/thing.c', 10, thing('/* see /wo' + 'rk/notes */\n')),
    ('line-length', 'src/base/thing.c', 10, thing('/* ' + 'x' * 110 + ' */\n')),
    ('tab', 'src/base/thing.c', 10, thing('\tint x;\n')),
    ('blank', 'src/base/thing.c', 10, thing('int x; \n')),
    ('blank', 'src/base/thing.c', 10, thing('/* no line end */')),
    ('comment', 'src/base/thing.c', 10, thing('// a remark\n')),
    ('dead', 'src/base/lost.c', 1, {'src/base/lost.c': ESSAY + '#include "base/thing.h"\n'}),
    ('dead', 'src/base/lost.h', 1, {'src/base/lost.h': FACE}),
    ('mirror', 'tests/unit/base/absent.c', 1, {'tests/unit/base/absent.c': '/* T. */\n'}),
    ('mirror', 'tests/unit/attic/thing.c', 1, {'tests/unit/attic/thing.c': '/* T. */\n'}),
    ('test-name', 'tests/unit/base/thing.c', 3, {'tests/unit/base/thing.c':
                                                '/* T. */\nconst struct CMUnitTest t[] = {\n    cmocka_unit_test(works),\n};\n'}),
    ('twin', 'README.md', 1, {'README.md': '# x\n'}),
    ('twin', 'docs/a.zh.md', 1, {'docs/a.zh.md': '# x\n'}),
    ('twin', 'docs/a.zh.md', 1, {'docs/a.md': '# x\n## y\n', 'docs/a.zh.md': '# x\n```\n# z\n```\n'}),
    ('link', 'docs/a.md', 1, {'docs/a.md': 'see [b](b.md)\n'}),
    ('talk', 'docs/talk.md', 1, {'docs/talk.md': '| limiting | here | `make fly` | `tests/unit/base/thing.c` |\n'}),
    ('talk', 'docs/talk.md', 1, {'docs/talk.md': '| limiting | here | | |\n'}),
    ('talk', 'docs/talk.md', 1, {'docs/talk.md': '| limiting | here | | `tests/unit/base/none.c` |\n'}),
    ('talk', 'docs/talk.md', 1, {'docs/talk.md': '| limiting | here | | `tests/unit/base/thing.c: it_flies` |\n'}),
    ('talk', 'docs/talk.md', 1, {'docs/talk.md': '| limiting | here | `sampan fly` | `tests/unit/base/thing.c` |\n'}),
    ('talk', 'docs/talk.md', 1, {'docs/talk.md': '| limiting | not yet | `make x` | |\n'}),
    ('talk', 'docs/talk.md', 1, {'docs/talk.md': '| limiting | not yet | |\n'}),
]

# what looks like a breach and is none
FINE = [
    ('a name in a comment', thing('/* strcpy( is banned, malloc( too */\n')),
    ('a name in a string', thing('const char *const sp_x = "malloc(3) // TO" "DO";\n')),
    ('a member that is called', thing('int sp_f(struct sp_ops *o)\n{\n    return o->read(o) + o->write(o);\n}\n')),
    ('an explained call', thing('int sp_f(void)\n{\n    /* tidy: world because the test says so */\n'
                                '    return getenv("X") != 0;\n}\n')),
    ('an explained length', thing('/* long because it is a switch over a grammar */\n' + LONG)),
    ('an explained width', thing('/* wide because the kernel lays it out so */\nstruct sp_wide {\n'
                                 + '    int a;\n' * 25 + '};\n')),
    ('a struct of cells alone', thing('struct sp_cells {\n    sp_cell a, b, c' + ', d' * 30 + ';\n};\n')),
    ('a const table', thing('static const char *const names[] = { "a", "b" };\n')),
    ('a function that is declared', thing('static int later(void);\nextern int sp_g(void);\n')),
    ('a struct that is declared', thing('struct sp_later;\nstatic void f(struct sp_later *l);\n')),
    ('a dropped result with its reason', thing('int sp_f(void)\n{\n    /* nobody waits for it */\n    (void)sp_g();\n}\n')),
    ('a folder of tests', {'src/wire/h1/parse.c': ESSAY + '#include "wire/h1.h"\n', 'src/wire/h1.h': FACE,
                           'src/wire/meson.build': "room_src = files('h1/parse.c')\n",
                           'tests/unit/wire/meson.build': "names = ['h1_chunked']\n",
                           'tests/unit/wire/h1_chunked.c': '/* T. */\n'}),
    ('a face that ROOMS names', {'src/proxy/a.h': FACE + '#include "io/loop.h"\nstruct sp_loop *sp_a(void);\n',
                                 'src/proxy/a.c': ESSAY + '#include "proxy/a.h"\n',
                                 'src/proxy/meson.build': "room_src = files('a.c')\n"}),
    ('a row that waits', {'docs/talk.md': '| term | here | command | test |\n|---|---|---|---|\n| Wasm | not yet | | |\n'}),
]


def broken(files):
    with tempfile.TemporaryDirectory() as root:
        for path, text in {**GOOD, **files}.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), 'w', encoding='utf-8') as opened:
                opened.write(text)
        _, report = TIDY.run_rules(root)
        return report


class TidyTest(unittest.TestCase):
    def test_good_tree_breaks_nothing(self):
        report = broken({})
        self.assertEqual(report.errors, [])
        self.assertEqual(report.notes, [])

    def test_each_bad_tree_is_found_out_where_it_is_bad(self):
        for rule, path, line, files in BAD:
            with self.subTest(rule=rule, path=path):
                found = [(p, at, r) for p, at, r, _ in broken(files).errors]
                self.assertIn((path, line, rule), found)

    def test_what_only_looks_bad_is_let_pass(self):
        for what, files in FINE:
            with self.subTest(what):
                self.assertEqual(broken(files).errors, [])

    def test_function_of_seventy_lines_is_a_note(self):
        report = broken(thing('int sp_long(void)\n{\n' + '    x();\n' * 71 + '}\n'))
        self.assertEqual(report.errors, [])
        self.assertEqual([rule for _, _, rule, _ in report.notes], ['function-length'])

    def test_every_rule_that_is_said_has_a_bad_tree(self):
        said = set()
        for name in ('tidy_rules.py', 'tidy_docs.py'):
            with open(os.path.join(HERE, name), encoding='utf-8') as opened:
                said |= set(re.findall(r"(?:say|report_calls)\((?:[^'\n]|'src/ROOMS')*?'([a-z-]+)'", opened.read()))
        self.assertEqual(said - {'format'}, {case[0] for case in BAD} - {'word', 'machine'})


if __name__ == '__main__':
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(TidyTest)
    result = unittest.TextTestRunner(verbosity=1).run(suite)
    failures = len(result.failures) + len(result.errors)
    cases = len(BAD) + len(FINE) + 3
    print(f'{cases - failures} passed, {failures} failed')
    sys.exit(1 if failures else 0)

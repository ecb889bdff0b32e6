#!/usr/bin/env python3
"""Tests of the pages and examples: what they show works.

  - every configuration in examples/, and every fenced ```yaml block of README and docs that is a whole
    bootstrap, is accepted by `build/sampan-proxy --mode validate`;
  - every fenced ```sh block whose info string says `run` is run, in a folder of its own;
  - every `make TARGET` that a page names is a target;
  - the man page and `--help` tell the same options.

Ends with `N passed, N failed`.
"""

import glob
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROXY = os.path.join(ROOT, 'build/sampan-proxy')
BLOCK = re.compile(r'^```(\w+)([^\n]*)\n(.*?)^```', re.M | re.S)
BOOTSTRAP = re.compile(r'^(static_resources|admin|node):', re.M)
SECONDS = 30

passed = failed = 0


def check(what, good, said=''):
    global passed, failed
    if good:
        passed += 1
        return
    failed += 1
    print(f'FAILED: {what}')
    for line in said.rstrip().split('\n')[:20]:
        print('    ' + line)


def run(command, **more):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              stdin=subprocess.DEVNULL, timeout=SECONDS, text=True, errors='replace', **more)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout


def pages():
    for path in ['README.md', 'README.zh.md'] + sorted(glob.glob('docs/**/*.md', recursive=True)):
        if os.path.exists(path):
            with open(path, encoding='utf-8') as opened:
                yield path, opened.read()


def validate(what, path):
    code, said = run([PROXY, '-c', path, '--mode', 'validate'])
    check(f'{what} is a good configuration', code == 0, said)


def check_examples():
    for path in sorted(glob.glob('examples/**/*', recursive=True)):
        if not path.endswith(('.yaml', '.json')):
            continue
        with open(path, encoding='utf-8') as opened:
            text = opened.read()
        if BOOTSTRAP.search(text) or '"static_resources"' in text:
            validate(path, path)


def check_blocks(path, text, folder):
    for number, (language, info, body) in enumerate(BLOCK.findall(text), 1):
        if language == 'yaml' and BOOTSTRAP.search(body):
            place = os.path.join(folder, 'bootstrap.yaml')
            with open(place, 'w', encoding='utf-8') as opened:
                opened.write(body)
            validate(f'{path}, block {number},', place)
        elif language == 'sh' and info.strip() == 'run':
            path_with_ours = os.path.join(ROOT, 'build') + ':' + os.environ['PATH']
            code, said = run(['bash', '-euo', 'pipefail', '-c', body], cwd=folder,
                             env=dict(os.environ, PATH=path_with_ours, ROOT=ROOT))
            check(f'{path}, block {number}, runs', code == 0, said)


def check_targets(path, text):
    with open('Makefile', encoding='utf-8') as opened:
        targets = set(re.findall(r'^([a-z][a-z-]*):', opened.read(), re.M))
    wrong = set(re.findall(r'(?:^|`)make ([a-z][a-z-]+)', text, re.M)) - targets
    check(f'{path} names make targets that exist', not wrong, ' '.join(sorted(wrong)))


def check_man():
    code, said = run([PROXY, '--help'])
    check('sampan-proxy --help ends well', code == 0, said)
    helped = set(re.findall(r'(?<![\w-])--([a-z][a-z-]+)', said))
    with open('docs/man/sampan-proxy.8', encoding='utf-8') as opened:
        manual = set(re.findall(r'Fl -([a-z][a-z-]+)', opened.read()))
    for what, lost in (('the man page tells each option of --help', helped - manual),
                       ('--help tells each option of the man page', manual - helped)):
        check(what, not lost, ' '.join(sorted(lost)))


def main():
    os.chdir(ROOT)
    check_examples()
    for path, text in pages():
        with tempfile.TemporaryDirectory() as folder:
            check_blocks(path, text, folder)
        check_targets(path, text)
    check_man()
    print(f'{passed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())

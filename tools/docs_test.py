#!/usr/bin/env python3
"""Tests of the pages and examples: what they show works.

  - every configuration in examples/, and every fenced ```yaml block of README and docs that is a whole
    bootstrap, is accepted by `sampan-proxy --mode validate`;
  - a block whose info string names a file (```yaml examples/first.yaml) stands in that file;
  - a ```sh block marked `run` is run; those marked `more` behind it go on in the same shell;
  - every `make TARGET` that a page names is a target;
  - each operator of the access log that docs/operate.md names is taken, and it names all;
  - the things that docs/rooms.md says the rooms hold are there;
  - the man pages and `--help` tell the same options and verbs.

What is run has a network, /run, /var/log and processes of its own (unshare), so that ports and sockets can be those
that a reader would type, and nothing is left behind. SAMPAN_BUILD names another build than build/.
Ends with `N passed, N failed`.
"""

import glob
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.abspath(os.environ.get('SAMPAN_BUILD', os.path.join(ROOT, 'build')))
PROXY = os.path.join(BUILD, 'sampan-proxy')
BLOCK = re.compile(r'^```(\w+)([^\n]*)\n(.*?)^```', re.M | re.S)
BOOTSTRAP = re.compile(r'^(static_resources|admin|node):', re.M)
OPERATOR = re.compile(r'`%([A-Z_]+)(\([^`]*\))?%`')
SECONDS = 30
OPERATE, ROOMS = 'docs/operate.md', 'docs/rooms.md'
HELPED = (('docs/man/sampan-proxy.8', ['sampan-proxy']), ('docs/man/sampan.1', ['sampan', 'sampan demo']))

# A shell of its own world; the last line that it says on failure is the command that failed.
APART = """
ip link set lo up
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
trap 'echo "in block $BLOCK: $BASH_COMMAND"' ERR
. "$SCRIPT"
"""

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


def apart():
    """The command before a command that gives it a network, mounts and processes of its own."""
    more = [] if os.geteuid() == 0 else ['--map-root-user']
    return ['unshare', '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', *more]


def run_script(what, blocks, folder):
    """What a newcomer would type, at the top of a clone; files that it makes end with the folder."""
    for name in os.listdir(ROOT):
        if name not in ('build', '.git'):
            os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
    os.symlink(BUILD, os.path.join(folder, 'build'))
    script = os.path.join(folder, '.script')
    with open(script, 'w', encoding='utf-8') as opened:
        for number, body in blocks:
            opened.write(f'BLOCK={number}\n{body}')
    code, said = run([*apart(), 'bash', '-eEuo', 'pipefail', '-c', APART], cwd=folder,
                     env=dict(os.environ, PATH=f'{BUILD}:{os.environ["PATH"]}:/usr/sbin', SCRIPT=script,
                              XDG_RUNTIME_DIR=''))
    check(f'{what} runs', code == 0, '\n'.join(said.rstrip().split('\n')[-20:]))


def check_shown(path, number, name, body):
    good = False
    if os.path.exists(name):
        with open(name, encoding='utf-8') as opened:
            good = body in opened.read()
    check(f'{path}, block {number}, stands in {name}', good)


def check_blocks(path, text):
    scripts = []
    for number, (language, info, body) in enumerate(BLOCK.findall(text), 1):
        info = info.strip()
        if '/' in info:
            check_shown(path, number, info, body)
        if language == 'yaml' and BOOTSTRAP.search(body):
            with tempfile.NamedTemporaryFile('w', suffix='.yaml', encoding='utf-8') as opened:
                opened.write(body)
                opened.flush()
                validate(f'{path}, block {number},', opened.name)
        elif language == 'sh' and info == 'run':
            scripts.append([(number, body)])
        elif language == 'sh' and info == 'more':
            scripts[-1].append((number, body))
    for blocks in scripts:
        with tempfile.TemporaryDirectory() as folder:
            run_script(f'{path}, blocks ' + ', '.join(str(number) for number, _ in blocks), blocks, folder)


def check_targets(path, text):
    with open('Makefile', encoding='utf-8') as opened:
        targets = set(re.findall(r'^([a-z][a-z-]*):', opened.read(), re.M))
    wrong = set(re.findall(r'(?:^|`)make ([a-z][a-z-]+)', text, re.M)) - targets
    check(f'{path} names make targets that exist', not wrong, ' '.join(sorted(wrong)))


def check_operators():
    """Each operator that the page tells is read, and each that is read is on the page."""
    with open(OPERATE, encoding='utf-8') as opened:
        told = OPERATOR.findall(opened.read())
    with open('src/model/logformat.c', encoding='utf-8') as opened:
        known = set(re.findall(r'\[SP_LOG_OP_\w+\] = "(\w+)"', opened.read()))
    line = ' '.join(f'%{name}{arguments}%' for name, arguments in told).replace('"', '\\"')
    with open('examples/bolt.yaml', encoding='utf-8') as opened:
        text, count = re.subn(r'(inline_string: )".*"', lambda found: f'{found[1]}"{line}"', opened.read())
    with tempfile.NamedTemporaryFile('w', suffix='.yaml', encoding='utf-8') as opened:
        opened.write(text)
        opened.flush()
        validate(f'a log with all operators of {OPERATE}', opened.name)
    check('examples/bolt.yaml has one log format', count == 1)
    lost = known - {name for name, _ in told} - {'UPSTREAM_SERVICE_TIME'}
    check(f'{OPERATE} tells each operator of the access log', not lost, ' '.join(sorted(lost)))


def check_rooms():
    """What the page says that a room holds is there, and every room is on the page."""
    with open(ROOMS, encoding='utf-8') as opened:
        rows = re.findall(r'^\| (\w+) \|.*\| ((?:`[\w-]+` ?)+)\|$', opened.read(), re.M)
    there = {room for room, _ in rows}
    built = {name for name in os.listdir('src') if os.path.isdir(f'src/{name}')}
    check(f'{ROOMS} tells each room of src', there == built, ' '.join(sorted(there ^ built)))
    lost = [f'{room}/{thing}' for room, things in rows for thing in re.findall(r'`([\w-]+)`', things)
            if not glob.glob(f'src/{room}/{thing}') and not glob.glob(f'src/{room}/{thing}.[ch]')]
    check(f'{ROOMS} names what the rooms hold', not lost, ' '.join(lost))


def check_man(page, programs):
    helped = set()
    for program in programs:
        first, *verbs = program.split()
        code, said = run([os.path.join(BUILD, first), *verbs, '--help'])
        check(f'{program} --help ends well', code == 0, said)
        helped |= set(re.findall(r'(?<![\w-])--?([a-z][a-z-]*)', said))
    with open(page, encoding='utf-8') as opened:
        manual = {found.lstrip('-') for found in re.findall(r'Fl (-?[a-z][a-z-]*)', opened.read())}
    for what, lost in ((f'{page} tells each option of --help', helped - manual),
                       (f'--help tells each option of {page}', manual - helped)):
        check(what, not lost, ' '.join(sorted(lost)))


def main():
    os.chdir(ROOT)
    check_examples()
    for path, text in pages():
        check_blocks(path, text)
        check_targets(path, text)
    check_operators()
    check_rooms()
    for page, programs in HELPED:
        check_man(page, programs)
    print(f'{passed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())

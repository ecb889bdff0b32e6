#!/usr/bin/env python3
"""spec: h2spec, the conformance tests of HTTP/2 by others, against the codec's own test server.

    tests/conform/h2/spec.py [SERVER]       SERVER is build-test/tests/h2_server unless said otherwise

Brings what it needs: Go by apt where there is none (as root), and h2spec as a Go module, pinned in spec/go.mod.
All 145 tests must pass: a test that may fail would be named here, with its reason; there is none. The last line
is `N passed, N failed`."""

import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
TOOL = os.path.join(ROOT, 'build-test', 'h2spec')
PACKAGE = 'github.com/summerwind/h2spec/cmd/h2spec'
LEAST = 145                             # fewer tests than these, and some did not run


def find_go():
    for name in ('go', '/usr/local/go/bin/go'):
        if shutil.which(name):
            return shutil.which(name)
    if os.geteuid() != 0:
        sys.exit('spec: go is missing; install golang-go')
    environment = dict(os.environ, DEBIAN_FRONTEND='noninteractive')
    for command in (['apt-get', 'update', '-q'],
                    ['apt-get', 'install', '-y', '-q', '--no-install-recommends', 'golang-go',
                     'ca-certificates']):
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return shutil.which('go')


def build_tool():
    if os.path.isfile(TOOL):
        return
    os.makedirs(os.path.dirname(TOOL), exist_ok=True)
    subprocess.run([find_go(), 'build', '-mod=readonly', '-o', TOOL, PACKAGE], check=True,
                   cwd=os.path.join(HERE, 'spec'), env=dict(os.environ, CGO_ENABLED='0'))


def run_tool(port, report):
    """The tests as (name, words of the failure or None)."""
    subprocess.run([TOOL, '-h', '127.0.0.1', '-p', str(port), '-o', '10', '-j', report],
                   stdout=subprocess.DEVNULL, check=False, timeout=250)
    found = []
    for case in xml.etree.ElementTree.parse(report).iter('testcase'):
        trouble = case.find('failure')
        if trouble is None:
            trouble = case.find('error')
        name = f'{case.get("package")}: {case.get("classname")}'
        found.append((name, None if trouble is None else ' '.join((trouble.text or 'failed').split())))
    return found


def main():
    server = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, 'build-test', 'tests', 'h2_server')
    build_tool()
    child = subprocess.Popen([server], stdout=subprocess.PIPE, text=True)
    try:
        port = int(child.stdout.readline().split()[1])
        with tempfile.TemporaryDirectory() as folder:
            found = run_tool(port, os.path.join(folder, 'report.xml'))
    finally:
        child.terminate()
        child.wait()
    failed = [(name, words) for name, words in found if words]
    for name, words in failed:
        print(f'not ok: {name}: {words}')
    missing = max(0, LEAST - len(found))
    if missing:
        print(f'not ok: {missing} of {LEAST} tests did not run')
    print(f'{len(found) - len(failed)} passed, {len(failed) + missing} failed')
    return 1 if failed or missing else 0


if __name__ == '__main__':
    sys.exit(main())

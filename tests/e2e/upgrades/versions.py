"""Upgrades between versions: N to N+1 and back, and N-1 to N and back.

The later versions are this one with something added: a field and a record that can be spared, or a field that must
not be lost (SP_UPGRADE_NEXT). The former one is the commit that tests/upgrade/previous names, built as it was; where
the history is not there its golden records stand for it."""

import os
import subprocess
import sys

from harness import BUILD, PROXY, ROOT, Failed, expect
from upgrades import walks
from upgrades.house import Line
from upgrades.load import Load


def program(name):
    for folder in (BUILD, os.path.join(BUILD, "src", "cmd")):
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path
    raise Failed(f"there is no {name} under {BUILD}: ninja -C {BUILD} src/cmd/{name}")


def run(s):
    spare, must = program("sampan-proxy-next-spare"), program("sampan-proxy-next-must")
    load = Load({})
    line = Line(s, load.serve())
    load.ports = line.ports
    load.start({"http": 12, "bolt": 4, "tcp": 4, "downloads": 2})
    counters = line.counters()

    def to(path):
        nonlocal counters
        line.upgrade(program=path)
        counters = line.expect_no_step_back(counters)

    def refused():
        child = line.successor(program=PROXY)
        child.process.wait(30)
        expect(1, child.process.returncode, "exit status")
        if "tomorrow" not in child.text():
            raise Failed(f"it does not name the field: {child.tail()}")
        line.child.wait_for_line("serving goes on.*tomorrow")
        walks.call(line)

    s.check("to-a-later-version", to, spare)
    s.check("and-on", to, spare)
    s.check("and-back", to, PROXY)
    s.check("to-one-that-says-more", to, must)
    s.check("that-it-would-lose-is-refused-by-name", refused)
    s.check("that-goes-on", to, must)
    load.end()
    for name, count in load.counts.items():
        s.check(f"{name}-notices-nothing", walks.nothing, count)


# ---- the former version ----

BUILD_SECONDS = 300
NO_HISTORY = 3      # build.py's exit status
FORMER = {"http": 16, "unix": 4, "fresh": 4, "uploads": 6, "downloads": 4, "websocket": 8, "tcp": 8, "bolt": 12}
GOLDEN = "tests/unit/test_cmd_upgrade_golden"
ROUNDS = 2          # of there, back, and there again


def run_tool(*argv):
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=BUILD_SECONDS)


def golden_instead(why):
    """Counted: what the former build sent, kept in tests/conform/upgrade, is read by this one."""
    print(f"# the former version is not built, its golden records are read instead: {why}", flush=True)
    built = run_tool("tools/build", "test", GOLDEN)
    if built.returncode:
        raise Failed(f"tools/build test {GOLDEN}: {built.stdout[-300:]}{built.stderr[-300:]}")
    ran = run_tool(os.path.join("build-test", GOLDEN))
    if ran.returncode:
        raise Failed(f"{GOLDEN}: {ran.stdout[-200:]}{ran.stderr[-600:]}")


def previous(s):
    built = run_tool(sys.executable, "tests/upgrade/build.py")
    if built.returncode == NO_HISTORY:
        s.check("no-history-so-golden-records-instead", golden_instead, built.stderr.strip())
        return
    if built.returncode:
        raise Failed(f"the former version cannot be built: {built.stdout[-300:]}{built.stderr[-600:]}")
    former = built.stdout.strip()
    load = Load({})
    line = Line(s, load.serve())
    load.ports = line.ports
    line.upgrade(program=former)        # so that it is the former one to which all callers come
    load.start(FORMER)
    counters = line.counters()

    def to(path):
        nonlocal counters
        line.upgrade(program=path)
        counters = line.expect_no_step_back(counters)

    for turn in range(1, ROUNDS + 1):
        s.check(f"from-the-former-version-{turn}", to, PROXY)
        s.check(f"back-to-the-former-version-{turn}", to, former)
    s.check("from-the-former-version-for-good", to, PROXY)
    load.end()
    for name, count in load.counts.items():
        s.check(f"{name}-notices-nothing", walks.nothing, count)

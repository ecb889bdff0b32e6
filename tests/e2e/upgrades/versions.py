"""Upgrades between versions: N to N+1 and back. The later versions are this one with something added: a field and a
record that can be spared, or a field that must not be lost (SP_UPGRADE_NEXT)."""

import os

from harness import BUILD, PROXY, Failed, expect
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

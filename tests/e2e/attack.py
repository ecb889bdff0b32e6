#!/usr/bin/env python3
"""Attacks on real sidecars: smuggling, floods, slow clients, ill upstreams, caps, bulk, and the end of processes.

    tests/e2e/attack.py                all scenarios
    tests/e2e/attack.py ambiguous ...  only these

The proxy is taken from $SAMPAN_BUILD (build/). One line for each check, then `N passed, N failed`. Figures that a
machine's load can change are printed as comments and held to generous bounds.
"""

import argparse
import contextlib
import inspect
import os
import resource

from attacks import bulk, caps, doors, files, floods, ill, life, manners, mutate, slow, smuggle
from harness import PROXY, Scenario, Tally, main_guard

SCENARIOS = {
    "bolt-deadline": slow.bolt_deadline,
    "deaf-callers": slow.deaf_callers,
    "ambiguous": smuggle.ambiguous,
    "lengths": smuggle.lengths,
    "sizes": smuggle.sizes,
    "broken-requests": mutate.requests,
    "broken-frames": mutate.frames,
    "broken-answers": mutate.answers,
    "paths": doors.paths,
    "hosts": doors.hosts,
    "proxy-headers": doors.proxy_headers,
    "upgrades": doors.upgrades,
    "trust": manners.trust,
    "local-replies": manners.local_replies,
    "logs": manners.logs,
    "http-upstreams": ill.http_upstreams,
    "bolt-upstreams": ill.bolt_upstreams,
    "slow-clients": slow.slow_clients,
    "deaf-beside-others": slow.deaf_beside_others,
    "late-reader": slow.late_reader,
    "connections": caps.connections,
    "descriptors": caps.descriptors,
    "bulk-flows": caps.bulk_flows,
    "memory": caps.memory,
    "cluster-limits": caps.cluster_limits,
    "big-bodies": bulk.big_bodies,
    "terms": life.terms,
    "deadline": life.deadline,
    "twice": life.twice,
    "crowded": life.crowded,
    "kept-alive": life.kept_alive,
    "reopens": life.reopens,
    "killed": life.killed,
    "configurations": files.configurations,
    "socket-files": files.socket_files,
    "reopen-fails": files.reopen_fails,
    "last-lines": files.last_lines,
    "flood": floods.connections,
    "depths": floods.depths,
}
LONG = {"bolt-deadline", "deaf-callers", "slow-clients", "big-bodies"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--brief", action="store_true", help="all but those that last for the sake of figures")
    parser.add_argument("scenario", nargs="*", help=", ".join(SCENARIOS))
    args = parser.parse_args()
    for name in args.scenario:
        if name not in SCENARIOS:
            parser.error(f"unknown scenario: {name}")
    if not os.access(PROXY, os.X_OK):
        print(f"not ok start: no sidecar at {PROXY}\n0 passed, 1 failed")
        return 1
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    tally = Tally("sidecar")
    with contextlib.ExitStack() as behind:
        for name in args.scenario or [name for name in SCENARIOS if not (args.brief and name in LONG)]:
            run(name, tally, behind)
    return tally.finish()


def run(name, tally, behind):
    """One scenario. A generator is one of two parts: the second comes when all others are over."""
    s = Scenario(tally, name)
    if not inspect.isgeneratorfunction(SCENARIOS[name]):
        with s:
            SCENARIOS[name](s)
        return
    behind.enter_context(s)
    parts = SCENARIOS[name](s)
    behind.callback(lambda: next(parts, None))
    try:
        next(parts)
    except Exception as err:
        tally.not_ok(f"{name}/start", f"{type(err).__name__}: {err}")


if __name__ == "__main__":
    main_guard(main)

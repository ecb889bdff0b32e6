#!/usr/bin/env python3
"""Moves N-1 forward: names a commit in tests/upgrade/previous and has it write the golden records.

    tests/upgrade/golden.py COMMIT      the commit before the schema changes, as a rule HEAD

The commit's own tests write tests/conform/upgrade (tests/unit/cmd/upgrade_golden.c), so these are what that build
sends. What is then in the working tree is for the commit that changes the schema.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

import build

GOLDEN = os.path.join(build.ROOT, "tests", "conform", "upgrade")
WRITER = "tests/unit/test_cmd_upgrade_golden"


def name_commit(commit):
    with open(build.PREVIOUS, encoding="utf-8") as opened:
        text = opened.read()
    with open(build.PREVIOUS, "w", encoding="utf-8") as opened:
        opened.write(re.sub(r"^[0-9a-f]{40}$", commit, text, flags=re.M))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = build.git("rev-parse", "--verify", sys.argv[1] + "^{commit}", capture_output=True, text=True)
    if found.returncode:
        sys.exit(f"golden.py: {found.stderr.strip()}")
    commit = found.stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        source, written = os.path.join(folder, "source"), os.path.join(folder, "written")
        build.checkout(commit, source)
        os.mkdir(written)
        made = build.ninja(source, WRITER, options=["-Dtests=true"])
        subprocess.run([os.path.join(made, WRITER), "write", written], check=True, timeout=build.SECONDS)
        shutil.rmtree(GOLDEN, ignore_errors=True)
        shutil.copytree(written, GOLDEN)
    name_commit(commit)
    print(f"golden.py: {len(os.listdir(GOLDEN))} files of {commit[:12]} are in tests/conform/upgrade")


if __name__ == "__main__":
    main()

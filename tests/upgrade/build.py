#!/usr/bin/env python3
"""The sidecar of the commit that tests/upgrade/previous names, built once.

    tests/upgrade/build.py      prints where it is; ends with 3 and says why where the history is not there

It is built from git's own copy of that commit into build-previous/COMMIT, as a release but without LTO, and found
there the next time.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PREVIOUS = os.path.join(ROOT, "tests", "upgrade", "previous")
OUT = os.path.join(ROOT, "build-previous")
SECONDS = 300
NO_HISTORY = 3


class NoHistory(Exception):
    """The commit is not in this checkout."""


def commit():
    with open(PREVIOUS, encoding="utf-8") as opened:
        lines = [line.strip() for line in opened if line.strip() and not line.startswith("#")]
    if len(lines) != 1 or not re.fullmatch("[0-9a-f]{40}", lines[0]):
        sys.exit(f"{PREVIOUS}: want one line with a commit's 40 digits")
    return lines[0]


def git(*argv, **how):
    # whoever owns the checkout: a container's root often does not
    return subprocess.run(["git", "-c", f"safe.directory={ROOT}", "-C", ROOT, *argv], timeout=SECONDS, **how)


def check_history(wanted):
    if not shutil.which("git"):
        raise NoHistory("there is no git here")
    found = git("cat-file", "-e", wanted + "^{commit}", capture_output=True, text=True)
    if found.returncode:
        raise NoHistory(f"commit {wanted[:12]} is not in this checkout ({' '.join(found.stderr.split())[:120]})")


def checkout(wanted, folder):
    """The commit's files, and nothing of git."""
    check_history(wanted)
    os.makedirs(folder)
    archive = os.path.join(folder, "source.tar")
    git("archive", "--format=tar", "-o", archive, wanted, check=True)
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True, timeout=SECONDS)
    os.unlink(archive)


def ninja(folder, *targets, options=()):
    """Builds targets of a checkout; where the build is. What goes wrong is said in full."""
    build = os.path.join(folder, "build")
    for argv in (["meson", "setup", build, "--buildtype=release", *options], ["ninja", "-C", build, *targets]):
        made = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
        if made.returncode:
            sys.exit(f"{made.stdout}\n{made.stderr}\nbuild.py: {' '.join(argv)} has failed")
    return build


def program():
    wanted = commit()
    folder = os.path.join(OUT, wanted)
    made = os.path.join(folder, "sampan-proxy")
    if os.access(made, os.X_OK):
        return made
    shutil.rmtree(folder, ignore_errors=True)       # half of it, of a run that was ended
    with contextlib.suppress(OSError):
        for other in os.listdir(OUT):
            shutil.rmtree(os.path.join(OUT, other), ignore_errors=True)
    checkout(wanted, folder)
    build = ninja(folder, "src/cmd/sampan-proxy", options=["-Dtests=false"])
    os.replace(os.path.join(build, "src", "cmd", "sampan-proxy"), made)
    shutil.rmtree(build)
    return made


def main():
    try:
        print(program())
    except NoHistory as why:
        print(f"build.py: {why}", file=sys.stderr)
        sys.exit(NO_HISTORY)


if __name__ == "__main__":
    main()

"""Where two processes meet: folders that are not safe for it, and containers that share more or less of a machine.

A box is to an upgrade what a container is: it has files of its own, among them a copy of the configuration under the
same name, and shares the base directory alone (a volume of the pod); its pid namespace is its own, unless the pod
shares one.
"""

import os
import signal

from harness import expect
from upgrades import walks
from upgrades.house import Line
from upgrades.load import Load

SECONDS = 30
STRANGER = 12345
APART = "in a pid namespace that this one cannot see"


def box(line, pids=False):
    """What comes before the command line of a program that shall run in a box."""
    folder, side = line.scenario.folder, line.scenario.folder + ".side"
    script = ["set -e", "mount --make-rprivate / 2>/dev/null || true", f"kept=$(cat {line.config})",
              f"mkdir -p {side}", f"mount --bind {line.base} {side}", f"mount -t tmpfs tmpfs {folder}",
              f"mkdir {line.base}", f"mount --bind {side} {line.base}", f"umount {side}",
              f'printf %s "$kept" >{line.config}', *(["mount -t proc proc /proc"] if pids else []),
              f"cd {folder}", 'exec "$@"']
    own = ["--pid", "--fork", "--kill-child"] if pids else []
    return ["unshare", "--mount", "--propagation", "unchanged", *own, "sh", "-c", "\n".join(script), "box"]


def refused(line, words, before=()):
    """A successor, with something before its command line, that must not come to serve; the running one goes on."""
    argv = line.argv
    line.argv = [*before, *argv]
    try:
        child = line.successor()
    finally:
        line.argv = argv
    child.process.wait(SECONDS)
    expect(1, child.process.returncode, f"exit status ({child.tail()})")
    expect(True, words in child.text(), f"{words!r} in its words ({child.tail()})")
    line.expect_alive()
    walks.call(line)


def folders(s, line):
    """The base directory, made unsafe in each way while a process serves; a start and a take-over ask the same."""
    def is_refused(words, name=""):
        argv = line.argv
        line.argv = [*argv[:-1], line.base + name]
        refused(line, words)
        line.argv = argv

    def mode(bits):
        os.chmod(line.base, bits)
        is_refused(f"others can write into it (mode {bits:04o})")

    def owner():
        os.chown(line.base, STRANGER, STRANGER)
        is_refused(f"belongs to user {STRANGER}")

    def link(slash):
        is_refused("is a symbolic link", ".link" + slash)

    def file():
        open(line.base + ".file", "w").close()
        is_refused("is no folder", ".file")

    def below_a_file():
        is_refused("something on the way to it is no folder", ".file/below")

    def long_name():
        is_refused("no Unix socket with a name as long", "." + "n" * 100)

    os.symlink(line.base, line.base + ".link")
    for name, body, *more in (("everybody-can-write-into", mode, 0o777), ("a-group-can-write-into", mode, 0o770),
                              ("is-sticky-like-tmp", mode, 0o1777), ("belongs-to-another", owner),
                              ("is-a-link", link, ""), ("is-a-link-with-a-slash", link, "/"), ("is-a-file", file),
                              ("is-below-a-file", below_a_file), ("has-too-long-a-name", long_name)):
        s.check(f"base-directory-that-{name}-is-refused", body, *more)
        os.chmod(line.base, 0o700)
        os.chown(line.base, os.geteuid(), os.getegid())


def inside_a_volume(line):
    """A volume is everybody's; a folder in it that does not exist is made, and is ours."""
    volume = os.path.join(line.scenario.folder, "volume")
    os.mkdir(volume)
    os.chmod(volume, 0o777)
    base = os.path.join(volume, "sampan")
    child = line.scenario.spawn("volume", [*line.argv[:-1], base, "--takeover"])
    child.process.wait(SECONDS)     # our ports are taken
    expect(True, "nobody to take over from" in child.text(), f"its words ({child.tail()})")
    expect(0o700, os.stat(base).st_mode & 0o777, "mode of what it made")


def sockets_are_ours(line):
    expect({0o600}, {os.stat(os.path.join(line.base, name)).st_mode & 0o777 for name in os.listdir(line.base)},
           "modes of the sockets")


def of_another_user(line):
    """Who may come into the folder, but is another user."""
    os.chmod(line.base, 0o755)
    os.chmod(line.config, 0o644)
    drop = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
    refused(line, ".sock: not permitted", drop)             # by the socket's mode
    path = walks.upgrade_socket(line)
    os.chmod(path, 0o666)
    refused(line, "could not be ended if it hung", drop)    # by the kernel's word for who we are
    line.child.wait_for_line(f"turned away.*(is of user {STRANGER}|cannot be held)", SECONDS)    # or it had ended
    os.chmod(path, 0o600)
    os.chmod(line.base, 0o700)


def to_a_box(line):
    """Files of its own, one pid namespace, as with shareProcessNamespace."""
    line.argv = [*box(line), *line.argv]
    line.upgrade()


def from_box_to_box(line):
    line.upgrade(workers=3)
    expect([], [name for name in os.listdir(f"/proc/{line.pid}/root{line.scenario.folder}")
                if name.endswith(".log")], "files of this scenario that it sees")


def pids_of_its_own(line):
    """The successor cannot see the process that serves."""
    argv, line.argv = line.argv, line.argv[-len(line.plain):]
    refused(line, APART, box(line, True))
    line.child.wait_for_line("turned away.*" + APART, SECONDS)
    line.argv = argv


def pids_that_the_old_one_cannot_see(s, upstream):
    """The process that serves is in a pid namespace below the successor's: one sees, the other does not."""
    line = Line(s, upstream, name="below")
    line.child.end()
    plain = line.argv
    line.argv = [*box(line, True), *plain]
    line.start()
    line.argv = plain
    refused(line, APART)
    line.child.wait_for_line("turned away.*" + APART, SECONDS)
    with open(f"/proc/{line.pid}/task/{line.pid}/children") as f:
        os.kill(int(f.read()), signal.SIGTERM)      # unshare hands down the status, but no signal
    line.child.process.wait(SECONDS)


def run(s):
    load = Load({})
    upstream = load.serve()
    line = Line(s, upstream)
    line.plain = line.argv
    load.ports = line.ports
    load.start({"http": 8, "bolt": 4, "tcp": 4})
    folders(s, line)
    s.check("sockets-are-for-their-user-alone", sockets_are_ours, line)
    s.check("another-user-is-refused", of_another_user, line)
    s.check("folder-inside-a-volume-is-made", inside_a_volume, line)
    s.check("a-box-takes-over", to_a_box, line)
    s.check("and-another-box-from-it", from_box_to_box, line)
    s.check("a-box-with-pids-of-its-own-is-refused", pids_of_its_own, line)
    s.check("and-one-that-is-not-seen-by-the-old", pids_that_the_old_one_cannot_see, s, upstream)
    load.end()
    for name, count in load.counts.items():
        s.check(f"{name}-notices-nothing", walks.nothing, count)

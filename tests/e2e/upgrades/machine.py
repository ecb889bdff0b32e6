"""A small machine with a real systemd as its first process, in namespaces of its own.

    driver ── its own network ──> unshare: pid, mount, cgroup, ipc, uts ──> a root of tmpfs ──> systemd
                                                                            usr: the host's, to be read only
                                                                            usr/local: what is installed
                                                                            etc: made here, units named here

The root has nothing of the host but /usr: no unit, no user and no setting of it can matter, and nothing that systemd
does at a start (kernel settings, devices, clocks) reaches the host, for the few units that there are do nothing of
the kind. It needs root, and a kernel with cgroup2; no overlay, no nspawn, no bus: systemctl of the root user speaks
with its first process by a socket. What the host calls pid N is another number inside: `inside` and `outside`.

`machine.py boot ROOT` is what runs as the first process and becomes systemd.
"""

import os
import shutil
import subprocess
import sys
import time

UNITS = ("sysinit basic multi-user sockets timers paths slices shutdown local-fs local-fs-pre swap network "
         "network-online nss-lookup umount").split()
JOURNAL = ["systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket"]
DEVICES = ["null", "zero", "full", "random", "urandom", "tty"]
HOST_UNITS = "/lib/systemd/system"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SECONDS = 60
UNSHARE = ["unshare", "--mount", "--propagation", "unchanged"]    # its own way to make mounts private fails in a chroot


def run(*argv, **more):
    return subprocess.run(argv, check=True, **more)


def keep_mounts():
    """What is mounted from here on is seen here alone. In a chroot "/" is no mount, and nothing need be done."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=False, stderr=subprocess.DEVNULL)


# ---- inside, before systemd ----

def mount(kind, place, options=""):
    os.makedirs(place, exist_ok=True)
    run("mount", "-t", kind, *(["-o", options] if options else []), kind, place)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)


def build(root):
    """The root of the machine, all of it in memory."""
    mount("tmpfs", root, "mode=755")
    os.chmod(root, 0o755)
    for name in ("usr", "sys", "root", "var/log", "var/tmp"):
        os.makedirs(os.path.join(root, name))
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if os.path.islink("/" + name):
            os.symlink("usr/" + name, os.path.join(root, name))
    run("mount", "--bind", "/usr", root + "/usr")
    run("mount", "-o", "remount,bind,ro", root + "/usr")
    for name, mode in (("usr/local", "755"), ("run", "755"), ("tmp", "1777"), ("dev", "755"), ("dev/shm", "1777")):
        mount("tmpfs", os.path.join(root, name), "mode=" + mode)
    for name in DEVICES:
        place = os.path.join(root, "dev", name)
        write(place, "")
        run("mount", "--bind", "/dev/" + name, place)
    mount("devpts", root + "/dev/pts", "newinstance,ptmxmode=666,mode=620")
    mount("mqueue", root + "/dev/mqueue")
    os.symlink("pts/ptmx", root + "/dev/ptmx")
    os.symlink("../run", root + "/var/run")
    mount("proc", root + "/proc")
    mount("sysfs", root + "/sys")
    mount("cgroup2", root + "/sys/fs/cgroup")
    fill_etc(root)


def fill_etc(root):
    etc = os.path.join(root, "etc")
    write(etc + "/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    write(etc + "/group", "root:x:0:\n")
    write(etc + "/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
    write(etc + "/hosts", "127.0.0.1 localhost\n")
    write(etc + "/machine-id", os.urandom(16).hex() + "\n")
    if os.path.exists("/etc/ld.so.cache"):
        shutil.copy("/etc/ld.so.cache", etc)
    units = etc + "/systemd/system"
    os.makedirs(units + "/multi-user.target.wants")
    for name in [f"{unit}.target" for unit in UNITS] + JOURNAL:
        shutil.copy(os.path.join(HOST_UNITS, name), units)
    os.symlink("../" + JOURNAL[0], os.path.join(units, "multi-user.target.wants", JOURNAL[0]))
    write(etc + "/systemd/journald.conf", "[Journal]\nStorage=volatile\nRateLimitBurst=0\n")


def boot(root):
    keep_mounts()
    build(root)
    env = {"PATH": PATH, "container": "sampan-test",
           "SYSTEMD_UNIT_PATH": "/etc/systemd/system:/run/systemd/system:/usr/local/lib/systemd/system"}
    os.chroot(root)
    os.chdir("/")
    os.execve("/lib/systemd/systemd", ["systemd", "--system", "--unit=multi-user.target", "--log-target=journal",
                                       "--show-status=no"], env)


# ---- outside ----

class Cgroup:
    """A group of the cgroup2 hierarchy, which inside is all there is of it. Whoever is put into it (`enter`) has its
    children in it too."""

    def __init__(self, folder):
        self.top = next((line.split()[1] for line in open("/proc/mounts") if line.split()[2] == "cgroup2"), None)
        self.ours = not self.top
        if self.ours:
            self.top = os.path.join(folder, "cgroup2")
            mount("cgroup2", self.top)
        self.path = os.path.join(self.top, f"sampan-test-{os.getpid()}")
        os.mkdir(self.path)

    def enter(self):
        write(self.path + "/cgroup.procs", str(os.getpid()))

    def remove(self):
        for folder, _, _ in os.walk(self.path, topdown=False):
            os.rmdir(folder)
        if self.ours:
            run("umount", self.top)


class Machine:
    """Booted by `start`; `call` runs a program inside, and `root` is where its files can be had from here."""

    def __init__(self, scenario):
        self.s = scenario
        self.folder = os.path.join(scenario.folder, "root")
        os.mkdir(self.folder)
        self.group = self.child = None
        self.pid = 0

    def start(self):
        self.group = Cgroup(self.s.folder)
        argv = [*UNSHARE, "--pid", "--fork", "--kill-child", "--cgroup", "--ipc", "--uts", sys.executable,
                os.path.abspath(__file__), "boot", self.folder]
        self.child = self.s.spawn("machine", argv, preexec_fn=self.group.enter)
        end = time.monotonic() + SECONDS
        while self.state() != "running":
            if not self.child.alive() or time.monotonic() > end:
                raise RuntimeError(f"systemd has not come up, but is {self.state()}: {self.child.tail()}")
            time.sleep(0.05)
        self.root = f"/proc/{self.pid}/root"

    def state(self):
        """systemd's own word for how it is, or why it cannot be asked."""
        with open(f"/proc/{self.child.process.pid}/task/{self.child.process.pid}/children") as f:
            born = f.read().split()
        if not born:
            return "not born"
        self.pid = int(born[0])
        if os.path.basename(os.path.realpath(f"/proc/{self.pid}/exe")) != "systemd":
            return "not begun"
        done = self.call("systemctl", "is-system-running")
        return done.stdout.strip() or done.stderr.strip()

    def call(self, *argv, seconds=SECONDS):
        """A program inside; whatever its status is."""
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--cgroup", "--ipc", "--uts", "--root",
                 "--wd"]
        return subprocess.run([*enter, *argv], env={"PATH": PATH}, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=seconds)

    def path(self, name):
        return self.root + name

    def write(self, name, text):
        write(self.path(name), text)

    def inside(self, pid):
        """What a process of ours, by our number, is called inside."""
        with open(f"/proc/{pid}/status") as f:
            return int(next(line for line in f if line.startswith("NSpid:")).split()[-1])

    def outside(self, pid):
        """What a process is called here that inside is `pid`."""
        for name in os.listdir("/proc"):
            if name.isdigit() and self.is_of_us(name) and self.inside(name) == pid:
                return int(name)
        return 0

    def is_of_us(self, pid):
        try:
            return os.stat(f"/proc/{pid}/ns/pid").st_ino == os.stat(f"/proc/{self.pid}/ns/pid").st_ino
        except OSError:
            return False

    def close(self):
        """unshare ends, and with it everything inside; then the group is empty. A second time is fine."""
        if self.child:
            self.child.process.kill()
            self.child.process.wait()
        end = time.monotonic() + SECONDS
        while self.pid and os.path.exists(f"/proc/{self.pid}") and time.monotonic() < end:
            time.sleep(0.02)
        if self.group:
            self.group.remove()
        self.group = None


if __name__ == "__main__":
    if sys.argv[1:2] != ["boot"] or os.getpid() != 1:
        sys.exit("machine.py: boot ROOT, as the first process of namespaces of its own")
    boot(sys.argv[2])

"""What /proc says about processes and the machine: CPU time, memory, who belongs to whom."""

import contextlib
import glob
import os

TICK = os.sysconf('SC_CLK_TCK')
PAGE_KIB = os.sysconf('SC_PAGE_SIZE') // 1024


def read(path):
    """The text of a file, or '' when it has gone: processes may end between two looks."""
    try:
        with open(path, encoding='utf-8', errors='replace') as opened:
            return opened.read()
    except OSError:
        return ''


def stat_fields(pid):
    """The fields of /proc/PID/stat after the name, which may hold blanks; [] when it has gone."""
    text = read(f'/proc/{pid}/stat')
    return text.rsplit(')', 1)[1].split() if text else []


def tree(roots):
    """The given pids that live, and all their descendants."""
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found and os.path.exists(f'/proc/{pid}'):
            found.append(pid)
            todo += children(pid)
    return found


def children(pid):
    """The kernel keeps them with each thread: no look at all processes, which would cost milliseconds."""
    return [int(word) for path in glob.glob(f'/proc/{pid}/task/*/children') for word in read(path).split()]


def cpu(pids):
    """Seconds of CPU: all (the scheduler's own clock, over all threads), user, system (10 ms grain)."""
    total = user = system = 0.0
    for pid in pids:
        for path in glob.glob(f'/proc/{pid}/task/*/schedstat'):
            fields = read(path).split()
            if fields:
                total += int(fields[0]) / 1e9
        fields = stat_fields(pid)
        if fields:
            user += int(fields[11]) / TICK
            system += int(fields[12]) / TICK
    return total, user, system


def memory(pids):
    """KiB of memory: resident, and proportional (shared pages divided among those who share)."""
    rss = pss = 0
    for pid in pids:
        for line in read(f'/proc/{pid}/smaps_rollup').splitlines():
            if line.startswith('Rss:'):
                rss += int(line.split()[1])
            elif line.startswith('Pss:'):
                pss += int(line.split()[1])
    return rss, pss


def resident(pids):
    """KiB of resident memory by the kernel's own count: cheap enough to be read in a window."""
    return sum(int(fields[1]) for fields in (read(f'/proc/{pid}/statm').split() for pid in pids)
               if fields) * PAGE_KIB


def descriptors(pids):
    """The most descriptors that one of the processes has open. Since Linux 6.2 the folder knows its size."""
    most = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            most = max(most, os.stat(f'/proc/{pid}/fd').st_size or len(os.listdir(f'/proc/{pid}/fd')))
    return most


def machine_busy():
    """Seconds of CPU that anything used on the machine since its start, and seconds stolen by its host."""
    fields = [int(word) for word in read('/proc/stat').splitlines()[0].split()[1:]]
    return (fields[0] + fields[1] + fields[2] + fields[5] + fields[6]) / TICK, fields[7] / TICK

"""Facts that stand beside the figures: the machine, the commit, the versions of everything that took part."""

import datetime
import os
import platform
import re
import subprocess

from procfs import read

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def said_by(command, lines=1):
    """The first lines that a command prints, on either stream; '' when it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ''
    text = (done.stdout + done.stderr).strip().splitlines()
    return ' '.join(line.strip() for line in text[:lines])


def git(*arguments):
    return said_by(['git', '-C', ROOT, *arguments])


def commit():
    """The short name of the commit, with `-dirty` when files that the build reads differ from it."""
    name = git('rev-parse', '--short=10', 'HEAD') or 'nocommit'
    return name + ('-dirty' if git('status', '--porcelain', '--', 'src', 'bench/mesh', 'meson.build') else '')


def facts():
    """The machine, as a dictionary."""
    cpuinfo = read('/proc/cpuinfo')
    model = re.search(r'model name\s*:\s*(.*)', cpuinfo)
    total = re.search(r'MemTotal:\s*(\d+)', read('/proc/meminfo'))
    release = re.search(r'PRETTY_NAME="(.*)"', read('/etc/os-release'))
    return {
        'cpu': model[1].strip() if model else platform.machine(),
        'cores': os.cpu_count(),
        'kernel': platform.release(),
        'system': release[1] if release else '',
        'memory_mib': int(total[1]) // 1024 if total else 0,
        'virtual': 'hypervisor' in cpuinfo,
        'governor': read('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor').strip(),
        'load_before': read('/proc/loadavg').split()[:3],
    }


def tools():
    """Versions of the generators and of the tracer."""
    return {
        'wrk': said_by(['wrk', '-v']),
        'h2load': said_by(['h2load', '--version']),
        'strace': said_by(['strace', '-V']),
        'cc': said_by([os.environ.get('CC', 'cc'), '--version']),
        'python': platform.python_version(),
    }


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ')

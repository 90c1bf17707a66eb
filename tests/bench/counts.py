"""Counts of what a server does, which no other load on the machine changes: system calls and instructions."""

import os
import re
import signal
import subprocess
import tempfile
import time

from processes import Failure

SYS_ENTER, FUTEX = 'raw_syscalls:sys_enter', 'syscalls:sys_enter_futex'


_tracepoints = None


def tracepoints():
    """Whether perf can count system calls here: as root, with a tracefs."""
    global _tracepoints
    if _tracepoints is None:
        try:
            if not os.path.exists('/sys/kernel/tracing/events') and os.geteuid() == 0:
                subprocess.run(['mount', '-t', 'tracefs', 'none', '/sys/kernel/tracing'], capture_output=True)
            argv = ['perf', 'stat', '-e', f'{SYS_ENTER},{FUTEX}', 'true']
            done = subprocess.run(argv, capture_output=True, text=True)
            _tracepoints = done.returncode == 0 and 'not supported' not in done.stderr
        except FileNotFoundError:
            _tracepoints = False
    return _tracepoints


class Counter:
    """Counts the system calls of a server's processes, from `with` to its end: by perf where it can, which slows
    nobody down, or by strace, which also tells them apart. Or the CPU time, if that is what is asked for."""

    def __init__(self, process, task_clock=False, by_name=False):
        self.process, self.task_clock = process, task_clock
        self.strace = by_name or not (task_clock or tracepoints())
        self.calls = self.futex = self.cpu = None
        self.by_name = {}

    def __enter__(self):
        pids = ','.join(map(str, self.process.pids))
        self.out = tempfile.NamedTemporaryFile('r')
        events = 'task-clock' if self.task_clock else f'{SYS_ENTER},{FUTEX}'
        argv = ['perf', 'stat', '-x', ';', '-o', self.out.name, '-e', events, '-p', pids]
        if self.strace:
            argv = ['strace', '-f', '-qq', '-c', '-U', 'calls,name', '-o', self.out.name, '-p', pids]
        self.tool = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.PIPE, text=True)
        self._attached(argv)
        return self

    def _attached(self, argv):
        end = time.monotonic() + 10
        while time.monotonic() < end:
            if self.tool.poll() is not None:
                raise Failure(f'{argv[0]}: {self.tool.stderr.read()}')
            if self.strace:
                with open(f'/proc/{self.process.pids[-1]}/status') as f:
                    if not re.search(r'(?m)^TracerPid:\t0$', f.read()):
                        return
            elif any(os.readlink(f'/proc/{self.tool.pid}/fd/{fd}').startswith('anon_inode:[perf_event')
                     for fd in os.listdir(f'/proc/{self.tool.pid}/fd')):
                time.sleep(0.2)
                return
            time.sleep(0.02)
        raise Failure(f'{argv[0]} does not attach to {self.process.name}')

    def __exit__(self, *_):
        self.tool.send_signal(signal.SIGINT)
        self.tool.wait()
        text = self.out.read()
        self.out.close()
        if self.strace:
            self.by_name = {name: int(n) for n, name in re.findall(r'(?m)^\s*(\d+)\s+(\w+)$', text)}
            self.calls, self.futex = self.by_name.pop('total', 0), self.by_name.get('futex', 0)
            return
        counted = {fields[2]: float(fields[0]) for fields in (line.split(';') for line in text.splitlines())
                   if len(fields) > 2 and fields[0][:1].isdigit()}
        if self.task_clock:
            # In milliseconds.
            self.cpu = counted.get('task-clock', 0) / 1000
        else:
            self.calls, self.futex = counted.get(SYS_ENTER, 0), counted.get(FUTEX, 0)

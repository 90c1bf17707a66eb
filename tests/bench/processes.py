"""A server as processes: started on a core of its own, and what it costs by the word of the kernel."""

import os
import signal
import socket
import subprocess
import time

TICKS = os.sysconf('SC_CLK_TCK')
# One for the servers and one for the load, where there are two.
CORES = sorted(os.sched_getaffinity(0))[:2]
PATIENCE = 20


class Failure(Exception):
    """What could not be measured."""


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def pin_load():
    os.sched_setaffinity(0, CORES[-1:])


def pin_server():
    os.sched_setaffinity(0, CORES[:1])


class Process:
    """A server that listens at `port`, with whatever processes it has."""

    def __init__(self, name, argv, port, log):
        self.name, self.port, self.log = name, port, log
        with open(log, 'wb') as out:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            preexec_fn=pin_server, start_new_session=True)
        try:
            self._wait()
        except BaseException:
            self.end()
            raise
        self.pids = self._tree(self.process.pid)

    def _wait(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(('127.0.0.1', self.port), 1).close()
                time.sleep(0.1)
                return
            except ConnectionRefusedError:
                time.sleep(0.02)
        with open(self.log, errors='replace') as f:
            raise Failure(f'{self.name} does not listen at port {self.port}: {f.read()[-500:]}')

    def _tree(self, pid):
        found = [pid]
        try:
            for task in os.listdir(f'/proc/{pid}/task'):
                with open(f'/proc/{pid}/task/{task}/children') as f:
                    for child in f.read().split():
                        found += self._tree(int(child))
        except FileNotFoundError:
            pass
        return found

    def disowns(self):
        """Whether it waits for no child, so that their CPU time is in no sum of the kernel's."""
        with open(f'/proc/{self.process.pid}/status') as f:
            ignored = next(int(line.split()[1], 16) for line in f if line.startswith('SigIgn'))
        return ignored >> (signal.SIGCHLD - 1) & 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def own_cpu(self):
        """CPU seconds of the processes that serve, threads that have ended among them."""
        # The clock of a process, as in clock_getcpuclockid(3): in nanoseconds, where stat has ticks.
        return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in self.pids) / 1e9

    def cpu(self):
        """CPU seconds with those of the children that were waited for, by the tick."""
        children = 0
        for pid in self.pids:
            with open(f'/proc/{pid}/stat') as f:
                fields = f.read().rpartition(')')[2].split()
            children += int(fields[13]) + int(fields[14])
        return self.own_cpu() + children / TICKS

    def settle(self):
        """Waits until no children run but those of the beginning."""
        end = time.monotonic() + PATIENCE
        time.sleep(0.02)
        while len(self._tree(self.process.pid)) > len(self.pids):
            if time.monotonic() > end:
                raise Failure(f'{self.name}: its children do not end')
            time.sleep(0.02)

    def memory(self, fields='Private_', children=False):
        """KiB of that kind; by default what it takes beside all others. Exactly: status only estimates it."""
        kib = 0
        for pid in self._tree(self.process.pid) if children else self.pids:
            try:
                with open(f'/proc/{pid}/smaps_rollup') as f:
                    kib += sum(int(line.split()[1]) for line in f if line.startswith(fields))
            except (FileNotFoundError, ProcessLookupError):
                if not children:
                    raise
        return kib

    def threads(self):
        return sum(len(os.listdir(f'/proc/{pid}/task')) for pid in self.pids)

    def rest(self):
        """Waits until the thread that waited for disks is gone, which a file that was not in memory has come for
        five seconds."""
        end = time.monotonic() + PATIENCE
        while self.threads() > len(self.pids) and time.monotonic() < end:
            time.sleep(0.1)

    def waits(self):
        """How often it went to sleep of its own."""
        count = 0
        for pid in self.pids:
            for task in os.listdir(f'/proc/{pid}/task'):
                with open(f'/proc/{pid}/task/{task}/status') as f:
                    count += sum(int(line.split()[1]) for line in f if line.startswith('voluntary_ctxt'))
        return count

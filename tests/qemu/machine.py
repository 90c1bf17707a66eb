"""A machine under QEMU that is steered by its serial console, and has ports that lead to it."""

import collections
import ctypes
import os
import re
import signal
import socket
import subprocess
import threading
import time

# With an FPU, which our programs do without: Debian's busybox has numbers in it, and where the kernel has to
# do what is missing, its awk takes ten times as long.
MODELS = {
    "mipsel": ["qemu-system-mipsel", "-M", "malta", "-cpu", "24Kf", "-vga", "none"],
    "arm64": ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53"],
}
CARDS = {"mipsel": "pcnet,netdev=n0,romfile=", "arm64": "virtio-net-device,netdev=n0"}
CONSOLES = {"mipsel": "ttyS0", "arm64": "ttyAMA0"}

# The list of what could be traced takes 5 MB, which no kernel for routers spends on it.
NO_TRACING = "initcall_blacklist=tracer_init_tracefs"

Said = collections.namedtuple("Said", "status text")


class Trouble(Exception):
    """The machine does not do what it should, or not in time."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def dies_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Machine:
    """Boots at once. `ports` are those of the machine, 192.168.1.1; `port` says which of ours lead there."""

    def __init__(self, model, kernel, initrd, memory, ports):
        self.model = model
        self.text = ""
        self.ended = False
        self.commands = 0
        self.news = threading.Condition()
        for _ in range(3):
            self._start(kernel, initrd, memory, ports)
            try:
                self.process.wait(1)
            except subprocess.TimeoutExpired:
                return
            # Somebody else may have been faster with one of the ports.
            self.reader.join()
            if "Could not set up host forwarding" not in self.text:
                break
        raise Trouble("QEMU has ended: " + self.text.strip())

    def _start(self, kernel, initrd, memory, ports):
        self.port = {port: free_port() for port in ports}
        network = "user,id=n0,restrict=on,net=192.168.1.0/24,host=192.168.1.254,dns=192.168.1.253"
        for there, here in self.port.items():
            network += f",hostfwd=tcp:127.0.0.1:{here}-192.168.1.1:{there}"
        command = MODELS[self.model] + [
            "-m", str(memory), "-kernel", kernel, "-initrd", initrd,
            "-append", f"console={CONSOLES[self.model]} panic=1 {NO_TRACING}",
            "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot",
            "-netdev", network, "-device", CARDS[self.model],
        ]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=dies_with_parent)
        self.ended = False
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while chunk := os.read(self.process.stdout.fileno(), 65536):
            with self.news:
                self.text += chunk.decode(errors="replace").replace("\r", "")
                self.news.notify_all()
        with self.news:
            self.ended = True
            self.news.notify_all()

    def wait_for(self, pattern, seconds, begin=0):
        """The first match of the pattern in what the console says from `begin` on."""
        deadline = time.monotonic() + seconds
        with self.news:
            while not (found := re.compile(pattern, re.S).search(self.text, begin)):
                left = deadline - time.monotonic()
                if "Kernel panic" in self.text:
                    why = "the kernel has panicked"
                elif self.ended:
                    why = "QEMU has ended"
                elif left <= 0:
                    why = f"nothing after {seconds} s"
                else:
                    self.news.wait(left)
                    continue
                last = self.text[begin:][-2000:]
                raise Trouble(f"waiting for {pattern!r}: {why}; at last it said:\n{last}")
            return found

    def run(self, command, seconds=60):
        """Runs a command of one line on the machine. Its number tells its output from what came too late."""
        begin = len(self.text)
        self.commands += 1
        self.process.stdin.write(f"{self.commands} {command}\n".encode())
        self.process.stdin.flush()
        try:
            found = self.wait_for(rf"@begin {self.commands}@\n(.*?)@end (\d+)@\n", seconds, begin)
        except Trouble as trouble:
            raise Trouble(f"{command}: {trouble}") from None
        return Said(int(found[2]), found[1])

    def ask(self, command, seconds=60):
        """What a command says that must succeed."""
        said = self.run(command, seconds)
        if said.status:
            raise Trouble(f"{command}: ended with {said.status}: {said.text}")
        return said.text.strip()

    def end(self):
        """Ends it as by its switch."""
        self.process.kill()
        self.process.wait()

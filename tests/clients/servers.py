"""What both test scripts need: real servers as processes, files, and the way the scripts are run."""

import contextlib
import hashlib
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
WWW = ROOT / "examples" / "www"
PKI = ROOT / "tests" / "pki"
CA = PKI / "ca.pem"

# Nothing here takes that long, even on a slow and busy machine.
PATIENCE = 60

# Neither the proxy of whoever runs this is to be tested, nor whom they trust.
for _name in list(os.environ):
    if _name.lower().endswith(("_proxy", "_ca_bundle")) or _name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        del os.environ[_name]
ENV = dict(os.environ)

_bin_dir = None


def binary(name):
    """The path of `ecohttpd` or of an example, such as `examples/upload`."""
    return str(_bin_dir / name)


def main():
    """Runs the tests of the calling script; its first argument is the directory of the binaries."""
    global _bin_dir
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(f"usage: {sys.argv[0]} BIN_DIR [unittest's arguments]")
    _bin_dir = pathlib.Path(sys.argv.pop(1)).resolve()
    needed = ["ecohttpd", *(f"examples/{name}" for name in ("server", "multiprocess", "upload", "https"))]
    missing = [name for name in needed if not (_bin_dir / name).is_file()]
    if missing:
        sys.exit(f"{_bin_dir} lacks {', '.join(missing)}")
    unittest.main(module="__main__")


def wait_for(what, ask, patience=PATIENCE):
    """Asks until the answer is something; that is returned."""
    end = time.monotonic() + patience
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {patience} s")
        time.sleep(0.02)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def noise(size, seed=1):
    """Bytes that do not compress, the same ones every time."""
    return random.Random(seed).randbytes(size)


def write_noise(path, size, seed=1):
    """A file of them, a MiB at a time; its sha256."""
    numbers, digest = random.Random(seed), hashlib.sha256()
    with open(path, "wb") as f:
        while size > 0:
            block = numbers.randbytes(min(size, 1 << 20))
            f.write(block)
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()


class Server:
    """A server's process, ended by its own pid."""

    ADDRESS = re.compile(r"(?:listening on |https?://)(\[[^\]]*\]|[^\s:/]+):(\d+)")

    def __init__(self, name, *args, addresses=1, port=None, cwd=None):
        """Waits until it has said where it listens; or, if `port` is given, until one can connect."""
        self.lines = []
        self.process = subprocess.Popen(
            [binary(name), *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=ENV,
        )
        self.threads = [
            threading.Thread(target=self._read, args=(out, to), daemon=True)
            for out, to in ((self.process.stdout, self.lines), (self.process.stderr, self.lines))
        ]
        for thread in self.threads:
            thread.start()
        try:
            if port is None:
                wait_for(f"{name} says where it listens", lambda: self._listens(addresses))
            else:
                self.addresses = [("127.0.0.1", port)]
                wait_for(f"{name} listens", self.accepts)
        except BaseException:
            self.stop()
            raise
        self.port = self.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}"

    def _read(self, out, to):
        for line in out:
            to.append(line.decode("utf-8", "backslashreplace").rstrip("\n"))

    def _listens(self, addresses):
        if self.process.poll() is not None:
            raise AssertionError(f"it ended with {self.process.returncode}: {self.lines}")
        found = [m for m in map(self.ADDRESS.search, list(self.lines)) if m]
        self.addresses = [(m[1], int(m[2])) for m in found]
        return len(found) == addresses

    @property
    def pid(self):
        return self.process.pid

    def accepts(self):
        """Whether a new connection is taken."""
        if self.process.poll() is not None:
            raise AssertionError(f"it ended with {self.process.returncode}: {self.lines}")
        return can_connect(self.addresses[0][1])

    def memory(self, field):
        """A number of KiB from /proc/PID/status."""
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+) kB$", text, re.M)[1])

    def wait(self, patience=PATIENCE):
        """Its exit code, with all its lines read."""
        code = self.process.wait(patience)
        for thread in self.threads:
            thread.join(patience)
        return code

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        self.process.stdout.close()
        self.process.stderr.close()


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


def launch(*args, **more):
    """The launcher, in the foreground at a free port."""
    return Server("ecohttpd", "-f", "-p", "127.0.0.1:0", *args, **more)


class TestCase(unittest.TestCase):
    """Tests with a directory of their own."""

    @classmethod
    def setUpClass(cls):
        cls.dir = pathlib.Path(tempfile.mkdtemp(prefix="ecohttpd-clients-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir)

    @classmethod
    def serve(cls, server):
        """A server for all tests of the class."""
        cls.addClassCleanup(server.stop)
        return server

    def start(self, server):
        """A server for this test alone."""
        self.addCleanup(server.stop)
        return server

    def new_dir(self):
        """An empty directory."""
        return pathlib.Path(tempfile.mkdtemp(dir=self.dir))

    def assertSameFile(self, a, b):
        self.assertEqual(sha256(a), sha256(b), f"{a} and {b} differ")

    def assertNames(self, directory, names):
        self.assertEqual(sorted(os.listdir(directory)), sorted(names))


@contextlib.contextmanager
def raw(port, data=b""):
    """A connection with nothing between it and the test."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as s:
        s.sendall(data)
        yield s


def read_all(s):
    """What comes until the peer closes; a reset ends it too."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := s.recv(1 << 16):
            data += more
    return data

"""What the steps share: programs of a target under QEMU, something to serve, and clients."""

import contextlib
import gzip
import hashlib
import http.client
import os
import pathlib
import random
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
PKI = ROOT / "tests" / "pki"
CA = PKI / "ca.pem"
HTTPS = "-s", "127.0.0.1:0", "-C", PKI / "localhost.pem", "-K", PKI / "localhost.key"

# Nothing here takes that long, even emulated on a busy machine.
PATIENCE = 120

MIB = 1 << 20


class Trouble(Exception):
    """What was seen is not what has to be."""


def check(holds, what):
    if not holds:
        raise Trouble(what)


def same(have, want, what):
    if have != want:
        have, want = (f"{x[:300]!r}{f' of {len(x)} bytes' if len(x) > 300 else ''}"
                      if isinstance(x, (bytes, str)) else repr(x) for x in (have, want))
        raise Trouble(f"{what}: {have}, not {want}")


def until(what, holds, seconds=PATIENCE):
    """Asks until the answer is something; that is returned."""
    deadline = time.monotonic() + seconds
    while not (answer := holds()):
        check(time.monotonic() < deadline, f"{what}: not after {seconds} s")
        time.sleep(0.02)
    return answer


class Target:
    """A router: its programs, and what runs them."""

    def __init__(self, name, qemu, site, tests):
        self.name = name
        self.qemu = qemu
        self.site = site
        # Kind, name and path of each program of tests.
        self.tests = tests

    def program(self, name="ecohttpd"):
        return [*self.qemu, str(ROOT / "target" / "cross" / "bin" / self.name / name)]

    def run(self, *arguments, program="ecohttpd", **more):
        """What the launcher ended with and said."""
        more = {"capture_output": True, "text": True, "timeout": PATIENCE, "check": False} | more
        return subprocess.run([*self.program(program), *map(str, arguments)], **more)

    @contextlib.contextmanager
    def serve(self, *options, program="ecohttpd", home=None, count=1):
        """The launcher over the site, with its default address and what the options say."""
        home = home or self.site.home
        server = Server([*self.program(program), "-f", "-c", "/dev/null", "-p", "127.0.0.1:0", "-h", home,
                         *options], count + options.count("-s"))
        try:
            yield server
            if not server.is_told:
                server.ends()
        finally:
            server.kill()


class Server:
    """The launcher's process, ended by its own pid."""

    def __init__(self, command, count, cwd=None):
        """Waits until it listens at as many addresses."""
        self.lines = []
        # Whether it has been told to end.
        self.is_told = False
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, cwd=cwd)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        try:
            self.ports = until("it listens", lambda: self.listens(count))
        except Trouble:
            self.kill()
            raise

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line.decode("utf-8", "backslashreplace").rstrip("\n"))

    def listens(self, count):
        check(self.process.poll() is None, f"it ended with {self.process.returncode}: {self.lines}")
        found = re.findall(r"listening on 127\.0\.0\.1:(\d+)$", "\n".join(self.lines), re.M)
        return [int(port) for port in found] if len(found) == count else None

    def says(self, pattern):
        """Waits for a line that matches; the lines up to there are gone."""
        def found():
            for i, line in enumerate(self.lines):
                if match := re.search(pattern, line):
                    del self.lines[:i + 1]
                    return match
            return None

        try:
            return until("a line", found, 30)
        except Trouble:
            raise Trouble(f"it does not say {pattern!r} but {self.lines}") from None

    def signal(self, number):
        self.is_told |= number == signal.SIGTERM
        self.process.send_signal(number)

    def code(self, seconds=PATIENCE):
        """What it ends with."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Trouble(f"it does not end within {seconds} s") from None

    def ends(self):
        """It drains and ends well when it is told to."""
        check(self.process.poll() is None, f"it has ended with {self.process.returncode}: {self.lines[-5:]}")
        self.signal(signal.SIGTERM)
        same(self.code(), 0, "the exit code")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        # A script that is left of it may still have the other end.
        self.reader.join(1)
        if not self.reader.is_alive():
            self.process.stderr.close()


def trusting(version=None, protocols=()):
    """A context for TLS of this version that knows whom to trust."""
    context = ssl.create_default_context(cafile=CA)
    if version:
        context.minimum_version = context.maximum_version = version
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.field = response.getheader
        self.body = response.read()


class Client:
    """A connection that is used again and again, and never opened again by itself."""

    def __init__(self, port, context=None, name="localhost", session=None):
        # Not after whatever the server counts from.
        self.begun = time.monotonic()
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        if context:
            self.socket = context.wrap_socket(self.socket, server_hostname=name, session=session)
        self.http = http.client.HTTPConnection("localhost", port)
        self.http.sock = self.socket
        self.http.auto_open = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, method, path, body=None, **fields):
        self.begun = time.monotonic()
        names = {name.replace("_", "-"): value for name, value in fields.items()}
        self.http.request(method, path, body, names)

    def answer(self):
        return Answer(self.http.getresponse())

    def ask(self, method, path, body=None, **fields):
        self.send(method, path, body, **fields)
        return self.answer()

    def get(self, path, **fields):
        return self.ask("GET", path, **fields)

    def is_closed(self):
        """Whether the server has nothing more to say, which is waited for."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


def get(port, path, context=None, **fields):
    """The answer on a connection of its own."""
    with Client(port, context) as client:
        return client.get(path, Connection="close", **fields)


def curl(url, *options, body=None, codes=(0,)):
    """What curl prints; it reads the body where it is told to, and ends with one of the codes."""
    command = ["curl", "-sS", "--max-time", str(PATIENCE), "--cacert", CA, *options, url]
    done = subprocess.run(command, input=body, capture_output=True, timeout=PATIENCE + 10, check=False)
    check(done.returncode in codes, f"curl {url} ended with {done.returncode}: {done.stderr.decode()}")
    return done.stdout


def noise(size):
    """Bytes that do not compress, the same ones every time."""
    return random.Random(size).randbytes(size)


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Site:
    """What all launchers serve."""

    # A file that 32 bits do not count, and what is read beyond their end.
    HUGE = 5 << 30
    BEYOND = (1 << 32) - 10, b"on both sides of 4 GiB"

    HEAD = "printf 'Content-Type: text/plain\\n\\n'; "
    SCRIPTS = {
        "echo": HEAD + "printf '%s %s %s ' \"$REQUEST_METHOD\" \"$PATH_INFO\" \"$CONTENT_LENGTH\"; cat",
        "environment": HEAD + "env",
        # Answers when it has all of it.
        "sum": "sum=$(sha256sum); " + HEAD + "echo \"$CONTENT_LENGTH ${sum%% *}\"",
        "silent": "exec sleep 30",
        # Goes on when there is a file that says so, or after two minutes.
        "wait": HEAD + "echo begun; cd \"$DOCUMENT_ROOT\"; n=0\n"
                "until [ -e go ] || [ $n = 2400 ]; do sleep 0.05; n=$((n + 1)); done; cat; echo done",
    }

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.home = self.folder / "www"
        lines = (f"{i}: of {i * 7919 % 100003} sheep, {i * i % 977} jumped\n" for i in range(9000))
        self.text = "".join(lines).encode()
        self.noise = noise(16 * MIB)
        self.write("index.html", b"<h1>index</h1>\n")
        self.write("numbers.txt", (ROOT / "examples" / "www" / "numbers.txt").read_bytes())
        self.write("sheep.txt", self.text)
        self.write("noise.bin", self.noise)
        self.write("twin.js", b"as it is\n" * 100)
        self.write("twin.js.gz", gzip.compress(b"as it is\n" * 100))
        self.write("packed.txt.gz", gzip.compress(self.text))
        self.write("list/a file", b"content\n")
        self.write("list/\u00fc & <b>.txt", b"odd\n")
        with open(self.home / "huge.bin", "wb") as file:
            file.truncate(self.HUGE)
            file.seek(self.BEYOND[0])
            file.write(self.BEYOND[1])
        for name, commands in self.SCRIPTS.items():
            self.write(f"cgi-bin/{name}", f"#!/bin/sh\n{commands}\n".encode()).chmod(0o755)

    def write(self, name, content):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    @contextlib.contextmanager
    def going(self):
        """Lets the scripts that wait go on."""
        file = self.write("go", b"")
        try:
            yield
        finally:
            file.unlink()

    def new_folder(self):
        return pathlib.Path(tempfile.mkdtemp(dir=self.folder))

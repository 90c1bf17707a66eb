"""A router: a root of its own in which scripts run, and clients that talk to what serves there."""

import http.client
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import time
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
FILES = REPOSITORY / "openwrt/ecohttpd/files"
WORK = pathlib.Path(os.environ["WORK"])
ROOT = WORK / "root"
TEMPLATE = WORK / "template"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

INSTALLED = {
    "ecohttpd.init": ("etc/init.d/ecohttpd", 0o755),
    "ecohttpd.options": ("usr/lib/ecohttpd/options.sh", 0o644),
    "ecohttpd.config": ("etc/config/ecohttpd", 0o600),
    "ecohttpd.migrate": ("usr/sbin/ecohttpd-migrate", 0o755),
    "ecohttpd.cert": ("usr/libexec/ecohttpd-cert", 0o755),
    "ecohttpd.ntp": ("etc/hotplug.d/ntp/50-ecohttpd", 0o644),
    "ecohttpd.defaults": ("etc/uci-defaults/50-ecohttpd", 0o644),
    "ecohttpd.capabilities": ("etc/capabilities/ecohttpd.json", 0o644),
}


def program(root, source, target):
    """Puts a program into a root, with the libraries that it is linked to."""
    target = root / target
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    said = subprocess.run(["ldd", source], capture_output=True, text=True).stdout
    for word in said.split():
        if word.startswith("/") and not (root / word[1:]).exists():
            (root / word[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(word, root / word[1:])


def make_template():
    """The root that every test begins with a copy of."""
    shutil.rmtree(TEMPLATE, ignore_errors=True)
    make_root = REPOSITORY / "tests/qemu/router/make-root"
    subprocess.run([make_root, TEMPLATE, WORK / "busybox"], check=True)
    for name, (target, mode) in INSTALLED.items():
        target = TEMPLATE / target
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(FILES / name, target)
        target.chmod(mode)
    program(TEMPLATE, WORK / "ecohttpd", "usr/sbin/ecohttpd")
    for name, minor in ("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9):
        os.mknod(TEMPLATE / "dev" / name, 0o20666, os.makedev(1, minor))
        (TEMPLATE / "dev" / name).chmod(0o666)
    (TEMPLATE / "www/index.html").write_text("<h1>hello</h1>\n")
    (TEMPLATE / "www/big").write_bytes(b"0123456789abcdef" * 262144)
    script = TEMPLATE / "www/cgi-bin/hello"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\nfrom a script\\n'\n")
    script.chmod(0o755)
    subprocess.run(["chmod", "-R", "a+rX", TEMPLATE / "www"], check=True)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.fields = response.headers
        self.body = response.read()


class Router(unittest.TestCase):
    """A test with a router of its own."""

    program = "ecohttpd"

    def setUp(self):
        shutil.rmtree(ROOT, ignore_errors=True)
        subprocess.run(["cp", "-a", TEMPLATE, ROOT], check=True)
        if self.program != "ecohttpd":
            program(ROOT, WORK / self.program, "usr/sbin/ecohttpd")
        subprocess.run(["mount", "-t", "proc", "proc", ROOT / "proc"], check=True)
        self.syslogd = subprocess.Popen(
            ["chroot", ROOT, "/bin/busybox", "syslogd", "-n", "-O", "/tmp/messages"],
            env={"PATH": PATH},
        )
        self.wait(lambda: (ROOT / "dev/log").exists(), "syslogd")

    def tearDown(self):
        self.kill()
        self.syslogd.wait()
        subprocess.run(["umount", ROOT / "proc"], check=True)

    def kill(self, but=0):
        """Ends whatever runs in the root, and what that starts meanwhile."""
        for turn in range(50):
            pids = [pid for pid in self.processes() if pid != but]
            if not pids:
                return
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)

    def processes(self):
        """Whatever runs in the root: in this namespace that is only what the test has started."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    if os.readlink(entry / "root") == str(ROOT):
                        found.append(int(entry.name))
                except OSError:
                    pass
        return found

    # On the router.

    def run_there(self, command, **env):
        return subprocess.run(
            ["chroot", ROOT, "/bin/sh", "-c", command],
            env={"PATH": PATH, "HOME": "/root"} | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def sh(self, command, expect=0, **env):
        """Runs a command on the router; what it printed, to either side."""
        done = self.run_there(command, **env)
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, expect, f"{command}:\n{said}\n{self.log()}")
        return said

    def service(self, command, expect=0):
        return self.sh(f"/etc/init.d/ecohttpd {command}", expect)

    def write(self, path, text, mode=None):
        path = ROOT / path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if mode:
            path.chmod(mode)

    def read(self, path):
        return (ROOT / path.lstrip("/")).read_text()

    def there(self, path):
        return os.path.lexists(ROOT / path.lstrip("/"))

    def configure(self, text):
        self.write("/etc/config/ecohttpd", text, 0o600)

    def main(self, *lines):
        """A configuration of one section, and HTTP at port 80 unless the lines say where."""
        if not any("listen_" in line for line in lines):
            lines = ("list listen_http '0.0.0.0:80'", *lines)
        self.configure("config ecohttpd main\n" + "".join(f"\t{line}\n" for line in lines))

    def options(self, section="main"):
        return self.read(f"/var/etc/ecohttpd/{section}.options").splitlines()

    def log(self):
        return self.read("/tmp/messages") if self.there("/tmp/messages") else ""

    def logged(self, message, last=False):
        """Waits for it to be in the log, where syslogd puts it after it was said; in the last line, if it is to."""
        lines = (lambda: self.log().splitlines()[-1:]) if last else (lambda: [self.log()])
        self.wait(lambda: any(message in line for line in lines()), f"{message!r} in the log")

    def pid(self, section="main", service="ecohttpd"):
        try:
            return int(self.read(f"/var/run/procd/{service}/{section}.run/pid"))
        except (FileNotFoundError, ValueError):
            return 0

    def parameter(self, name, section="main"):
        """What procd was told: the words of a parameter, or None."""
        path = ROOT / f"var/run/procd/ecohttpd/{section}/{name}"
        if not path.exists():
            return None
        said = subprocess.run(
            ["sh", "-c", 'eval "set -- $(tr "\\n" " " < "$0")"; printf "%s\\n" "$@"', path],
            capture_output=True,
            text=True,
            check=True,
        )
        return said.stdout.splitlines()

    def wait(self, condition, what, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            got = condition()
            if got:
                return got
            time.sleep(0.05)
        self.fail(f"waited for {what} in vain:\n{self.log()}")

    def start(self):
        self.service("start")
        self.serves()

    def serves(self, port=80, host="127.0.0.1"):
        self.wait(lambda: connects(port, host), f"port {port}")

    def said(self, text):
        """Waits for a text in the log."""
        self.wait(lambda: text in self.log(), repr(text))

    # As a client.

    def get(self, path="/", port=80, host="127.0.0.1", tls=None, **fields):
        if tls:
            con = http.client.HTTPSConnection(host, port, timeout=10, context=tls)
        else:
            con = http.client.HTTPConnection(host, port, timeout=10)
        try:
            con.request("GET", path, headers=fields)
            return Answer(con.getresponse())
        finally:
            con.close()


def connects(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), timeout=1).close()
        return True
    except OSError:
        return False


def any_certificate():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

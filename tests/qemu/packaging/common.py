"""What the tests of packages share: the tools of openwrt/, the programs to be packed, and feeds of them."""

import atexit
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "clients"))
import servers  # noqa: E402  the launcher as a process, as the tests of clients have it

USIGN = ROOT / "openwrt" / "usign"
PACKAGE = ROOT / "openwrt" / "package"
FEED = ROOT / "openwrt" / "ecohttpd"
BIN = ROOT / "target" / "cross" / "bin"
VERSION = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.M)[1] + "-r1"
PACKAGES = ["ecohttpd", "ecohttpd-mini"]
# What outlives an upgrade of the firmware and is no file of a package
KEPT = ["/etc/ecohttpd/", "/etc/uhttpd.crt", "/etc/uhttpd.key"]
EPOCH = 1_700_000_000

# The environment of the tools is to make no difference, unless a test says so.
ENV = {name: value for name, value in os.environ.items() if name not in ("SOURCE_DATE_EPOCH", "APK")}


def table():
    """The Rust targets and their architectures, as cross/targets has them."""
    rows = [line.split() for line in (ROOT / "cross" / "targets").read_text().splitlines()]
    return {row[0]: row[1].split(",") for row in rows if row and not row[0].startswith("#")}


def look_around():
    """Ends the run where there is nothing to test, or nothing to test it by."""
    if not built():
        sys.exit(f"{BIN}: no programs; cross/build makes them")
    for profile in ("release", "debug"):
        if (ROOT / "target" / profile / "ecohttpd").exists():
            servers._bin_dir = ROOT / "target" / profile
            return
    sys.exit("target: no launcher; cargo build makes it")


def built():
    """The targets with programs, and of each the first of its architectures."""
    return {target: arches[0] for target, arches in table().items() if (BIN / target).is_dir()}


def run(*command, **more):
    """What a command ended with and said."""
    more = {"env": ENV, "capture_output": True, "text": True, "timeout": 120, "check": False} | more
    return subprocess.run([str(part) for part in command], **more)


def pack(out, *arguments, env=None, cwd=None):
    """Packs into a folder, at a time of our own."""
    env = ENV | {"SOURCE_DATE_EPOCH": str(EPOCH)} | (env or {})
    return run(PACKAGE, "--out", out, *arguments, env=env, cwd=cwd)


def contents(folder):
    """All files below a folder, by their names."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def tool(name, variable):
    """A program that is not in Debian, where it is on the machine."""
    return os.environ.get(variable) or shutil.which(name)


class TestCase(unittest.TestCase):
    """Tests with a folder of their own."""

    @classmethod
    def setUpClass(cls):
        cls.dir = pathlib.Path(tempfile.mkdtemp(prefix="ecohttpd-packages-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir)

    def new_dir(self):
        return pathlib.Path(tempfile.mkdtemp(dir=self.dir))

    def passes(self, done):
        self.assertEqual(done.returncode, 0, f"{done.args}: {done.stdout}{done.stderr}")
        return done.stdout

    def fails(self, done, code, *words):
        """It ends with this code and a line with these words, and without a traceback."""
        said = f"{done.stdout}{done.stderr}"
        self.assertEqual(done.returncode, code, f"{done.args}: {said}")
        self.assertNotIn("Traceback", said)
        for word in words:
            self.assertIn(word, done.stderr)


class Feeds(TestCase):
    """Tests of feeds of everything that has been built, packed once, signed by keys made for the tests.

    `out` is for reading only.
    """

    shared = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if Feeds.shared is None:
            Feeds.shared = Feeds.make()
        for name, value in Feeds.shared.items():
            setattr(cls, name, value)

    @staticmethod
    def make():
        where = pathlib.Path(tempfile.mkdtemp(prefix="ecohttpd-packages-"))
        atexit.register(shutil.rmtree, where)
        key, public, apk_key, out = (where / name for name in ("key.sec", "key.pub", "key.pem", "feed"))
        arches, apk = built(), tool("apk", "APK")
        options = ["--key", key, "--apk-key", apk_key, "--arch", *arches.values()]
        for command in (
            [USIGN, "-G", "-s", key, "-p", public],
            ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", apk_key],
        ):
            made = run(*command)
            assert made.returncode == 0, made.stderr
        packed = pack(out, *options, env={"APK": apk} if apk else {})
        assert packed.returncode == 0, packed.stdout + packed.stderr
        return {"key": key, "public": public, "apk_key": apk_key, "out": out, "arches": arches,
                "arch": next(iter(arches.values())), "options": options, "packed": packed}

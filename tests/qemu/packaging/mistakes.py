"""What openwrt/package says where something is wrong; and that what was there before stays."""

import os
import shutil
import struct
import unittest

from common import BIN, ENV, EPOCH, PACKAGES, ROOT, USIGN, TestCase, built, contents, pack, run, table

PATH = "/usr/bin:/bin"

# An apk-tools 3 as far as it can be taken for one: what it is told to make is empty.
APK = """#!/bin/sh
[ "$1" != --version ] || echo "apk-tools 3.0.0"
while [ $# -gt 0 ]; do [ "$1" != --output ] || echo >"$2"; shift; done
"""

# A cp and a mv for which there is no room in the folder FULL, unless it is only renamed there.
NO_ROOM = """#!/bin/sh
for last; do :; done
case "$*" in *"$FULL"*"$FULL"*) ;; *"$FULL"*)
  mkdir -p "$last" && echo half >"$last/part"
  echo "$0: error writing '$last': No space left on device" >&2
  exit 1
esac
exec /bin/%s "$@"
"""


def script(path, text):
    path.write_text(text)
    path.chmod(0o755)


def dynamic(elf):
    """The same program with the name of a dynamic loader, in the place of the header for the stack."""
    name = b"/lib/ld.so\0"
    order, wide = "<>"[elf[5] - 1], elf[4] == 2
    start, = struct.unpack_from(order + "IQ"[wide], elf, 32 if wide else 28)
    size, number = struct.unpack_from(order + "HH", elf, 54 if wide else 42)
    changed = bytearray(elf + name)
    for place in range(start, start + size * number, size):
        if struct.unpack_from(order + "I", elf, place)[0] == 0x6474E551:
            struct.pack_into(order + "I", changed, place, 3)
            struct.pack_into(order + "IQ"[wide], changed, place + (8 if wide else 4), len(elf))
            struct.pack_into(order + "IQ"[wide], changed, place + (32 if wide else 16), len(name))
    return bytes(changed)


class Mistakes(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.target, cls.arch = next(iter(built().items()))

    def bin(self):
        """A folder of programs of our own, to be spoiled."""
        folder = self.new_dir() / "bin"
        (folder / self.target).mkdir(parents=True)
        for name in PACKAGES:
            shutil.copy(BIN / self.target / name, folder / self.target / name)
        return folder

    def refused(self, code, *words, arguments=(), bin=None, out=None, **more):
        out = out or self.new_dir() / "feed"
        before = contents(out) if out.exists() else None
        if bin:
            arguments = ["--bin", bin, *arguments]
        self.fails(pack(out, *arguments, **more), code, "openwrt/package: ", *words)
        self.same(contents(out) if out.exists() else None, before)

    def same(self, files, others):
        """As assertEqual, which takes minutes to say how megabytes differ."""
        names = [name for name in {*(files or {}), *(others or {})}
                 if (files or {}).get(name) != (others or {}).get(name)]
        self.assertEqual((sorted(names), files is None), ([], others is None))

    def test_usage(self):
        for arguments, words in (
            (["--arch"], "--arch"), (["--arch", "--key", "x"], "--arch"), (["--key"], "--key"),
            (["--arch", ""], "--arch: an architecture is missing"),
            (["--arch", self.arch, ""], "--arch: an architecture is missing"),
            (["--bin", ""], "--bin"), (["--frob"], "--frob: unknown"), (["x86_64"], "x86_64: unknown"),
            (["--arch", "pdp11_70"], "pdp11_70: unknown"), (["--arch", self.arch, "vax"], "vax: unknown"),
        ):
            with self.subTest(arguments=arguments):
                self.refused(2, words, arguments=arguments)
        self.assertIn("--arch", self.passes(run(ROOT / "openwrt" / "package", "--help")))

    def test_no_programs(self):
        nowhere = self.new_dir() / "nowhere"
        self.refused(1, str(nowhere), bin=nowhere)
        empty = self.new_dir()
        self.refused(1, str(empty), "no program for any", bin=empty)
        words = f"{empty}/{self.target}/ecohttpd: missing"
        self.refused(1, words, bin=empty, arguments=["--arch", self.arch])

    def test_program(self):
        elf = (BIN / self.target / "ecohttpd").read_bytes()
        for name in PACKAGES:
            for data, words in (
                (None, "missing"), (b"", "empty"), (b"#!/bin/sh\n", "not a program"),
                (elf[:16], "not a program"),
                (elf[:4] + bytes([3 - elf[4]]) + elf[5:], "a program for another machine"),
                (elf[:5] + bytes([3 - elf[5]]) + elf[6:], "a program for another machine"),
                (elf[:18] + b"\x2b\x00" + elf[20:], "a program for another machine"),
            ):
                with self.subTest(program=name, words=words):
                    folder = self.bin()
                    path = folder / self.target / name
                    path.unlink() if data is None else path.write_bytes(data)
                    self.refused(1, f"{path}: {words}", bin=folder)

    def test_program_as_cross_build_checks_it(self):
        elf = (BIN / self.target / "ecohttpd").read_bytes()
        for data, words in (
            (elf[:20], "damaged"), (elf[:100], "damaged"), (elf[:-1], "damaged"), (dynamic(elf), "not static"),
        ):
            with self.subTest(words=words, size=len(data)):
                folder = self.bin()
                path = folder / self.target / "ecohttpd-mini"
                path.write_bytes(data)
                self.refused(1, f"{path}: {words}", bin=folder)

    @unittest.skipUnless("armv7-unknown-linux-musleabihf" in built(), "there are no programs of hard float")
    def test_program_of_hard_float(self):
        folder = self.new_dir()
        shutil.copytree(BIN / "armv7-unknown-linux-musleabihf", folder / "armv7-unknown-linux-musleabi")
        self.refused(1, "not soft float", bin=folder)

    def test_keys(self):
        where = self.new_dir()
        self.refused(1, "nix: there is no such key", arguments=["--key", where / "nix", "--arch", self.arch])
        bad = where / "bad"
        bad.write_text("untrusted comment: x\nAAAA\n")
        out = where / "feed"
        done = pack(out, "--key", bad, "--arch", self.arch)
        self.fails(done, 1, "bad: not a secret key")
        self.assertFalse(out.exists(), "something has been made before the key was looked at")

    def key(self, name="k"):
        """A secret key of our own and the public one."""
        secret, public = (self.new_dir() / f"{name}.{end}" for end in ("sec", "pub"))
        self.passes(run(USIGN, "-G", "-s", secret, "-p", public))
        return secret, public

    def test_key_written_otherwise(self):
        """What usign signs with, the public key can be had of."""
        secret, public = self.key()
        first, second = secret.read_text().splitlines()
        for text in (f"{first}\r\n{second}\r\n", f"{first}\n{second[:50]} {second[50:]}\n", f"{first}\r{second}"):
            with self.subTest(text=text):
                other, out = self.new_dir() / "other.sec", self.new_dir() / "feed"
                other.write_bytes(text.encode())
                self.passes(pack(out, "--key", other, "--arch", self.arch))
                self.assertEqual((out / "ecohttpd.pub").read_bytes(), public.read_bytes())
                self.passes(run(USIGN, "-V", "-m", out / self.arch / "Packages", "-p", out / "ecohttpd.pub"))

    @unittest.skipIf(len(table()[next(iter(built()), "arm-unknown-linux-musleabi")]) < 2, "one architecture only")
    def test_two_keys(self):
        """One public key is beside the architectures, so all of them are to be signed by it."""
        (one, _), (two, public) = self.key(), self.key()
        where = self.new_dir()
        script(where / "apk", APK)
        for name in "one.pem", "two.pem":
            self.passes(run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", where / name))
        apk, out = {"APK": str(where / "apk")}, where / "feed"
        keys = {name: ["--key", key, "--apk-key", where / f"{name}.pem"] for name, key in (("one", one), ("two", two))}
        first, second = table()[self.target][:2]
        self.passes(pack(out, *keys["one"], "--arch", first, second, env=apk))
        # What others have there is no part of the feed.
        (out / "notes").mkdir()
        before = contents(where)
        words = f"{out}: not signed by {two}: {first} (name"
        self.refused(1, words, out=out, arguments=[*keys["two"], "--arch", second], env=apk)
        words = f"{out}-apk: not signed by {where}/two.pem: {first} (name"
        mixed = [*keys["one"][:2], *keys["two"][2:]]
        self.refused(1, words, out=out, arguments=[*mixed, "--arch", second], env=apk)
        self.same(contents(where), before)
        self.passes(pack(out, *keys["one"], "--arch", second, env=apk))
        self.passes(pack(out, *keys["two"], "--arch", second, first, env=apk))
        self.assertEqual((out / "ecohttpd.pub").read_bytes(), public.read_bytes())
        for arch in first, second:
            self.passes(run(USIGN, "-V", "-m", out / arch / "Packages", "-p", public))
        # Without its signature it is signed by nobody.
        (out / first / "Packages.sig").unlink()
        self.refused(1, f": {first} (name", out=out, arguments=[*keys["two"], "--arch", second], env=apk)

    def test_full_disk(self):
        """The feed that was there stays whole, and its key."""
        secret, _ = self.key()
        out, fakes = self.new_dir() / "feed", self.new_dir()
        self.passes(pack(out, "--key", secret, "--arch", self.arch))
        for name in "cp", "mv":
            script(fakes / name, NO_ROOM % name)
        for full, name in (out, self.arch), (out / ".ecohttpd.pub", "ecohttpd.pub"):
            with self.subTest(full=full):
                self.refused(1, "No space left", f"{out}/{name}: cannot be written", out=out,
                             arguments=["--key", secret, "--arch", self.arch],
                             env={"PATH": f"{fakes}:{os.environ['PATH']}", "FULL": str(full)})

    def test_environment(self):
        """What other programs are told by it makes no difference."""
        secret, _ = self.key()
        plain, decoy = self.new_dir() / "feed", self.new_dir()
        self.passes(pack(plain, "--key", secret, "--arch", self.arch))
        (decoy / "openwrt").mkdir()
        for env in (
            {"TAR_OPTIONS": "--mode=a-x"}, {"GZIP": "-1"}, {"CDPATH": str(decoy)}, {"PACKAGES": "x"},
            {"MAKEFLAGS": "n"}, {"MAKEFLAGS": "w", "MAKELEVEL": "1"}, {"MFLAGS": "-w", "GNUMAKEFLAGS": "-w"},
        ):
            with self.subTest(env=env):
                out = self.new_dir() / "feed"
                # As it is mostly called: by a name for which CDPATH is looked at.
                self.passes(run("openwrt/package", "--out", out, "--key", secret, "--arch", self.arch, cwd=ROOT,
                                env=ENV | {"SOURCE_DATE_EPOCH": str(EPOCH)} | env))
                self.same(contents(out), contents(plain))

    def test_below_make(self):
        where = self.new_dir()
        (where / "Makefile").write_text(f"all:\n\t+{ROOT}/openwrt/package --out {where}/feed --arch {self.arch}\n")
        self.passes(run("make", "-w", "-C", where, env=ENV | {"SOURCE_DATE_EPOCH": str(EPOCH)}))
        self.assertTrue((where / "feed" / self.arch / "Packages.sig").exists())

    def test_from_where_the_user_stands(self):
        where, (secret, public) = self.new_dir(), self.key()
        shutil.copy(secret, where / "k.sec")
        (where / "bin").symlink_to(self.bin())
        script(where / "apk", APK)
        self.passes(run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", where / "k.pem"))
        self.passes(pack("feed", "--bin", "bin", "--key", "k.sec", "--apk-key", "./k.pem", "--arch", self.arch,
                         cwd=where, env={"APK": "./apk"}))
        self.assertEqual((where / "feed" / "ecohttpd.pub").read_bytes(), public.read_bytes())
        self.assertTrue((where / "feed-apk" / self.arch / "packages.adb").exists())

    def test_files_of_others(self):
        """A folder that holds more than a feed is not replaced."""
        out = self.new_dir() / "feed"
        (out / self.arch).mkdir(parents=True)
        (out / self.arch / "thesis.txt").write_text("x")
        self.refused(1, "thesis.txt", out=out, arguments=["--arch", self.arch])

    def test_time(self):
        for time in ("yesterday", "-1", "1.5", "8589934592", "99999999999999999999"):
            env = {"SOURCE_DATE_EPOCH": time}
            self.refused(1, f"SOURCE_DATE_EPOCH: {time}", env=env, arguments=["--arch", self.arch])

    def copy(self):
        """The part of the tree that packing needs, and no more."""
        tree = self.new_dir() / "tree"
        shutil.copytree(ROOT / "openwrt", tree / "openwrt")
        (tree / "cross").mkdir()
        for name in "targets", "check":
            shutil.copy(ROOT / "cross" / name, tree / "cross")
        shutil.copy(ROOT / "Cargo.toml", tree)
        return tree

    def in_copy(self, tree, code, *words, epoch="1700000000", path=PATH):
        done = run(tree / "openwrt" / "package", "--bin", BIN, "--arch", self.arch,
                   env={"PATH": path} | ({"SOURCE_DATE_EPOCH": epoch} if epoch else {}))
        if code == 0:
            self.passes(done)
        else:
            self.fails(done, code, *words)

    def test_tree(self):
        tree = self.copy()
        self.in_copy(tree, 0)
        self.in_copy(tree, 1, "SOURCE_DATE_EPOCH", epoch=None)
        key = (tree / "target" / "feed.sec").read_bytes()
        self.in_copy(tree, 0)
        self.assertEqual((tree / "target" / "feed.sec").read_bytes(), key, "the development key changed")
        self.assertEqual((tree / "target" / "feed.sec").stat().st_mode & 0o777, 0o600)

    def test_reason_of_git(self):
        fakes = self.new_dir()
        script(fakes / "git", "#!/bin/sh\necho fatal: dubious ownership >&2\nexit 128\n")
        self.in_copy(self.copy(), 1, "fatal: dubious ownership", "set SOURCE_DATE_EPOCH",
                     epoch=None, path=f"{fakes}:{PATH}")

    def test_file_of_the_list(self):
        for spoil in (lambda path: path.unlink(), lambda path: path.write_text("")):
            tree = self.copy()
            spoil(tree / "openwrt/ecohttpd/files/ecohttpd.init")
            self.in_copy(tree, 1, "ecohttpd.init: missing or empty")

    def test_table(self):
        tree = self.copy()
        table = tree / "cross" / "targets"
        table.write_text(table.read_text() + f"pdp11-unknown-linux {self.arch} more x\n")
        self.in_copy(tree, 1, f"{self.arch}: in two lines")
        table.unlink()
        self.in_copy(tree, 1, "cross/targets")

    def test_makefile(self):
        tree = self.copy()
        makefile = tree / "openwrt/ecohttpd/Makefile"
        makefile.write_text(makefile.read_text() + "\nnonsense\n")
        self.in_copy(tree, 1, "openwrt/ecohttpd/Makefile", "cannot be read")

    def test_nothing_left_behind(self):
        """Neither of a good run nor of a bad one."""
        tree = self.copy()
        self.in_copy(tree, 0)
        (tree / "openwrt/ecohttpd/files/ecohttpd.init").unlink()
        self.in_copy(tree, 1, "ecohttpd.init")
        left = sorted(path.name for path in (tree / "target").iterdir())
        apk = ["feed-apk", "feed.pem"] if shutil.which("apk", path=PATH) else []
        self.assertEqual(left, sorted(["feed", "feed.pub", "feed.sec", *apk]))

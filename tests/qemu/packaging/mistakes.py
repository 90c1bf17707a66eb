"""What openwrt/package says where something is wrong; and that what was there before stays."""

import shutil

from common import BIN, PACKAGES, ROOT, TestCase, built, contents, pack, run

PATH = "/usr/bin:/bin"


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
        self.assertEqual(contents(out) if out.exists() else None, before)

    def test_usage(self):
        for arguments, words in (
            (["--arch"], "--arch"), (["--arch", "--key", "x"], "--arch"), (["--key"], "--key"),
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

    def test_keys(self):
        where = self.new_dir()
        self.refused(1, "nix: there is no such key", arguments=["--key", where / "nix", "--arch", self.arch])
        bad = where / "bad"
        bad.write_text("untrusted comment: x\nAAAA\n")
        out = where / "feed"
        done = pack(out, "--key", bad, "--arch", self.arch)
        self.fails(done, 1, "bad: not a secret key")
        self.assertFalse((out / self.arch).exists(), "a feed without a signature")

    def test_files_of_others(self):
        """A folder that holds more than a feed is not replaced."""
        out = self.new_dir() / "feed"
        (out / self.arch).mkdir(parents=True)
        (out / self.arch / "thesis.txt").write_text("x")
        self.refused(1, "thesis.txt", out=out, arguments=["--arch", self.arch])

    def test_time(self):
        for time in ("yesterday", "-1", "1.5"):
            env = {"SOURCE_DATE_EPOCH": time}
            self.refused(1, f"SOURCE_DATE_EPOCH: {time}", env=env, arguments=["--arch", self.arch])

    def copy(self):
        """The part of the tree that packing needs, and no more."""
        tree = self.new_dir() / "tree"
        shutil.copytree(ROOT / "openwrt", tree / "openwrt")
        (tree / "cross").mkdir()
        shutil.copy(ROOT / "cross" / "targets", tree / "cross")
        shutil.copy(ROOT / "Cargo.toml", tree)
        return tree

    def in_copy(self, tree, code, *words, epoch="1700000000"):
        done = run(tree / "openwrt" / "package", "--bin", BIN, "--arch", self.arch,
                   env={"PATH": PATH} | ({"SOURCE_DATE_EPOCH": epoch} if epoch else {}))
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

"""The feed for apk, where apk-tools 3 is on the machine, and what is said where it is not."""

import os
import pathlib
import unittest

from common import EPOCH, KEPT, PACKAGES, VERSION, Feeds, TestCase, built, contents, pack, run, servers, tool

APK = tool("apk", "APK")


class Without(TestCase):
    def pack(self, path, **env):
        arch = next(iter(built().values()))
        out = self.new_dir() / "feed"
        done = pack(out, "--arch", arch, env={"PATH": path} | env)
        return done, pathlib.Path(f"{out}-apk")

    def fake(self, version):
        folder = self.new_dir()
        (folder / "apk").write_text(f"#!/bin/sh\necho {version}\n")
        (folder / "apk").chmod(0o755)
        return f"{folder}:{os.environ['PATH']}"

    @unittest.skipIf(APK and not os.environ.get("APK"), "apk is on this machine")
    def test_skipped(self):
        done, out = self.pack(os.environ["PATH"])
        self.assertIn("no .apk: apk-tools 3 is not on this machine", self.passes(done))
        self.assertFalse(out.exists())

    def test_another_apk(self):
        done, out = self.pack(self.fake("apk-tools 2.14.4, compiled for x86_64."))
        self.assertIn("is not apk-tools 3", self.passes(done))
        self.assertFalse(out.exists())

    def test_named_and_missing(self):
        done, _ = self.pack(os.environ["PATH"], APK="/nonexistent/apk")
        self.fails(done, 1, "/nonexistent/apk: there is no such program")


@unittest.skipUnless(APK, "apk-tools 3 is not on this machine")
class Apk(Feeds):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.feed = pathlib.Path(f"{cls.out}-apk")

    def test_files(self):
        self.assertEqual(sorted(os.listdir(self.feed)), sorted([*self.arches.values(), "ecohttpd.pem"]))
        for arch in self.arches.values():
            names = [*(f"{name}-{VERSION}.apk" for name in PACKAGES), "packages.adb"]
            self.assertEqual(sorted(os.listdir(self.feed / arch)), sorted(names))

    def test_what_is_in_it(self):
        for name in PACKAGES:
            path = self.feed / self.arch / f"{name}-{VERSION}.apk"
            said = self.passes(run(APK, "--allow-untrusted", "adbdump", path))
            for line in (f"  name: {name}\n", f"  version: {VERSION}\n", f"  arch: {self.arch}\n",
                         "  license: MIT\n", "  post-install: |", "  post-upgrade: |", "  pre-deinstall: |",
                         f"export pkgname={name}\n", "add_group_and_user", "default_postinst",
                         f"    - {name}-any\n", "    - openwrt:section=net\n", "default_prerm", "PKG_UPGRADE=1", "ecohttpd-migrate undo"):
                self.assertIn(line, said)
            self.assertEqual(f"- ecohttpd={VERSION}" in said, name == "ecohttpd-mini")
            self.assertNotIn("- uhttpd", said)

    def test_the_same_bytes(self):
        out = self.new_dir() / "feed"
        self.passes(pack(out, *self.options, env={"APK": APK, "TZ": "Asia/Tokyo"}))
        for file, data in contents(self.feed).items():
            # Signatures of this kind have a random part.
            if not file.endswith("packages.adb"):
                self.assertEqual((pathlib.Path(f"{out}-apk") / file).read_bytes(), data, file)

    def test_installed(self):
        server = servers.launch("-h", self.feed)
        self.addCleanup(server.stop)
        root = self.new_dir()
        (root / "etc/apk/keys").mkdir(parents=True)

        def apk(*arguments):
            repository = f"{server.url}/{self.arch}/packages.adb"
            return run(APK, "--root", root, "--arch", self.arch, "--repositories-file", "/dev/null",
                       "--repository", repository, *arguments)

        self.assertNotEqual(apk("add", "--no-scripts", "--initdb", "ecohttpd").returncode, 0, "without a key")
        (root / "etc/apk/keys/ecohttpd.pem").write_bytes((self.feed / "ecohttpd.pem").read_bytes())
        self.passes(apk("add", "--no-scripts", "--initdb", "ecohttpd"))
        listed = (root / "lib/apk/packages/ecohttpd.list").read_text().splitlines()
        for name in listed:
            self.assertTrue((root / name[1:]).is_file(), name)
            self.assertEqual(int((root / name[1:]).stat().st_mtime), EPOCH)
        self.assertIn("/etc/init.d/ecohttpd", listed)
        self.assertEqual((root / "etc/config/ecohttpd").stat().st_mode & 0o777, 0o600)
        kept = (root / "lib/apk/packages/ecohttpd.conffiles").read_text().splitlines()
        self.assertEqual(kept, ["/etc/config/ecohttpd", *KEPT])
        # The other one takes its place.
        self.passes(apk("add", "--no-scripts", "ecohttpd-mini"))
        installed = self.passes(apk("list", "--installed"))
        self.assertIn(f"ecohttpd-mini-{VERSION}", installed)
        self.assertNotIn(f"ecohttpd-{VERSION}", installed)
        self.passes(apk("del", "--no-scripts", "ecohttpd-mini", "ecohttpd"))
        self.assertFalse((root / "usr/sbin/ecohttpd").exists())

"""The .ipk packages, taken apart: members, fields, modes, owners and times, and what their scripts do."""

import functools
import gzip
import io
import os
import re
import tarfile

from common import BIN, ENV, EPOCH, FEED, KEPT, PACKAGES, ROOT, VERSION, Feeds, contents, pack, run

TITLES = {"ecohttpd": "HTTP/1.1 and HTTPS server", "ecohttpd-mini": "without TLS"}


def listed():
    """What files.list says: destination to source and mode."""
    rows = [line.split() for line in (FEED / "files.list").read_text().splitlines()]
    return {row[1]: (row[0], int(row[2], 8)) for row in rows if row and row[0] != "#"}


class Tar:
    """A gzip'ed tar; what is the same in all of them is checked while it is read."""

    def __init__(self, test, data):
        # No name, no time, by the default level: what gzip -n writes.
        test.assertEqual(data[:10], b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03")
        self.plain = gzip.decompress(data)
        test.assertEqual(self.plain[257:265], b"ustar  \0", "not of GNU's format")
        test.assertEqual(len(self.plain) % 10240, 0, "not in whole records")
        with tarfile.open(fileobj=io.BytesIO(self.plain)) as tar:
            self.members = tar.getmembers()
            self.files = {m.name: tar.extractfile(m).read() for m in self.members if m.isfile()}
        for member in self.members:
            owner = (member.uid, member.gid, member.uname, member.gname, member.mtime)
            test.assertEqual(owner, (0, 0, "", "", EPOCH), member.name)
            test.assertTrue(member.isfile() or member.isdir(), member.name)
        self.names = [m.name + "/" * m.isdir() for m in self.members]
        self.modes = {m.name: m.mode for m in self.members}


class Package:
    def __init__(self, test, path):
        outer = Tar(test, path.read_bytes())
        test.assertEqual(outer.names, ["./debian-binary", "./data.tar.gz", "./control.tar.gz"])
        test.assertEqual(set(outer.modes.values()), {0o644})
        test.assertEqual(outer.files["./debian-binary"], b"2.0\n")
        self.data = Tar(test, outer.files["./data.tar.gz"])
        self.control = Tar(test, outer.files["./control.tar.gz"])


def each(test):
    """A test of all packages: of which target, for which architecture, by which name."""

    @functools.wraps(test)
    def run_each(self):
        for target, arch in self.arches.items():
            for name in PACKAGES:
                with self.subTest(arch=arch, package=name):
                    path = self.out / arch / f"{name}_{VERSION}_{arch}.ipk"
                    test(self, target, arch, name, Package(self, path))

    return run_each


class Ipk(Feeds):
    @each
    def test_control_members(self, target, arch, name, package):
        names = ["./", "./conffiles", "./control", "./postinst", "./prerm", "./prerm-pkg"]
        self.assertEqual(package.control.names, names)
        modes = {".": 0o755, "./conffiles": 0o644, "./control": 0o644}
        modes |= {f"./{name}": 0o755 for name in ("postinst", "prerm", "prerm-pkg")}
        self.assertEqual(package.control.modes, modes)

    @each
    def test_control_fields(self, target, arch, name, package):
        text = package.control.files["./control"].decode()
        fields, description = text.split("\nDescription:", 1)
        mini = name == "ecohttpd-mini"
        self.assertEqual(fields.splitlines(), [
            f"Package: {name}",
            f"Version: {VERSION}",
            *["Conflicts: ecohttpd", "Provides: ecohttpd"] * mini,
            "Source: feeds/ecohttpd/openwrt/ecohttpd",
            "SourceName: ecohttpd",
            "License: MIT",
            "LicenseFiles: LICENSE",
            "Section: net",
            f"SourceDateEpoch: {EPOCH}",
            *re.findall("^URL: .+$", fields, re.M),
            "Maintainer: The ecohttpd authors",
            f"Architecture: {arch}",
            f"Installed-Size: {len(package.data.plain)}",
        ])
        # OpenWrt's descriptions begin with two spaces; every line but the first with one.
        self.assertTrue(description.startswith("  A small") and description.endswith(".\n"))
        for line in description.splitlines():
            self.assertRegex(line, r"^ +\S")
        self.assertIn(TITLES[name], " ".join(description.split()))

    @each
    def test_plain_lines(self, target, arch, name, package):
        """Nothing in the fields that a parser of lines could trip over."""
        text = package.control.files["./control"].decode("ascii")
        self.assertNotRegex(text, r"\t|\r|[ ]+\n|\n\n")

    @each
    def test_conffiles(self, target, arch, name, package):
        self.assertEqual(package.control.files["./conffiles"], b"/etc/config/ecohttpd\n")

    @each
    def test_files(self, target, arch, name, package):
        expected = {f".{destination}": mode for destination, (_, mode) in listed().items()}
        keep = f"./lib/upgrade/keep.d/{name}"
        expected[keep] = 0o644
        self.assertEqual({n: m for n, m in package.data.modes.items() if n in package.data.files}, expected)
        for destination, (source, _) in listed().items():
            path = BIN / target / name if source == "program" else FEED / "files" / source
            self.assertEqual(package.data.files[f".{destination}"], path.read_bytes(), destination)
        self.assertEqual(package.data.files[keep].decode().splitlines(), KEPT)

    @each
    def test_folders(self, target, arch, name, package):
        """Each folder once, before what is in it, in the order of bytes, 0755."""
        names = package.data.names
        self.assertEqual(names[0], "./")
        self.assertEqual([n.rstrip("/") for n in names], sorted(m.name for m in package.data.members))
        folders = {n[:-1] for n in names if n.endswith("/")}
        self.assertEqual({os.path.dirname(n.rstrip("/")) for n in names[1:]}, folders)
        self.assertEqual({package.data.modes[f] for f in folders}, {0o755})

    @each
    def test_modes_on_a_router(self, target, arch, name, package):
        """What has to be executable is, and the configuration, which may hold passwords, is private."""
        modes = package.data.modes
        for name in ("usr/sbin/ecohttpd", "usr/sbin/ecohttpd-migrate", "etc/init.d/ecohttpd"):
            self.assertEqual(modes[f"./{name}"], 0o755)
        self.assertEqual(modes["./etc/config/ecohttpd"], 0o600)

    def test_the_same_bytes(self):
        """Whatever the time, the zone, the language, the umask and the folder are."""
        target, arch = next(iter(self.arches.items()))
        again = self.new_dir() / "feed"
        copy = self.new_dir() / "bin"
        (copy / target).mkdir(parents=True)
        for name in PACKAGES:
            (copy / target / name).write_bytes((BIN / target / name).read_bytes())
            os.utime(copy / target / name, (1, 1))
            (copy / target / name).chmod(0o700)
        command = ["bash", "-c", 'umask 077; exec "$@"', "bash", ROOT / "openwrt" / "package", "--out", again,
                   "--bin", copy, "--key", self.key, "--apk-key", self.apk_key, "--arch", arch]
        different = {"SOURCE_DATE_EPOCH": str(EPOCH), "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8", "GZIP": ""}
        self.passes(run(*command, cwd="/", env=ENV | different))
        self.assertEqual(contents(again / arch), contents(self.out / arch))

    def test_time_of_the_commit(self):
        out = self.new_dir() / "feed"
        commit = run("git", "-C", ROOT, "log", "-1", "--format=%ct")
        self.passes(commit)
        command = [ROOT / "openwrt" / "package", "--out", out, "--key", self.key, "--arch", self.arch]
        self.passes(run(*command))
        manifest = (out / self.arch / "Packages.manifest").read_text()
        self.assertIn(f"SourceDateEpoch: {commit.stdout}", manifest)


class Scripts(Feeds):
    """postinst and prerm, run by busybox in a root whose functions.sh says what it was called with."""

    def install(self, name, functions='said "$@"', status=0):
        root = self.new_dir()
        info = root / "usr/lib/opkg/info"
        info.mkdir(parents=True)
        package = Package(self, self.out / self.arch / f"{name}_{VERSION}_{self.arch}.ipk")
        for member, data in package.control.files.items():
            path = info / f"{name}.{member[2:]}"
            path.write_bytes(data)
            path.chmod(package.control.modes[member])
        (root / "lib").mkdir()
        (root / "lib/functions.sh").write_text(
            'said() { for word in "$@"; do echo "$word"; done >>"$IPKG_INSTROOT/said"; }\n'
            f'default_postinst() {{ said postinst "$@"; return {status}; }}\n'
            f'default_prerm() {{ said prerm "$@"; return {status}; }}\n')
        return root, info

    def call(self, root, script, *arguments, **env):
        env = {"PATH": ENV["PATH"], "IPKG_INSTROOT": str(root)} | env
        done = run("busybox", "sh", script, *arguments, env=env)
        said = root / "said"
        return done, said.read_text().splitlines() if said.exists() else []

    def test_each_calls_its_function(self):
        for name in PACKAGES:
            calls = ("postinst", "configure"), ("prerm", "remove"), ("prerm", "upgrade", "1 2")
            for what, *arguments in calls:
                with self.subTest(package=name, script=what, arguments=arguments):
                    root, info = self.install(name)
                    script = info / f"{name}.{what}"
                    done, said = self.call(root, script, *arguments)
                    self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
                    self.assertEqual(said, [what, str(script), *arguments])

    def test_its_status(self):
        root, info = self.install("ecohttpd", status=3)
        for what in ("postinst", "prerm"):
            self.assertEqual(self.call(root, info / f"ecohttpd.{what}")[0].returncode, 3)

    def test_no_script(self):
        root, info = self.install("ecohttpd")
        done, said = self.call(root, info / "ecohttpd.postinst", IPKG_NO_SCRIPT="1")
        self.assertEqual((done.returncode, said), (0, []))
        done, said = self.call(root, info / "ecohttpd.prerm", IPKG_NO_SCRIPT="1")
        self.assertEqual(said[0], "prerm")

    def test_root_that_is_none(self):
        for damage in (lambda path: path.unlink(), lambda path: path.write_text("")):
            root, info = self.install("ecohttpd")
            damage(root / "lib/functions.sh")
            for what in ("postinst", "prerm"):
                done, said = self.call(root, info / f"ecohttpd.{what}")
                self.assertEqual((done.returncode, done.stderr, said), (0, "", []))

    def test_what_was_replaced_comes_back(self):
        """prerm-pkg undoes the migration: once, and not for an upgrade nor in an image."""
        root, info = self.install("ecohttpd")
        script = (info / "ecohttpd.prerm-pkg").read_text()
        state, migrate, init = root / "state", root / "migrate", root / "init"
        for path, to in (("/etc/ecohttpd/undo/state", state), ("/usr/sbin/ecohttpd-migrate", migrate),
                         ("/etc/init.d/ecohttpd", init)):
            self.assertIn(path, script)
            script = script.replace(path, str(to))
        for path in (migrate, init):
            path.write_text(f'#!/bin/sh\necho {path.name} "$@" >>{root}/said\n')
            path.chmod(0o755)
        for there, env, expected in (
            (False, {}, []),
            (True, {"PKG_UPGRADE": "1"}, []),
            (True, {"IPKG_INSTROOT": str(root)}, []),
            (True, {"PKG_UPGRADE": "0"}, ["migrate undo", "init stop"]),
            (True, {}, ["migrate undo", "init stop"]),
        ):
            with self.subTest(there=there, env=env):
                (root / "said").unlink(missing_ok=True)
                state.touch() if there else state.unlink(missing_ok=True)
                done = run("busybox", "sh", input=script, env={"PATH": ENV["PATH"]} | env)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                said = root / "said"
                self.assertEqual(said.read_text().splitlines() if said.exists() else [], expected)
        migrate.write_text("#!/bin/sh\nexit 1\n")
        done = run("busybox", "sh", input=script, env={"PATH": ENV["PATH"]})
        self.assertEqual(done.returncode, 1, "a failed undo lets the package be removed")

    def test_lint(self):
        for name in PACKAGES:
            _, info = self.install(name)
            for what in ("postinst", "prerm", "prerm-pkg"):
                # What is sourced is on the router.
                self.passes(run("shellcheck", "-s", "dash", "-e", "SC1091", info / f"{name}.{what}"))

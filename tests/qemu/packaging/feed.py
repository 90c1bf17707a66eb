"""The feed for opkg: its index, its signature, and both as the real launcher serves them to real clients."""

import gzip
import hashlib
import os
import unittest

from common import ENV, PACKAGES, ROOT, USIGN, VERSION, Feeds, TestCase, contents, run, servers, tool

# Fields of the manifest that are not in Packages: routers do without.
LEFT_OUT = ["Source", "SourceName", "LicenseFiles", "SourceDateEpoch", "Maintainer"]


def stanzas(text):
    """The packages of an index, as lists of their lines."""
    return [stanza.splitlines() for stanza in text.strip("\n").split("\n\n")]


def fields(stanza):
    return dict(line.split(": ", 1) for line in stanza if not line.startswith(" "))


class Index(Feeds):
    def test_files(self):
        self.assertEqual(sorted(os.listdir(self.out)), sorted([*self.arches.values(), "ecohttpd.pub"]))
        for arch in self.arches.values():
            names = [f"{name}_{VERSION}_{arch}.ipk" for name in PACKAGES]
            names += ["Packages", "Packages.gz", "Packages.manifest", "Packages.sig"]
            self.assertEqual(sorted(os.listdir(self.out / arch)), sorted(names))

    def test_manifest(self):
        for arch in self.arches.values():
            files = contents(self.out / arch)
            entries = stanzas(files["Packages.manifest"].decode())
            self.assertEqual([fields(entry)["Package"] for entry in entries], ["ecohttpd-mini", "ecohttpd"])
            for entry in entries:
                name = fields(entry)["Package"]
                file = f"{name}_{VERSION}_{arch}.ipk"
                added = [
                    f"Filename: {file}",
                    f"Size: {len(files[file])}",
                    f"SHA256sum: {hashlib.sha256(files[file]).hexdigest()}",
                ]
                # These three, in the middle of what the package says itself
                control = run("sh", "-c", f'tar xzOf "$0" ./control.tar.gz | tar xzOf - ./control',
                              self.out / arch / file).stdout.splitlines()
                place = next(i for i, line in enumerate(control) if line.startswith("Description:"))
                self.assertEqual(entry, control[:place] + added + control[place:])

    def test_packages(self):
        for arch in self.arches.values():
            files = contents(self.out / arch)
            manifest, packages = (stanzas(files[name].decode()) for name in ("Packages.manifest", "Packages"))
            kept = [[line for line in entry if line.split(":")[0] not in LEFT_OUT] for entry in manifest]
            self.assertEqual(packages, kept)
            self.assertNotEqual(packages, manifest)

    def test_compressed(self):
        for arch in self.arches.values():
            files = contents(self.out / arch)
            self.assertEqual(gzip.decompress(files["Packages.gz"]), files["Packages"])
            # gzip -9n
            self.assertEqual(files["Packages.gz"][:10], b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03")

    def test_signature(self):
        published = self.out / "ecohttpd.pub"
        self.assertEqual(published.read_text().splitlines()[1], self.public.read_text().splitlines()[1])
        for arch in self.arches.values():
            for key in (self.public, published):
                self.passes(run(USIGN, "-V", "-m", self.out / arch / "Packages", "-p", key))

    def test_fingerprint_is_said(self):
        number = run(USIGN, "-F", "-p", self.public).stdout.strip()
        self.assertIn(f"ecohttpd.pub, fingerprint {number}", self.packed.stdout)


class Padding(TestCase):
    """Routers' usign hashes texts wrong that end at two of the 128 places of a block."""

    def index(self, length):
        """An index of one package, whose version is so long; the index's length without and with padding."""
        where = self.new_dir()
        folder = where / "feed"
        folder.mkdir()
        (where / "control").write_text(f"Package: x\nVersion: {'1' * length}\nDescription:  x\n")
        self.passes(run("tar", "-C", where, "-czf", where / "control.tar.gz", "./control"))
        self.passes(run("tar", "-C", where, "-czf", folder / "x.ipk", "./control.tar.gz"))
        script = 'set -e; . openwrt/pack/ipk.sh; key=$1; index_ipk "$2"'
        self.passes(run("bash", "-c", script, "bash", self.key, folder, cwd=ROOT))
        plain, padded = ((folder / name).read_text() for name in ("Packages.manifest", "Packages"))
        self.assertEqual(stanzas(plain), stanzas(padded))
        self.passes(run(USIGN, "-V", "-m", folder / "Packages", "-p", self.dir / "pub"))
        return len(plain), len(padded)

    def test_places(self):
        self.key = self.dir / "key"
        self.passes(run(USIGN, "-G", "-s", self.key, "-p", self.dir / "pub"))
        # Lengths before, at and behind these places: the rest of an index is some 130 bytes.
        start = (110 - 64 - self.index(1)[0]) % 128
        seen = set()
        for length in range(start - 3, start + 6):
            plain, padded = self.index(length % 128 + 1)
            seen.add((64 + plain) % 128)
            self.assertEqual(padded - plain, 2 if (64 + plain) % 128 in (110, 111) else 0)
            self.assertNotIn((64 + padded) % 128, (110, 111))
        self.assertLess({109, 110, 111, 112}, seen)


class Served(Feeds):
    """DIR/Packages.gz, DIR/Packages.sig and DIR/FILE, each by a GET: that is all that opkg asks for."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = servers.launch("-h", cls.out)
        cls.addClassCleanup(cls.server.stop)
        cls.keys = cls.dir / "keys"
        cls.keys.mkdir()
        number = run(USIGN, "-F", "-p", cls.public).stdout.strip()
        (cls.keys / number).write_bytes(cls.public.read_bytes())

    def update(self, fetch, url):
        """As opkg does it: the index and its signature, verified, and each package by its hash."""
        index = gzip.decompress(fetch(f"{url}/Packages.gz"))
        sig = self.new_dir() / "sig"
        sig.write_bytes(fetch(f"{url}/Packages.sig"))
        verified = run(USIGN, "-V", "-q", "-P", self.keys, "-x", sig, "-m", "-", input=index, text=False)
        if verified.returncode != 0:
            raise PermissionError("signature")
        got = {}
        for entry in map(fields, stanzas(index.decode())):
            data = fetch(f"{url}/{entry['Filename']}")
            if (len(data), hashlib.sha256(data).hexdigest()) != (int(entry["Size"]), entry["SHA256sum"]):
                raise ValueError(entry["Filename"])
            got[entry["Package"]] = data
        return got

    def client(self, *command):
        def fetch(url):
            done = run(*command, url, text=False)
            self.assertEqual(done.returncode, 0, f"{command} {url}: {done.stderr}")
            return done.stdout
        return fetch

    def whole(self, *command):
        for arch in self.arches.values():
            got = self.update(self.client(*command), f"{self.server.url}/{arch}")
            self.assertEqual(set(got), set(PACKAGES))
            for name, data in got.items():
                self.assertEqual(data, (self.out / arch / f"{name}_{VERSION}_{arch}.ipk").read_bytes())

    def test_curl(self):
        self.whole("curl", "-sSf")

    def test_wget(self):
        self.whole("wget", "-q", "-O", "-")

    def test_busybox_wget(self):
        self.whole("busybox", "wget", "-q", "-O", "-")

    def test_key(self):
        got = self.client("curl", "-sSf")(f"{self.server.url}/ecohttpd.pub")
        self.assertEqual(got, (self.out / "ecohttpd.pub").read_bytes())

    def tampered(self, name, change):
        """A server of the same feed in which one file has been changed."""
        copy = self.new_dir() / "feed"
        (copy / self.arch).mkdir(parents=True)
        for file, data in contents(self.out / self.arch).items():
            (copy / self.arch / file).write_bytes(change(data) if file == name else data)
        server = servers.launch("-h", copy)
        self.addCleanup(server.stop)
        return f"{server.url}/{self.arch}"

    def test_tampered_index(self):
        def change(data):
            text = gzip.decompress(data)
            assert b"Version: " in text
            return gzip.compress(text.replace(b"Version: ", b"Version: 9", 1))

        url = self.tampered("Packages.gz", change)
        with self.assertRaises(PermissionError):
            self.update(self.client("curl", "-sSf"), url)

    def test_tampered_package(self):
        file = f"ecohttpd_{VERSION}_{self.arch}.ipk"

        def change(data):
            middle = len(data) // 2
            return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1:]

        with self.assertRaises(ValueError) as refused:
            self.update(self.client("curl", "-sSf"), self.tampered(file, change))
        self.assertEqual(str(refused.exception), file)

    def test_signed_by_someone_else(self):
        where = self.new_dir()
        self.passes(run(USIGN, "-G", "-s", where / "s", "-p", where / "p"))
        sig = where / "sig"
        self.passes(run(USIGN, "-S", "-m", self.out / self.arch / "Packages", "-s", where / "s", "-x", sig))
        url = self.tampered("Packages.sig", lambda data: sig.read_bytes())
        with self.assertRaises(PermissionError):
            self.update(self.client("curl", "-sSf"), url)

    @unittest.skipUnless(tool("opkg", "OPKG"), "opkg is not on this machine")
    def test_opkg(self):
        """In a root of its own. The signature it would check by a program of the machine; see test_curl."""
        opkg, root = tool("opkg", "OPKG"), self.new_dir()
        for name in ("etc/opkg", "usr/lib/opkg/info", "var/lock", "var/opkg-lists", "tmp"):
            (root / name).mkdir(parents=True)
        conf = root / "etc/opkg.conf"
        conf.write_text(f"dest root /\nlists_dir ext /var/opkg-lists\narch {self.arch} 10\n"
                        f"src/gz ecohttpd {self.server.url}/{self.arch}\n")
        command = [opkg, "--offline-root", root, "-f", conf]
        # Only that of the machine is found by this path.
        env = ENV | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "IPKG_NO_SCRIPT": "1"}
        self.passes(run(*command, "update", env=env))
        self.passes(run(*command, "install", "ecohttpd", env=env))
        self.assertIn(f"ecohttpd - {VERSION}", self.passes(run(*command, "list-installed", env=env)))
        self.assertEqual((root / "etc/config/ecohttpd").stat().st_mode & 0o777, 0o600)
        refused = run(*command, "install", "ecohttpd-mini", env=env)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("conflict", refused.stdout + refused.stderr)
        (root / "etc/config/ecohttpd").write_text("config ecohttpd changed\n")
        self.passes(run(*command, "remove", "ecohttpd", env=env))
        self.assertTrue((root / "etc/config/ecohttpd").exists(), "a changed configuration is removed")
        self.assertFalse((root / "usr/sbin/ecohttpd").exists())
        self.passes(run(*command, "install", "ecohttpd-mini", env=env))
        self.assertTrue((root / "usr/sbin/ecohttpd").exists())

"""openwrt/usign: published vectors, Debian's signify in both directions, and what is wrong."""

import base64
import hashlib
import subprocess
import unittest

from common import TestCase, USIGN, run, tool

# RFC 8032, section 7.1, without the first, whose message is empty: secret and public key, message, signature.
VECTORS = [
    ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
     "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
     "387b2eaeb4302aeeb00d291612bb0c00"),
    ("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
     "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
     "4a7c15e9716ed28dc027beceea1ec40a"),
    ("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
     "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd"
     "454d4423643ce80e2a9ac94fa54ca49f",
     "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e030"
     "3dca179c138ac17ad9bef1177331a704"),
]
NUMBER = bytes.fromhex("0123456789abcdef")


def secret_key(seed, public, number=NUMBER, kdf=b"BK", rounds=0, check=None):
    """A secret key as signify lays it out."""
    if check is None:
        check = hashlib.sha512(seed + public).digest()[:8]
    return b"Ed" + kdf + rounds.to_bytes(4, "big") + bytes(range(16)) + check + number + seed + public


def text(data, comment="untrusted comment: a test"):
    return f"{comment}\n{base64.b64encode(data).decode()}\n"


def payload(path):
    first, second = path.read_text().splitlines()
    assert first.startswith("untrusted comment: "), first
    return base64.b64decode(second, validate=True)


class Vectors(TestCase):
    def test_rfc_8032(self):
        for seed, public, message, signature in [map(bytes.fromhex, vector) for vector in VECTORS]:
            with self.subTest(message=message):
                where = self.new_dir()
                (where / "key").write_text(text(secret_key(seed, public)))
                (where / "key.pub").write_text(text(b"Ed" + NUMBER + public))
                (where / "m").write_bytes(message)
                self.passes(run(USIGN, "-S", "-m", where / "m", "-s", where / "key"))
                self.assertEqual(payload(where / "m.sig"), b"Ed" + NUMBER + signature)
                verify = [USIGN, "-V", "-m", where / "m", "-p", where / "key.pub"]
                self.passes(run(*verify))
                (where / "m").write_bytes(message + b"x")
                self.fails(run(*verify), 1, "verification failed")
                # Each half of a signature that is changed in one bit
                (where / "m").write_bytes(message)
                for place in (10, 73):
                    wrong = bytearray(b"Ed" + NUMBER + signature)
                    wrong[place] ^= 1
                    (where / "m.sig").write_text(text(bytes(wrong)))
                    self.fails(run(*verify), 1, "verification failed")


class Keys(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.secret, cls.public, cls.message = cls.dir / "k.sec", cls.dir / "k.pub", cls.dir / "m"
        cls.made = run(USIGN, "-G", "-s", cls.secret, "-p", cls.public)
        cls.message.write_bytes(bytes(range(256)) * 400)

    def signed(self):
        sig = self.new_dir() / "sig"
        self.passes(run(USIGN, "-S", "-m", self.message, "-s", self.secret, "-x", sig))
        return sig

    def test_layout(self):
        self.passes(self.made)
        self.assertEqual(self.secret.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.public.stat().st_mode & 0o777, 0o644)
        secret, public = payload(self.secret), payload(self.public)
        number = public[2:10]
        self.assertEqual((len(secret), len(public)), (104, 42))
        self.assertEqual(public[:2] + secret[:8], b"EdEdBK" + bytes(4))
        check = hashlib.sha512(secret[40:]).digest()[:8]
        self.assertEqual(secret[24:40], check + number)
        self.assertEqual(secret[72:], public[10:])
        for path, what in ((self.secret, "private"), (self.public, "public")):
            first = path.read_text().splitlines()[0]
            self.assertEqual(first, f"untrusted comment: {what} key {number.hex()}")

    def test_fingerprint(self):
        number = payload(self.public)[2:10].hex()
        for option, path in (("-s", self.secret), ("-p", self.public), ("-x", self.signed())):
            self.assertEqual(self.passes(run(USIGN, "-F", option, path)), f"{number}\n")

    def test_not_overwritten(self):
        before = self.secret.read_bytes(), self.public.read_bytes()
        self.fails(run(USIGN, "-G", "-s", self.secret, "-p", self.dir / "new"), 1, "k.sec", "already")
        self.fails(run(USIGN, "-G", "-s", self.dir / "new", "-p", self.public), 1, "k.pub", "already")
        self.assertEqual((self.secret.read_bytes(), self.public.read_bytes()), before)
        self.assertFalse((self.dir / "new").exists())

    def test_directory_of_keys(self):
        """As opkg-key calls usign: the message by the standard input, the key by its fingerprint."""
        sig, keys = self.signed(), self.new_dir()
        command = [USIGN, "-V", "-q", "-P", keys, "-x", sig, "-m", "-"]
        message = self.message.read_bytes()
        done = run(*command, input=message, text=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (1, b"", b""))
        (keys / payload(self.public)[2:10].hex()).write_bytes(self.public.read_bytes())
        done = run(*command, input=message, text=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
        self.assertEqual(run(*command, input=message[1:], text=False).returncode, 1)

    def test_comment(self):
        where = self.new_dir()
        self.passes(run(USIGN, "-G", "-s", where / "s", "-p", where / "p", "-c", "of a friend"))
        for name in "sp":
            self.assertEqual((where / name).read_text().splitlines()[0], "untrusted comment: of a friend")

    def test_comment_of_any_bytes(self):
        """But for what would be two lines to those who read it."""
        sig = self.new_dir() / "sig"
        command = [USIGN, "-S", "-m", self.message, "-s", self.secret, "-x", sig]
        for comment in b"a\rb", b"a\r", b"a\nb":
            done = run(*command, "-c", comment.decode())
            self.fails(done, 2, "usign: -c")
            self.assertFalse(sig.exists())
        self.passes(subprocess.run([*map(str, command), "-c", b"caf\xe9"], capture_output=True, text=True, check=False))
        self.assertTrue(sig.read_bytes().startswith(b"untrusted comment: caf\xe9\n"))
        self.passes(run(USIGN, "-V", "-m", self.message, "-p", self.public, "-x", sig))

    def test_half_a_pair(self):
        where = self.new_dir()
        self.fails(run(USIGN, "-G", "-s", where / "s", "-p", where / "none" / "p"), 1, "none/p: No such file")
        self.assertEqual(list(where.iterdir()), [])

    def test_public_key(self):
        self.assertEqual(self.passes(run(USIGN, "-K", "-s", self.secret)), self.public.read_text())

    def test_deterministic(self):
        self.assertEqual(self.signed().read_bytes(), self.signed().read_bytes())

    def test_secret_is_no_argument(self):
        """Nor does openssl's own error, or ours, tell anything of it."""
        where = self.new_dir()
        data = bytearray(payload(self.secret))
        data[40] ^= 1
        (where / "s").write_text(text(bytes(data)))
        done = run(USIGN, "-S", "-m", self.message, "-s", where / "s")
        self.fails(done, 1, "damaged")
        self.assertNotIn(data[48:72].hex(), done.stderr.lower())

    def test_signify_verifies_ours(self):
        sig = self.signed()
        self.passes(run("signify-openbsd", "-V", "-p", self.public, "-m", self.message, "-x", sig))
        done = run("signify-openbsd", "-V", "-p", self.public, "-m", self.secret, "-x", sig)
        self.assertNotEqual(done.returncode, 0)

    def test_ours_verifies_signify(self):
        where = self.new_dir()
        secret, public, sig = where / "s.sec", where / "s.pub", where / "sig"
        self.passes(run("signify-openbsd", "-G", "-n", "-s", secret, "-p", public))
        self.passes(run("signify-openbsd", "-S", "-s", secret, "-m", self.message, "-x", sig))
        self.passes(run(USIGN, "-V", "-p", public, "-m", self.message, "-x", sig))
        self.fails(run(USIGN, "-V", "-p", public, "-m", secret, "-x", sig), 1, "verification failed")

    def test_same_bytes_as_signify(self):
        """Each signs by the key that the other made; Ed25519 leaves no choice."""
        where = self.new_dir()
        self.passes(run("signify-openbsd", "-G", "-n", "-s", where / "s.sec", "-p", where / "s.pub"))
        for secret in (self.secret, where / "s.sec"):
            self.passes(run(USIGN, "-S", "-m", self.message, "-s", secret, "-x", where / "ours"))
            self.passes(run("signify-openbsd", "-S", "-s", secret, "-m", self.message, "-x", where / "its"))
            self.assertEqual(payload(where / "ours"), payload(where / "its"))

    @unittest.skipUnless(tool("usign", "USIGN"), "OpenWrt's usign is not on this machine")
    def test_openwrts(self):
        its, sig, where = tool("usign", "USIGN"), self.signed(), self.new_dir()
        self.passes(run(its, "-V", "-p", self.public, "-m", self.message, "-x", sig))
        self.passes(run(its, "-G", "-s", where / "s", "-p", where / "p"))
        self.passes(run(its, "-S", "-s", where / "s", "-m", self.message, "-x", where / "sig"))
        self.passes(run(USIGN, "-V", "-p", where / "p", "-m", self.message, "-x", where / "sig"))
        for option, path in (("-s", where / "s"), ("-p", where / "p"), ("-x", where / "sig")):
            self.assertEqual(run(its, "-F", option, path).stdout, run(USIGN, "-F", option, path).stdout)


class Wrong(TestCase):
    def test_usage(self):
        for line in ("", "-S", "-S -V", "-G -s a", "-V -m a", "-Z", "-F", "-F -s a -p b", "-K", "-V -m - -p a",
                     "-S -m a -s b c", "-V -m a -p a -P b"):
            with self.subTest(line=line):
                self.fails(run(USIGN, *line.split(), cwd=self.new_dir()), 2, "usign: ")
        where = self.new_dir()
        two = run(USIGN, "-G", "-s", where / "a", "-p", where / "b", "-c", "two\nlines")
        self.fails(two, 2, "usign: -c")
        self.assertEqual(list(where.iterdir()), [])
        self.assertIn("-G", self.passes(run(USIGN, "-h")))

    def test_files(self):
        seed, public, message, signature = [bytes.fromhex(part) for part in VECTORS[0]]
        where = self.new_dir()
        good = {
            "key": text(secret_key(seed, public)), "pub": text(b"Ed" + NUMBER + public),
            "sig": text(b"Ed" + NUMBER + signature), "m": message.decode(),
        }
        sign = [USIGN, "-S", "-m", where / "m", "-s", where / "key", "-x", where / "new"]
        verify = [USIGN, "-V", "-m", where / "m", "-p", where / "pub", "-x", where / "sig"]
        for name, content in good.items():
            (where / name).write_text(content)
        self.passes(run(*sign))
        self.passes(run(*verify))
        for name, wrong, command, words in (
            ("key", None, sign, ["key: No such file"]),
            ("key", "", sign, ["key: not a secret key"]),
            ("key", good["pub"], sign, ["key: not a secret key"]),
            ("key", good["key"].replace("untrusted", "trusted"), sign, ["no line of comment"]),
            ("key", text(secret_key(seed, public, rounds=42)), sign, ["passphrase"]),
            ("key", text(secret_key(seed, public, kdf=b"XX")), sign, ["unknown kind"]),
            ("key", text(secret_key(seed, public, check=bytes(8))), sign, ["damaged"]),
            ("key", text(secret_key(seed, public[::-1])), sign, ["do not belong together"]),
            ("m", None, sign, ["m: No such file"]),
            ("m", None, verify, ["m: No such file"]),
            ("m", "", sign, ["m: empty"]),
            ("m", "", verify, ["m: empty"]),
            ("pub", None, verify, ["pub: No such file"]),
            ("pub", "untrusted comment: x\n%%%\n", verify, ["pub: not a public key"]),
            ("pub", text(b"Ed" + bytes(8) + public), verify, ["0123456789abcdef"]),
            ("sig", good["pub"], verify, ["sig: not a signature"]),
            ("sig", text(b"XX" + NUMBER + signature), verify, ["sig: not a signature"]),
        ):
            with self.subTest(file=name, words=words):
                for other, content in good.items():
                    (where / other).write_text(content)
                (where / "new").unlink(missing_ok=True)
                (where / name).unlink() if wrong is None else (where / name).write_text(wrong)
                self.fails(run(*command), 1, *words)
                self.assertFalse((where / "new").exists())

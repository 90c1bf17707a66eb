"""Tests the launcher and the examples with curl, http.client and requests.

    python3 clients.py BIN_DIR [unittest's arguments]

BIN_DIR is cargo's directory with `ecohttpd` and `examples/`. Takes curl, and requests from PyPI.
"""

import email.utils
import gzip
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time

import requests

sys.dont_write_bytecode = True  # nothing is to be left in the source tree
import servers
from servers import CA, ENV, PATIENCE, PKI, Server, free_port, launch, noise, raw, read_all, sha256, wait_for

TEXT = "".join(f"line {i} of a file that compresses well\n" for i in range(2000)).encode()
BIG = 48 << 20
JSON = {"Accept": "application/json"}


class Curl:
    """What a run of curl brought."""

    def __init__(self, *args, stdin=None, fine=True):
        command = ["curl", "-sS", "--max-time", "120", "--noproxy", "*", *map(str, args)]
        feed = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        done = subprocess.run(command, capture_output=True, env=ENV, timeout=2 * PATIENCE + 30, **feed)
        self.code, self.out = done.returncode, done.stdout
        self.err = done.stderr.decode("utf-8", "replace")
        if fine and self.code != 0:
            raise AssertionError(f"{command} ended with {self.code}: {self.err}")

    @property
    def text(self):
        return self.out.decode()


class Fetched:
    """A response that curl fetched: its last head, its content, and curl's figures."""

    def __init__(self, dir, *args, stdin=None, fine=True):
        head, body = dir / "fetched.head", dir / "fetched.body"
        for path in (head, body):
            path.unlink(missing_ok=True)
        self.curl = Curl("-D", head, "-o", body, "-w", "%{json}", *args, stdin=stdin, fine=fine)
        self.figures = json.loads(self.curl.out)
        self.status = self.figures["http_code"]
        self.body = body.read_bytes() if body.exists() else b""
        heads = head.read_bytes().decode("latin-1").split("\r\n\r\n")
        self.first, *fields = heads[-2].split("\r\n")
        self.headers, self.repeated = {}, []
        for name, value in (field.split(": ", 1) for field in fields):
            name = name.lower()
            if name in self.headers:
                self.repeated.append(name)
                value = f"{self.headers[name]}, {value}"
            self.headers[name] = value


class Case(servers.TestCase):
    def fetch(self, *args, **more):
        fetched = Fetched(self.new_dir(), *args, **more)
        # A list may come in several lines, anything else only once.
        self.assertLessEqual(set(fetched.repeated), {"vary"}, fetched.headers)
        return fetched

    def list(self, server):
        """What the upload example says it has."""
        return json.loads(Curl("-H", "Accept: application/json", server.url + "/uploads/").out)


def make_site(site):
    """A docroot with something of everything."""
    (site / "dir").mkdir(parents=True)
    (site / "index.html").write_text("<h1>index</h1>\n")
    (site / "dir" / "index.html").write_text("<h1>dir</h1>\n")
    (site / "small.txt").write_bytes(b"hello, world\n")
    (site / "empty.txt").write_bytes(b"")
    (site / "a b ü.txt").write_text("a name to be escaped\n")
    (site / "text.txt").write_bytes(TEXT)
    (site / "page.html").write_bytes(TEXT)
    (site / "page.html.gz").write_bytes(gzip.compress(TEXT))
    (site / "all.js").write_bytes(b"as it is\n")
    for suffix in ("br", "zst", "gz"):  # any bytes tell which one it is
        (site / f"all.js.{suffix}").write_bytes(suffix.encode())
    (site / "only.txt.gz").write_bytes(gzip.compress(TEXT))
    servers.write_noise(site / "big.bin", BIG)


class SiteCase(Case):
    options = ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.site = cls.dir / "site"
        make_site(cls.site)
        cls.server = cls.serve(launch("-h", cls.site, *cls.options))
        cls.url = cls.server.url


class CurlFiles(SiteCase):
    """Files, by curl."""

    def test_get(self):
        got = self.fetch(self.url + "/small.txt")
        self.assertEqual(got.first, "HTTP/1.1 200 OK")
        self.assertEqual(got.body, b"hello, world\n")
        stat = (self.site / "small.txt").stat()
        date = email.utils.parsedate_to_datetime(got.headers.pop("date")).timestamp()
        self.assertAlmostEqual(date, time.time(), delta=5)
        self.assertEqual(
            got.headers,
            {
                "server": "ecohttpd",
                "content-length": "13",
                "content-type": "text/plain; charset=utf-8",
                "last-modified": email.utils.formatdate(stat.st_mtime // 1, usegmt=True),
                "etag": f'"{stat.st_ino:x}-{13:x}-{stat.st_mtime_ns:x}"',
                "accept-ranges": "bytes",
                "vary": "Accept-Encoding",
            },
        )

    def test_names_and_indexes(self):
        for path, body in [
            ("/", b"<h1>index</h1>\n"),
            ("/dir/", b"<h1>dir</h1>\n"),
            ("/a%20b%20%C3%BC.txt", b"a name to be escaped\n"),
            ("/empty.txt", b""),
            ("/small.txt?query=1", b"hello, world\n"),
        ]:
            with self.subTest(path):
                got = self.fetch(self.url + path)
                self.assertEqual((got.status, got.body), (200, body))
                self.assertEqual(got.headers["content-length"], str(len(body)))

    def test_head(self):
        for path in ("/small.txt", "/big.bin", "/page.html", "/none"):
            with self.subTest(path):
                get, head = self.fetch(self.url + path), self.fetch("-I", self.url + path)
                for headers in (get.headers, head.headers):
                    del headers["date"]
                self.assertEqual((head.first, head.headers), (get.first, get.headers))
                self.assertEqual(head.figures["size_download"], 0)

    def test_no_way_out_and_no_way_in(self):
        (self.dir / "secret").write_text("secret")
        for path, status in [
            ("/../secret", 403),
            ("/%2e%2e/secret", 403),
            ("/dir/../../secret", 403),
            ("/..%2fsecret", 403),
            ("/small.txt%00.html", 400),
            ("/none", 404),
            ("/small.txt/", 404),
        ]:
            with self.subTest(path):
                got = self.fetch("--path-as-is", self.url + path)
                self.assertEqual(got.status, status)
                self.assertNotIn(b"secret", got.body)
                self.assertIn(str(got.status).encode(), got.body)  # an error page says so
        for method in ("POST", "PUT", "DELETE"):
            got = self.fetch("-X", method, self.url + "/small.txt")
            self.assertEqual((got.status, got.headers["allow"]), (405, "GET, HEAD"))

    def test_range(self):
        size, data = BIG, (self.site / "big.bin").read_bytes()
        for spec, start, end in [
            ("10-19", 10, 20),
            ("0-0", 0, 1),
            (f"{size - 5}-", size - 5, size),
            ("-7", size - 7, size),
            ("1000000-3000000", 1000000, 3000001),
            (f"5-{2 * size}", 5, size),
        ]:
            with self.subTest(spec):
                got = self.fetch("-r", spec, self.url + "/big.bin")
                self.assertEqual(got.first, "HTTP/1.1 206 Partial Content")
                self.assertEqual(got.headers["content-range"], f"bytes {start}-{end - 1}/{size}")
                self.assertEqual(got.headers["content-length"], str(end - start))
                self.assertTrue(got.body == data[start:end])
        got = self.fetch("-r", f"{size}-", self.url + "/big.bin")
        self.assertEqual((got.status, got.headers["content-range"]), (416, f"bytes */{size}"))

    def test_several_ranges(self):
        data = (self.site / "big.bin").read_bytes()
        got = self.fetch("-r", "0-4,100000-299999,-3", self.url + "/big.bin")
        self.assertEqual(got.status, 206)
        self.assertNotIn("content-range", got.headers)
        boundary = re.fullmatch(
            r"multipart/byteranges; boundary=(\w+)", got.headers["content-type"]
        )[1]
        expected = b""
        for start, end in ((0, 5), (100000, 300000), (BIG - 3, BIG)):
            expected += (
                f"\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n"
                f"Content-Range: bytes {start}-{end - 1}/{BIG}\r\n\r\n"
            ).encode() + data[start:end]
        self.assertTrue(got.body == expected + f"\r\n--{boundary}--\r\n".encode())
        self.assertEqual(got.headers["content-length"], str(len(got.body)))

    def test_resume(self):
        part = self.new_dir() / "part"
        have = 12_345_678
        with open(self.site / "big.bin", "rb") as f:
            part.write_bytes(f.read(have))
        out = Curl("-C", "-", "-o", part, "-w", "%{http_code} %{size_download}", self.url + "/big.bin")
        self.assertEqual(out.text, f"206 {BIG - have}")
        self.assertSameFile(part, self.site / "big.bin")

    def test_time_condition(self):
        path = self.site / "timed.txt"
        path.write_text("timed\n")
        os.utime(path, (1_600_000_000, 1_600_000_000))
        copy = self.new_dir() / "copy"
        Curl("-R", "-o", copy, self.url + "/timed.txt")
        self.assertEqual(copy.stat().st_mtime, 1_600_000_000)
        # The status line, since curl also says 304 where it alone finds the file too old.
        at = "Sun, 13 Sep 2020 12:26:40 GMT"
        ago = "Sun, 13 Sep 2020 12:26:39 GMT"
        for args, first, body in [
            (("-z", copy), "304 Not Modified", b""),
            (("-z", at), "304 Not Modified", b""),
            (("-z", ago), "200 OK", b"timed\n"),
            (("-z", "Fri, 13 Sep 2024 12:26:40 GMT"), "304 Not Modified", b""),
            (("-H", f"If-Unmodified-Since: {at}"), "200 OK", b"timed\n"),
            (("-z", f"-{ago}"), "412 Precondition Failed", None),
        ]:
            with self.subTest(args):
                got = self.fetch(*args, self.url + "/timed.txt")
                self.assertEqual(got.first, f"HTTP/1.1 {first}")
                if body is not None:
                    self.assertEqual(got.body, body)

    def test_etags(self):
        path, tag = self.site / "tagged.txt", self.new_dir() / "tag"
        path.write_text("one\n")
        first = self.fetch("--etag-save", tag, self.url + "/tagged.txt")
        self.assertEqual(tag.read_text().strip(), first.headers["etag"])
        second = self.fetch("--etag-compare", tag, self.url + "/tagged.txt")
        self.assertEqual((second.status, second.body), (304, b""))
        self.assertEqual(second.headers["etag"], first.headers["etag"])
        # As long as before, and within the same second: the tag alone can tell.
        path.write_text("two\n")
        third = self.fetch("--etag-compare", tag, self.url + "/tagged.txt")
        self.assertEqual((third.status, third.body), (200, b"two\n"))
        for name, status in [("If-Match", 412), ("If-None-Match", 206), ("If-Range", 200)]:
            old = f"{name}: {first.headers['etag']}"
            self.assertEqual(self.fetch("-H", old, "-r", "0-1", self.url + "/tagged.txt").status, status, name)

    def test_precompressed(self):
        packed = (self.site / "page.html.gz").read_bytes()
        got = self.fetch("--compressed", self.url + "/page.html")
        self.assertTrue(got.body == TEXT)
        self.assertEqual(got.headers["content-encoding"], "gzip")
        self.assertEqual(got.headers["vary"], "Accept-Encoding")
        self.assertEqual(got.headers["content-type"], "text/html; charset=utf-8")
        self.assertEqual(got.figures["size_download"], len(packed))
        plain = self.fetch(self.url + "/page.html")
        self.assertTrue(plain.body == TEXT)
        self.assertNotIn("content-encoding", plain.headers)
        self.assertEqual(plain.headers["vary"], "Accept-Encoding")
        self.assertNotEqual(plain.headers["etag"], got.headers["etag"])
        # A range is one of the bytes that would have been sent.
        part = self.fetch("-H", "Accept-Encoding: gzip", "-r", "2-9", self.url + "/page.html")
        self.assertEqual((part.status, part.body), (206, packed[2:10]))

    def test_choice_of_coding(self):
        for accept, coding, body in [
            ("gzip, br, zstd", "br", b"br"),
            ("gzip, zstd", "zstd", b"zst"),
            ("gzip", "gzip", b"gz"),
            ("br;q=0.5, gzip;q=0.8", "gzip", b"gz"),
            ("br;q=0, *", "zstd", b"zst"),
            ("identity, gzip;q=0.5", None, b"as it is\n"),
            ("deflate", None, b"as it is\n"),
            ("gzip;q=0", None, b"as it is\n"),
        ]:
            with self.subTest(accept):
                got = self.fetch("-H", f"Accept-Encoding: {accept}", self.url + "/all.js")
                self.assertEqual((got.headers.get("content-encoding"), got.body), (coding, body))

    def test_nothing_is_compressed_unasked(self):
        got = self.fetch("--compressed", self.url + "/text.txt")
        self.assertTrue(got.body == TEXT)
        self.assertNotIn("content-encoding", got.headers)
        self.assertEqual(self.fetch(self.url + "/only.txt").status, 404)

    def test_keep_alive(self):
        def connects(*args):
            out = Curl("-w", "%{stderr}%{num_connects} ", *args)
            return out.err.split(), out.out

        small, none = self.url + "/small.txt", self.url + "/none"
        counts, body = connects(small, small, small)
        self.assertEqual((counts, body), (["1", "0", "0"], 3 * b"hello, world\n"))
        self.assertEqual(connects(none, small)[0], ["1", "0"])
        self.assertEqual(connects("-I", small, small)[0], ["1", "0"])
        self.assertEqual(connects("-X", "POST", "-d", "small", small, small)[0], ["1", "0"])
        self.assertEqual(connects("-H", "Connection: close", small, small)[0], ["1", "1"])
        got = self.fetch("-H", "Connection: close", small)
        self.assertEqual(got.headers["connection"], "close")

    def test_large_file(self):
        copy = self.new_dir() / "copy"
        Curl("-o", copy, self.url + "/big.bin")
        self.assertSameFile(copy, self.site / "big.bin")

    def test_parallel(self):
        copies = self.new_dir()
        args = []
        for i in range(20):
            args += ["-o", copies / f"big{i}", self.url + ("/big.bin" if i % 4 == 0 else f"/text.txt?{i}")]
        out = Curl("-Z", "--parallel-immediate", "--parallel-max", 20, "-w", "%{http_code} %{num_connects}\n", *args)
        self.assertEqual(sorted(out.text.splitlines()), ["200 1"] * 20)
        for i in range(20):
            self.assertSameFile(copies / f"big{i}", self.site / ("big.bin" if i % 4 == 0 else "text.txt"))

    def test_refused_upload_is_not_sent(self):
        big = self.site / "big.bin"
        got = self.fetch("-T", big, "-H", "Expect: 100-continue", "--expect100-timeout", 30, self.url + "/x")
        self.assertEqual((got.status, got.figures["size_upload"]), (404, 0))
        self.assertLess(got.figures["time_total"], 5)
        self.assertFalse((self.site / "x").exists())
        # Whoever sends it all the same still gets the answer.
        got = self.fetch("-X", "PUT", "-H", "Expect:", "--data-binary", f"@{self.site / 'text.txt'}", self.url + "/x")
        self.assertEqual(got.status, 404)

    def test_http10(self):
        got = self.fetch("--http1.0", self.url + "/big.bin")
        self.assertEqual((got.first, got.headers["connection"]), ("HTTP/1.1 200 OK", "close"))
        self.assertEqual(got.headers["content-length"], str(BIG))
        self.assertEqual(hashlib.sha256(got.body).hexdigest(), sha256(self.site / "big.bin"))
        small = self.url + "/small.txt"
        out = Curl("--http1.0", "-w", "%{num_connects}\n", "-o", os.devnull, small, "-o", os.devnull, small)
        self.assertEqual(out.text, "1\n1\n")
        got = self.fetch("--http1.0", "-H", "Connection: keep-alive", small)
        self.assertEqual((got.headers["connection"], got.body), ("keep-alive", b"hello, world\n"))

    def test_redirect(self):
        got = self.fetch(self.url + "/dir?a=1&b=%20")
        self.assertEqual((got.status, got.headers["location"]), (301, "/dir/?a=1&b=%20"))
        got = self.fetch("-L", self.url + "/dir?a=1")
        self.assertEqual((got.status, got.body), (200, b"<h1>dir</h1>\n"))
        self.assertEqual(got.figures["url_effective"], self.url + "/dir/?a=1")
        self.assertEqual((got.figures["num_redirects"], got.figures["num_connects"]), (1, 1))

    def test_garbage(self):
        for garbage in [
            b"GET /\r\n\r\n",  # HTTP/0.9
            b"GET /small.txt HTTP/0.9\r\n\r\n",
            b"GET /small.txt HTTP/1.1\r\n\r\n",  # no Host
            b"GET /small.txt HTTP/2.0\r\nHost: x\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + noise(507),  # a TLS hello
            noise(4000, seed=5) + b"\r\n\r\n",
            b"\0" * 100 + b"\r\n\r\n",
            b"GET /small.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            b"GET /small.txt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        ]:
            with self.subTest(garbage[:40]), raw(self.server.port, garbage) as s:
                answer = read_all(s)
                if b"chunked" in garbage:
                    # The file answers the request; its body is of no use, and ends the connection.
                    self.assertEqual(answer.count(b"HTTP/1.1 "), 1)
                elif b"HTTP/2.0" in garbage:
                    self.assertTrue(answer.startswith(b"HTTP/1.1 505 "), answer[:60])
                elif b"HTTP/0.9\r\n" in garbage:
                    self.assertRegex(answer[:60], rb"^HTTP/1\.1 (400|505) ")
                else:
                    self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer[:60])
        for silent in (b"", b"\r\n", b"GET"):
            with raw(self.server.port, silent):
                pass
        self.assertEqual(self.fetch(self.url + "/small.txt").body, b"hello, world\n")


class OnTheFly(SiteCase):
    """The launcher's --gzip."""

    options = ("--gzip",)

    def test_deflates(self):
        got = self.fetch("--compressed", self.url + "/text.txt")
        self.assertTrue(got.body == TEXT)
        self.assertEqual(got.headers["content-encoding"], "gzip")
        self.assertEqual(got.headers["transfer-encoding"], "chunked")
        self.assertEqual(got.headers["vary"], "Accept-Encoding")
        self.assertTrue(got.headers["etag"].startswith('W/"'), got.headers)
        self.assertLess(got.figures["size_download"], len(TEXT) // 4)
        again = self.fetch("-H", f"If-None-Match: {got.headers['etag']}", "--compressed", self.url + "/text.txt")
        self.assertEqual(again.status, 304)

    def test_not_for_everyone_and_not_everything(self):
        plain = self.fetch(self.url + "/text.txt")
        self.assertTrue(plain.body == TEXT)
        self.assertNotIn("content-encoding", plain.headers)
        self.assertEqual(plain.headers["content-length"], str(len(TEXT)))
        for path in ("/small.txt", "/big.bin"):  # too small; not compressible
            got = self.fetch("--compressed", self.url + path)
            self.assertNotIn("content-encoding", got.headers)
            self.assertEqual(got.body, (self.site / path[1:]).read_bytes())

    def test_sibling_first(self):
        got = self.fetch("--compressed", self.url + "/page.html")
        self.assertTrue(got.body == TEXT)
        self.assertEqual(got.headers["content-length"], str((self.site / "page.html.gz").stat().st_size))

    def test_inflates(self):
        plain = self.fetch(self.url + "/only.txt")
        self.assertTrue(plain.body == TEXT)
        self.assertNotIn("content-encoding", plain.headers)
        self.assertEqual(plain.headers["content-type"], "text/plain; charset=utf-8")
        packed = self.fetch("-H", "Accept-Encoding: gzip", self.url + "/only.txt")
        self.assertEqual(packed.headers["content-encoding"], "gzip")
        self.assertEqual(packed.body, (self.site / "only.txt.gz").read_bytes())

    def test_http10(self):
        for args, coding in [((), None), (("--compressed",), "gzip")]:
            for path in ("/text.txt", "/only.txt"):
                got = self.fetch("--http1.0", *args, self.url + path)
                self.assertTrue(got.body == TEXT)
                self.assertEqual(got.headers.get("content-encoding"), coding)
                self.assertNotIn("transfer-encoding", got.headers)
                self.assertEqual(got.headers["connection"], "close")

    def test_head(self):
        got = self.fetch("-I", "--compressed", self.url + "/text.txt")
        self.assertEqual((got.status, got.headers["content-encoding"]), (200, "gzip"))
        self.assertEqual(got.figures["size_download"], 0)

    def test_many_at_once(self):
        copies = self.new_dir()
        args = []
        for i in range(20):
            args += ["-o", copies / str(i), f"{self.url}/text.txt?{i}"]
        Curl("-Z", "--parallel-immediate", "--parallel-max", 20, "--compressed", *args)
        for i in range(20):
            self.assertSameFile(copies / str(i), self.site / "text.txt")


class Https(SiteCase):
    """HTTPS by the launcher, beside HTTP."""

    @classmethod
    def setUpClass(cls):
        cls.options = ("-s", "127.0.0.1:0", "-C", PKI / "localhost.pem", "-K", PKI / "localhost.key")
        servers.TestCase.setUpClass.__func__(cls)
        cls.site = cls.dir / "site"
        make_site(cls.site)
        cls.server = cls.serve(launch("-h", cls.site, *cls.options, addresses=2))
        cls.port = cls.server.addresses[1][1]
        cls.url = f"https://localhost:{cls.port}"

    def test_curl(self):
        for version, args in [
            ("TLSv1.2", ("--tlsv1.2", "--tls-max", "1.2")),
            ("TLSv1.3", ("--tlsv1.3",)),
        ]:
            with self.subTest(version):
                got = self.fetch("-v", *args, "--cacert", CA, self.url + "/big.bin")
                self.assertEqual((got.status, got.figures["ssl_verify_result"]), (200, 0))
                self.assertIn(f"SSL connection using {version} / ", got.curl.err)
                self.assertIn("ALPN: server accepted http/1.1", got.curl.err)
                self.assertEqual(hashlib.sha256(got.body).hexdigest(), sha256(self.site / "big.bin"))
                part = self.fetch(*args, "--cacert", CA, "-r", "-9", self.url + "/big.bin")
                self.assertEqual((part.status, part.body), (206, got.body[-9:]))

    def test_keep_alive(self):
        small = self.url + "/small.txt"
        out = Curl("--cacert", CA, "-w", "%{num_connects}\n", "-o", os.devnull, small, "-o", os.devnull, small)
        self.assertEqual(out.text, "1\n0\n")

    def test_who_does_not_get_in(self):
        # 60: a certificate that nobody vouches for; 35: no version in common.
        self.assertEqual(Curl(self.url + "/small.txt", fine=False).code, 60)
        old = Curl("--cacert", CA, "--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0",
                   self.url + "/small.txt", fine=False)
        self.assertEqual(old.code, 35, old.err)
        self.assertRegex(old.err, "alert (handshake failure|protocol version)")

    def test_confused_protocols(self):
        with raw(self.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") as s:
            self.assertNotIn(b"HTTP/1.1 200", read_all(s))
        self.assertEqual(Curl("--cacert", CA, f"https://localhost:{self.server.port}/", fine=False).code, 35)
        self.assertEqual(self.fetch("--cacert", CA, self.url + "/small.txt").status, 200)
        self.assertEqual(self.fetch(self.server.url + "/small.txt").status, 200)

    def test_http_client(self):
        con = http.client.HTTPSConnection("localhost", self.port, timeout=PATIENCE,
                                          context=ssl.create_default_context(cafile=CA))
        for _ in range(3):
            con.request("GET", "/text.txt")
            response = con.getresponse()
            self.assertTrue(response.read() == TEXT)
            self.assertEqual(response.status, 200)
        con.close()

    def test_requests(self):
        with requests.Session() as session:
            session.verify = str(CA)
            for path in ("/text.txt", "/page.html"):
                self.assertTrue(session.get(self.url + path, timeout=PATIENCE).content == TEXT)
        with self.assertRaises(requests.exceptions.SSLError):
            requests.get(self.url + "/small.txt", timeout=PATIENCE)

    def test_sessions_are_resumed(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.create_default_context(cafile=CA)
            context.minimum_version = context.maximum_version = version
            session, reused = None, []
            for _ in range(3):
                with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as plain:
                    with context.wrap_socket(plain, server_hostname="localhost", session=session) as tls:
                        tls.sendall(b"GET /small.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                        # An end without close_notify would be an error here.
                        answer = b"".join(iter(lambda: tls.recv(1 << 16), b""))
                        self.assertTrue(answer.endswith(b"\r\n\r\nhello, world\n"), answer)
                        session = tls.session
                        reused.append(tls.session_reused)
            self.assertEqual(reused, [False, True, True], version)

    def test_upload_refused_midway(self):
        got = self.fetch("--cacert", CA, "-H", "Expect:", "-T", self.site / "text.txt", self.url + "/x")
        self.assertEqual(got.status, 404)


class HttpClient(SiteCase):
    """Files, by http.client."""

    def connect(self, server=None):
        con = http.client.HTTPConnection("127.0.0.1", (server or self.server).port, timeout=PATIENCE)
        self.addCleanup(con.close)
        return con

    def ask(self, con, method, path, *args, **more):
        con.request(method, path, *args, **more)
        response = con.getresponse()
        return response, response.read()

    def test_one_connection_for_many_requests(self):
        con = self.connect()
        con.connect()
        sock = con.sock
        for _ in range(20):
            response, body = self.ask(con, "GET", "/small.txt")
            self.assertEqual((response.status, response.version, body), (200, 11, b"hello, world\n"))
            tag = {"If-None-Match": response.getheader("ETag")}
            response, body = self.ask(con, "GET", "/small.txt", headers=tag)
            self.assertEqual((response.status, body), (304, b""))
            response, body = self.ask(con, "HEAD", "/big.bin")
            self.assertEqual((response.getheader("Content-Length"), body), (str(BIG), b""))
            response, body = self.ask(con, "GET", "/none")
            self.assertEqual(response.status, 404)
            response, body = self.ask(con, "POST", "/small.txt", body=b"x" * 5000)
            self.assertEqual(response.status, 405)
            response, body = self.ask(con, "POST", "/small.txt", body=iter([b"y" * 700] * 9), encode_chunked=True)
            self.assertEqual(response.status, 405)
            self.assertIs(con.sock, sock)

    def test_large_file(self):
        response, body = self.ask(self.connect(), "GET", "/big.bin")
        self.assertEqual(response.status, 200)
        self.assertEqual(hashlib.sha256(body).hexdigest(), sha256(self.site / "big.bin"))

    def test_range(self):
        response, body = self.ask(self.connect(), "GET", "/small.txt", headers={"Range": "bytes=7-11"})
        self.assertEqual((response.status, response.reason, body), (206, "Partial Content", b"world"))

    def test_echo(self):
        port = free_port()
        server = self.start(Server("examples/server", port, port=port, cwd=self.site))
        con = self.connect(server)
        for body, more in [(b"plain & simple", {}), (iter([b"in ", b"", b"three ", b"chunks"]), {"encode_chunked": True})]:
            response, page = self.ask(con, "PUT", "/test?a=1&a=2", body=body, **more)
            self.assertEqual(response.status, 200)
            self.assertIn(b"<h2>method: PUT</h2>\n", page)
            self.assertIn(b"<p>a: 1</p>\n<p>a: 2</p>\n", page)
            sent = b"in three chunks" if more else b"plain &amp; simple"
            self.assertTrue(page.endswith(b"<h2>body: " + sent + b"</h2>\n"), page)
        # HTTP/1.0 knows no chunks.
        con._http_vsn, con._http_vsn_str = 10, "HTTP/1.0"
        response, page = self.ask(con, "GET", "/test")
        self.assertIsNone(response.getheader("Transfer-Encoding"))
        self.assertIn(b"<h2>http version: 1.0</h2>\n", page)


class Requests(SiteCase):
    """Files, by requests."""

    def setUp(self):
        self.session = requests.Session()
        self.addCleanup(self.session.close)

    def test_get(self):
        for _ in range(3):
            response = self.session.get(self.url + "/a b ü.txt")
            self.assertEqual((response.status_code, response.text), (200, "a name to be escaped\n"))
            self.assertEqual(response.encoding, "utf-8")
        pools = self.session.get_adapter(self.url).poolmanager.pools
        counts = [(pools[key].num_connections, pools[key].num_requests) for key in pools.keys()]
        self.assertEqual(counts, [(1, 3)])

    def test_redirect(self):
        response = self.session.get(self.url + "/dir", params={"a": "1 2"})
        self.assertEqual([r.status_code for r in response.history], [301])
        self.assertEqual((response.url, response.text), (self.url + "/dir/?a=1+2", "<h1>dir</h1>\n"))

    def test_stream(self):
        digest = hashlib.sha256()
        with self.session.get(self.url + "/big.bin", stream=True) as response:
            for block in response.iter_content(1 << 16):
                digest.update(block)
        self.assertEqual(digest.hexdigest(), sha256(self.site / "big.bin"))

    def test_coding_and_range(self):
        response = self.session.get(self.url + "/page.html")
        self.assertEqual((response.headers["Content-Encoding"], response.content), ("gzip", TEXT))
        response = self.session.get(self.url + "/small.txt", headers={"Range": "bytes=-6"})
        self.assertEqual((response.status_code, response.content), (206, b"world\n"))

    def test_condition_and_errors(self):
        tag = self.session.get(self.url + "/small.txt").headers["ETag"]
        response = self.session.get(self.url + "/small.txt", headers={"If-None-Match": tag})
        self.assertEqual((response.status_code, response.content), (304, b""))
        self.assertEqual(self.session.get(self.url + "/none").status_code, 404)
        self.assertEqual(self.session.options(self.url + "/small.txt").headers["Allow"], "GET, HEAD")


class Uploads(Case):
    """The upload example."""

    def setUp(self):
        self.stored = self.new_dir()
        self.server = self.start(Server("examples/upload", 0, self.stored))
        self.url = self.server.url + "/upload"

    def file(self, size, name="file", seed=1):
        path = self.new_dir() / name
        path.write_bytes(noise(size, seed))
        return path

    def assertStored(self, files):
        """Exactly these files are stored: names, and where their contents come from."""
        self.assertNames(self.stored, files)
        for name, source in files.items():
            self.assertSameFile(self.stored / name, source)
        self.assertEqual(
            {entry["name"]: entry["size"] for entry in self.list(self.server)},
            {name: os.path.getsize(source) for name, source in files.items()},
        )
        for entry in self.list(self.server):
            copy = self.new_dir() / "copy"
            Curl("-o", copy, self.server.url + entry["href"])
            self.assertSameFile(copy, files[entry["name"]])

    def test_expect_continue(self):
        path = self.file(2 << 20, "two.bin")
        got = self.fetch("-v", "-H", "Expect: 100-continue", "--expect100-timeout", 60,
                         "-F", f"file=@{path}", self.url)
        self.assertEqual(got.status, 303)
        self.assertEqual(got.curl.err.count("< HTTP/1.1 100 Continue"), 1)
        self.assertLess(got.figures["time_total"], 30)
        self.assertStored({"two.bin": path})

    def body(self, name, path):
        head = f'--b42\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        return head.encode() + path.read_bytes() + b"\r\n--b42--\r\n"

    def test_chunked_by_curl(self):
        path = self.file(3_000_001)
        got = self.fetch("-v", "-X", "POST", "-T", "-", "-H", "Content-Type: multipart/form-data; boundary=b42",
                         self.url, stdin=self.body("chunked.bin", path))
        self.assertIn("> Transfer-Encoding: chunked", got.curl.err)
        self.assertEqual(got.status, 303)
        self.assertStored({"chunked.bin": path})

    def test_chunked_by_requests(self):
        path = self.file(1_500_001)
        body = self.body("generated.bin", path)
        sizes = [1, 2, 3, 50, 1000, 8191, 8192, 8193, 70_000]

        def pieces():
            at, i = 0, 0
            while at < len(body):
                size = sizes[i % len(sizes)]
                yield body[at : at + size]
                at, i = at + size, i + 1

        headers = {"Content-Type": "multipart/form-data; boundary=b42", **JSON}
        response = requests.post(self.url, data=pieces(), headers=headers, timeout=PATIENCE)
        self.assertEqual(response.request.headers["Transfer-Encoding"], "chunked")
        self.assertEqual(response.json(), [{"name": "generated.bin", "size": 1_500_001, "href": "/uploads/generated.bin"}])
        self.assertStored({"generated.bin": path})

    def test_many_files_by_curl(self):
        # What curl makes of a quote: %22, as browsers do, or with --form-escape a backslash before it.
        names = {
            "plain.bin": "plain.bin",
            "a b  c.txt": "a b  c.txt",
            "semi;colon;filename=x.txt": "semi;colon;filename=x.txt",
            "naïve ☃ 文件.txt": "naïve ☃ 文件.txt",
            "it's 100% & <b>.txt": "it's 100% & <b>.txt",
            'quo"te.txt': "quo%22te.txt",
            "name=x, y=z.txt": "name=x, y=z.txt",
        }
        args, files = ["-F", "note=no file"], {}
        for i, (name, stored) in enumerate(names.items()):
            path = self.file(100_000 * i + i, f"source{i}", seed=i)
            quoted = name.replace('"', '\\"')
            args += ["-F", f'file=@"{path}";filename="{quoted}"']
            files[stored] = path
        got = self.fetch("-H", "Accept: application/json", *args, self.url)
        self.assertEqual([entry["name"] for entry in json.loads(got.body)], list(names.values()))
        self.assertStored(files)

    def test_escaped_quotes_by_curl(self):
        path = self.file(1000)
        Curl("--form-escape", "-F", f'file=@"{path}";filename="say \\"hi\\"; c\\\\d.txt"', self.url)
        # The backslash is a directory's, whose last part alone counts.
        self.assertStored({"d.txt": path})
        Curl("--form-escape", "-F", f'file=@"{path}";filename="say \\"hi\\".txt"', self.url)
        self.assertStored({"d.txt": path, 'say "hi".txt': path})

    def test_many_files_by_requests(self):
        names = ["plain.bin", "a b.txt", "semi;colon.txt", "naïve ☃.txt", 'quo"te.txt']
        files, parts = {}, []
        for i, name in enumerate(names):
            path = self.file(200_000 * i, f"source{i}", seed=i)
            files[name.replace('"', "%22")] = path
            parts.append(("file", (name, path.read_bytes(), "application/octet-stream")))
        response = requests.post(self.url, files=parts, data={"note": "ü"}, headers=JSON, timeout=PATIENCE)
        self.assertEqual(response.status_code, 200)
        self.assertEqual([entry["name"] for entry in response.json()], list(files))
        self.assertStored(files)

    def test_content_that_looks_like_a_boundary(self):
        delimiter = b"\r\n--b42"
        almost = [delimiter[:n] for n in range(1, len(delimiter))] + [b"--b42--\r\n", b"\n--b42", b"\r--b42"]
        # Of different lengths, so that every one of them meets the end of a buffer at some time.
        content = b"".join(part + b"x" * (i % 13) + b"y" for i in range(3000) for part in almost) + b"\r\n-"
        self.assertNotIn(delimiter, content)
        path = self.new_dir() / "tricky"
        path.write_bytes(content)
        headers = {"Content-Type": "multipart/form-data; boundary=b42", **JSON}
        response = requests.post(self.url, data=self.body("tricky.bin", path), headers=headers, timeout=PATIENCE)
        self.assertEqual(response.status_code, 200)
        self.assertStored({"tricky.bin": path})

    def test_redirect_to_the_list(self):
        path = self.file(10, "listed.txt")
        got = self.fetch("-L", "-F", f"file=@{path}", self.url)
        self.assertEqual((got.status, got.figures["num_redirects"]), (200, 1))
        self.assertEqual(got.figures["url_effective"], self.server.url + "/uploads/")
        self.assertEqual(got.headers["vary"], "Accept, Accept-Encoding")
        self.assertIn(b'<li><a href="/uploads/listed.txt">listed.txt</a>, 10 bytes\n', got.body)

    def arriving(self):
        """The file that is being received; it is there once some of it has arrived."""
        return [n for n in os.listdir(self.stored) if n.startswith(".incoming-")
                and (self.stored / n).stat().st_size > 0]

    def test_cut_off(self):
        body = self.body("cut.bin", self.file(1 << 20))
        head = b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b42\r\n"
        half = body[: len(body) // 2]
        for name, data in [
            ("length", head + b"Content-Length: %d\r\n\r\n" % len(body) + half),
            ("chunked", head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + half),
            ("before the last boundary ends", head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:-6]),
        ]:
            for how in ("close", "reset"):
                with self.subTest(f"{name}, {how}"), raw(self.server.port, data) as s:
                    wait_for("a file that arrives", self.arriving)
                    if how == "reset":
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    s.close()
                    wait_for("its end", lambda: os.listdir(self.stored) == [])
        # A form that lacks its end although all of the request has come.
        with raw(self.server.port, head + b"Content-Length: %d\r\n\r\n" % len(half) + half) as s:
            self.assertTrue(read_all(s).startswith(b"HTTP/1.1 400 "))
        self.assertEqual(os.listdir(self.stored), [])
        self.assertEqual(self.list(self.server), [])

    def test_curl_killed(self):
        path = self.file(8 << 20)
        curl = subprocess.Popen(["curl", "-sS", "--noproxy", "*", "--limit-rate", "1M", "-F", f"file=@{path}", self.url],
                                env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for("a file that arrives", self.arriving)
            self.assertIsNone(curl.poll())
        finally:
            curl.kill()
            curl.wait()
        wait_for("its end", lambda: os.listdir(self.stored) == [])
        Curl("-F", f"file=@{path};filename=again.bin", self.url)
        self.assertStored({"again.bin": path})

    def test_several_at_once(self):
        files = {}
        running = []
        for i in range(6):
            path = self.file(4 << 20, f"at-once-{i}", seed=i)
            files[path.name] = path
            running.append(subprocess.Popen(["curl", "-sS", "--noproxy", "*", "-F", f"file=@{path}", self.url],
                                            env=ENV, stdout=subprocess.DEVNULL))
        self.assertEqual([curl.wait(PATIENCE) for curl in running], [0] * 6)
        self.assertStored(files)

    def test_300_mb_in_4_mb(self):
        Curl("-F", f"file=@{self.file(1 << 20, 'warm.bin')}", self.url)
        path = self.new_dir() / "large.bin"
        digest = servers.write_noise(path, 300_000_000, seed=3)
        before = self.server.memory("VmRSS")
        got = self.fetch("-H", "Accept: application/json", "-F", f"file=@{path}", self.url)
        self.assertEqual(json.loads(got.body)[0]["size"], 300_000_000)
        # The high-water mark: not a moment of it is missed.
        self.assertLess(self.server.memory("VmHWM") - before, 4096)
        self.assertEqual(sha256(self.stored / "large.bin"), digest)
        copy = self.new_dir() / "copy"
        Curl("-o", copy, self.server.url + "/uploads/large.bin")
        self.assertEqual(sha256(copy), digest)
        self.assertLess(self.server.memory("VmHWM") - before, 4096)
        self.assertNames(self.stored, ["large.bin", "warm.bin"])


class ServerExample(Case):
    """The server example's upload, whose files go to uploads/ in its current directory."""

    def test_upload(self):
        port, cwd = free_port(), self.new_dir()
        server = self.start(Server("examples/server", port, port=port, cwd=cwd))
        path = self.new_dir() / "up.bin"
        path.write_bytes(noise(2_000_000))
        got = self.fetch("-F", "note=hello", "-F", f"file=@{path};filename=../../x/up.bin", server.url + "/upload")
        self.assertEqual((got.status, got.body), (200, b""))
        self.assertNames(cwd, ["uploads"])
        self.assertNames(cwd / "uploads", ["up.bin"])
        self.assertSameFile(cwd / "uploads" / "up.bin", path)
        # What is there already stays.
        got = self.fetch("-F", f"file=@{servers.WWW / 'numbers.txt'};filename=up.bin", server.url + "/upload")
        self.assertEqual(got.status, 403)
        self.assertSameFile(cwd / "uploads" / "up.bin", path)
        got = self.fetch("-T", "-", server.url + "/test", stdin=b"from standard input")
        self.assertTrue(got.body.endswith(b"<h2>body: from standard input</h2>\n"), got.body)


class OtherExamples(Case):
    """The multiprocess and https examples; tests/examples.rs asks them more."""

    def test_multiprocess(self):
        port, cwd = free_port(), self.new_dir()
        (cwd / "text.txt").write_bytes(TEXT)
        server = self.start(Server("examples/multiprocess", port, port=port, cwd=cwd))
        args = []
        for i in range(20):
            args += ["-o", cwd / str(i), f"{server.url}/text.txt?{i}"]
        Curl("-Z", "--parallel-immediate", "--parallel-max", 20, *args)
        for i in range(20):
            self.assertSameFile(cwd / str(i), cwd / "text.txt")
        os.kill(server.pid, signal.SIGINT)
        self.assertEqual(server.wait(10), 0)
        self.assertFalse(servers.can_connect(port))

    def test_https(self):
        cwd = self.new_dir()
        (cwd / "text.txt").write_bytes(TEXT)
        server = self.start(Server("examples/https", 0, PKI / "localhost.pem", PKI / "localhost.key", cwd=cwd))
        url = f"https://localhost:{server.port}/text.txt"
        self.assertTrue(self.fetch("--cacert", CA, url).body == TEXT)
        self.assertTrue(requests.get(url, verify=str(CA), timeout=PATIENCE).content == TEXT)
        os.kill(server.pid, signal.SIGTERM)
        self.assertEqual(server.wait(10), 0)


class Launcher(Case):
    """The launcher's command line, its log and its signals."""

    def run_launcher(self, *args, cwd=None):
        done = subprocess.run([servers.binary("ecohttpd"), *map(str, args)], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=PATIENCE, cwd=cwd, env=ENV)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def test_der(self):
        server = self.start(Server("ecohttpd", "-f", "-s", "127.0.0.1:0", "-C", PKI / "localhost.crt.der",
                                   "-K", PKI / "localhost.key.der", "-h", servers.WWW))
        got = self.fetch("--cacert", CA, f"https://localhost:{server.port}/")
        self.assertEqual(got.body, (servers.WWW / "index.html").read_bytes())

    def test_several_addresses(self):
        more = ["-p", "127.0.0.1:0", "-s", "127.0.0.1:0", "-C", PKI / "localhost.pem", "-K", PKI / "localhost.key"]
        server = self.start(launch(*more, "-h", servers.WWW, addresses=3))
        self.assertEqual(len({port for _, port in server.addresses}), 3)
        for scheme, (_, port) in zip(("http", "http", "https"), server.addresses):
            got = self.fetch("--cacert", CA, f"{scheme}://127.0.0.1:{port}/numbers.txt")
            self.assertEqual(got.body, (servers.WWW / "numbers.txt").read_bytes())

    def test_current_directory(self):
        cwd = self.new_dir()
        (cwd / "here.txt").write_text("here\n")
        server = self.start(launch(cwd=cwd))
        self.assertEqual(self.fetch(server.url + "/here.txt").body, b"here\n")

    def test_access_lines(self):
        site = self.new_dir()
        (site / "file.txt").write_bytes(b"0123456789")
        (site / "dir").mkdir()
        server = self.start(launch("--access-log", "stderr", "-h", site))
        url = server.url + "/file.txt"
        tag = self.fetch(url + "?q=a%20b").headers["etag"]
        self.fetch("-I", url)
        self.fetch("-r", "2-4", url)
        self.fetch("-H", f"If-None-Match: {tag}", url)
        missing = self.fetch(server.url + "/none")
        self.fetch("--http1.0", server.url + "/dir")
        put = self.fetch("-T", site / "file.txt", url)
        with raw(server.port, b"nonsense\r\n\r\n") as s:
            bad = len(read_all(s).partition(b"\r\n\r\n")[2])
        os.kill(server.pid, signal.SIGTERM)
        self.assertEqual(server.wait(), 0)
        self.assertEqual(
            [re.sub(r" - - \[[^]]+ \+0000\]", "", line) for line in server.lines[1:]],
            [
                '127.0.0.1 "GET /file.txt?q=a%20b HTTP/1.1" 200 10',
                '127.0.0.1 "HEAD /file.txt HTTP/1.1" 200 -',
                '127.0.0.1 "GET /file.txt HTTP/1.1" 206 3',
                '127.0.0.1 "GET /file.txt HTTP/1.1" 304 -',
                f'127.0.0.1 "GET /none HTTP/1.1" 404 {len(missing.body)}',
                '127.0.0.1 "GET /dir HTTP/1.0" 301 -',
                f'127.0.0.1 "PUT /file.txt HTTP/1.1" 405 {len(put.body)}',
                f'127.0.0.1 "-" 400 {bad}',
            ],
        )

    def test_quiet_without_an_access_log(self):
        server = self.start(launch("-h", servers.WWW))
        self.fetch(server.url + "/")
        self.fetch(server.url + "/none")
        os.kill(server.pid, signal.SIGTERM)
        self.assertEqual(server.wait(), 0)
        self.assertEqual(server.lines, [f"ecohttpd: listening on 127.0.0.1:{server.port}"])

    def slow_download(self, server, path):
        """A download that is under way, and takes some seconds more."""
        curl = subprocess.Popen(["curl", "-sS", "--noproxy", "*", "--limit-rate", "8M", "-o", path, server.url + "/big.bin"],
                                env=ENV, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(curl.stderr.close)
        self.addCleanup(curl.wait)
        self.addCleanup(curl.kill)
        wait_for("some of it", lambda: path.exists() and path.stat().st_size > 0)
        return curl

    def test_drains(self):
        site = self.new_dir()
        servers.write_noise(site / "big.bin", BIG)
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                server = self.start(launch("-h", site))
                with raw(server.port) as idle:
                    idle.sendall(b"HEAD /big.bin HTTP/1.1\r\nHost: x\r\n\r\n")
                    self.assertTrue(idle.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n"))
                    copy = self.new_dir() / "copy"
                    curl = self.slow_download(server, copy)
                    os.kill(server.pid, number)
                    wait_for("nobody listens", lambda: not servers.can_connect(server.port), 10)
                    # Whoever is idle is closed at once.
                    self.assertEqual(read_all(idle), b"")
                    self.assertEqual((server.process.poll(), curl.poll()), (None, None))
                    self.assertLess(copy.stat().st_size, BIG // 2)
                self.assertEqual(curl.wait(PATIENCE), 0, curl.stderr.read())
                self.assertSameFile(copy, site / "big.bin")
                self.assertEqual(server.wait(10), 0)

    def test_second_signal_ends_at_once(self):
        site = self.new_dir()
        servers.write_noise(site / "big.bin", BIG)
        server = self.start(launch("-h", site))
        curl = self.slow_download(server, self.new_dir() / "copy")
        os.kill(server.pid, signal.SIGTERM)
        wait_for("nobody listens", lambda: not servers.can_connect(server.port), 10)
        self.assertIsNone(server.process.poll())
        os.kill(server.pid, signal.SIGTERM)
        self.assertEqual(server.wait(2), 0)
        # curl is told that it did not get everything.
        self.assertNotEqual(curl.wait(PATIENCE), 0)

    def test_idle_server_ends_at_once(self):
        server = self.start(launch("-h", servers.WWW))
        os.kill(server.pid, signal.SIGTERM)
        self.assertEqual(server.wait(2), 0)


if __name__ == "__main__":
    servers.main()

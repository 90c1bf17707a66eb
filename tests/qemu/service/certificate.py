"""The certificate that is made where there is none."""

import os
import re
import shutil
import socket
import ssl
import subprocess

import router

# px5g as a router may have it, with openssl for its mathematics: FAULT says what it does badly.
PX5G = """#!/bin/sh
# px5g selfsigned -der -days N -newkey ec -pkeyopt ... -keyout KEY -out CERT -subj /CN=... -addext ...
fault='{fault}'
echo "$*" >> /tmp/px5g
names=
while [ $# -gt 0 ]; do
	case "$1" in
	-days) days="$2";;
	-keyout) key="$2";;
	-out) cert="$2";;
	-subj) subject="$2";;
	-addext)
		case "$2" in
		subjectAltName=*) names="$names,${{2#*=}}";;
		esac
		;;
	esac
	shift
done
[ "$fault" != fails ] || exit 1
[ "$fault" != nonsense ] || {{ echo nonsense > "$key"; echo nonsense > "$cert"; exit 0; }}
# The one of wolfSSL takes no notice of what it does not know.
[ "$fault" != "no names" ] || names=,DNS:other
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "$days" -subj "$subject" \\
	-outform der -out "$cert" -keyout "$key.pem" -addext "subjectAltName=${{names#,}}" \\
	-addext extendedKeyUsage=serverAuth -config /etc/px5g.cnf 2>/dev/null || exit 1
openssl pkey -in "$key.pem" -outform der -out "$key" && rm "$key.pem"
"""


class Certificates(router.Router):
    """What these tests have in common."""

    def openssl(self):
        """Puts the real openssl onto the router."""
        router.program(router.ROOT, shutil.which("openssl"), "usr/bin/openssl")

    def px5g(self, fault=""):
        self.openssl()
        os.rename(router.ROOT / "usr/bin/openssl", router.ROOT / "usr/libexec/openssl")
        self.write("/etc/px5g.cnf", "[req]\ndistinguished_name=d\n[d]\n")
        px5g = PX5G.format(fault=fault).replace("openssl ", "/usr/libexec/openssl ")
        self.write("/usr/sbin/px5g", px5g, 0o755)

    def text(self, path="/etc/uhttpd.crt", *more):
        file = router.ROOT / path.lstrip("/")
        form = "PEM" if file.read_bytes().startswith(b"-----") else "DER"
        command = ["openssl", "x509", "-in", file, "-inform", form, "-noout", *(more or ["-text"])]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def served(self):
        """The certificate that a client gets."""
        return ssl.get_server_certificate(("127.0.0.1", 443), timeout=10)

    def good(self, days=397, names=("DNS:openwrt", "DNS:openwrt.lan", "IP Address:192.168.1.1")):
        """Whether the certificate is what it has to be, and is served."""
        text = self.text()
        self.assertIn("Public-Key: (256 bit)", text)
        self.assertIn("NIST CURVE: P-256", text)
        self.assertIn("ecdsa-with-SHA256", text)
        self.assertIn("TLS Web Server Authentication", text)
        self.assertNotIn("CA:TRUE", text)
        said = re.search(r"Subject Alternative Name:[^\n]*\n\s*([^\n]*)", text).group(1).split(", ")
        self.assertEqual(sorted(said), sorted(names))
        dates = dict(line.split("=", 1) for line in self.text("/etc/uhttpd.crt", "-dates").splitlines())
        begin, end = (ssl.cert_time_to_seconds(dates[name]) for name in ("notBefore", "notAfter"))
        self.assertLessEqual(end - begin, days * 86400 + 600)
        self.assertGreater(end - begin, (days - 1) * 86400)
        self.assertEqual((router.ROOT / "etc/uhttpd.key").stat().st_mode & 0o777, 0o600)
        self.assertEqual((router.ROOT / "etc/uhttpd.crt").stat().st_mode & 0o777, 0o644)
        # A client that trusts it takes it for the names that are in it.
        self.serves(443)
        context = ssl.create_default_context(cadata=self.served())
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        with socket.create_connection(("127.0.0.1", 443), timeout=10) as raw:
            with context.wrap_socket(raw, server_hostname="openwrt.lan") as con:
                self.assertIn(con.version(), ("TLSv1.2", "TLSv1.3"))

    def leftovers(self):
        return [str(path) for path in (router.ROOT / "etc").glob("*.new")] + \
            [str(path) for path in (router.ROOT / "tmp").glob("tmp.*")]


class Making(Certificates):
    def test_by_launcher(self):
        self.start()
        self.good()
        self.logged("/etc/uhttpd.crt was made by ecohttpd for openwrt openwrt.lan 192.168.1.1")
        self.assertEqual(self.leftovers(), [])

    def test_by_openssl(self):
        self.openssl()
        self.start()
        self.good()
        self.logged("/etc/uhttpd.crt was made by openssl")
        self.assertEqual(self.leftovers(), [])

    def test_by_px5g(self):
        self.px5g()
        self.start()
        self.good()
        self.logged("/etc/uhttpd.crt was made by px5g")
        self.assertEqual(self.leftovers(), [])
        # Names are last: with anything behind them the one of mbedTLS goes round in a circle.
        self.assertRegex(self.read("/tmp/px5g"), r"-addext extendedKeyUsage=serverAuth"
                         r"( -addext subjectAltName=(DNS|IP):[^ ]+){3}\n$")

    def test_what_px5g_does_badly(self):
        for fault in "fails", "nonsense", "no names":
            with self.subTest(fault):
                for name in "crt", "key":
                    (router.ROOT / f"etc/uhttpd.{name}").unlink(missing_ok=True)
                self.px5g(fault)
                os.rename(router.ROOT / "usr/libexec/openssl", router.ROOT / "usr/bin/openssl")
                px5g = self.read("/usr/sbin/px5g")
                self.write("/usr/sbin/px5g", px5g.replace("/usr/libexec/openssl", "/usr/bin/openssl"))
                self.sh("/usr/libexec/ecohttpd-cert look /etc/uhttpd.crt /etc/uhttpd.key")
                self.logged("was made by openssl", last=True)
                self.assertIn("DNS:openwrt.lan", self.text())

    def test_openssl_fails(self):
        self.write("/usr/bin/openssl", "#!/bin/sh\nexit 1\n", 0o755)
        self.start()
        self.logged("/etc/uhttpd.crt was made by ecohttpd")
        self.good()

    def test_no_tool_at_all(self):
        """HTTP is served nonetheless."""
        real = router.ROOT / "usr/sbin/ecohttpd"
        os.rename(real, router.ROOT / "usr/sbin/ecohttpd.real")
        self.write("/usr/sbin/ecohttpd", '#!/bin/sh\ncase "$1" in --self-signed) exit 1;; esac\n'
                   'exec /usr/sbin/ecohttpd.real "$@"\n', 0o755)
        said = self.service("start")
        self.assertIn("no certificate for /etc/uhttpd.crt: neither px5g, openssl nor ecohttpd", said)
        self.serves()
        self.assertFalse(self.there("/etc/uhttpd.crt") or self.there("/etc/uhttpd.key"))
        self.assertEqual(self.leftovers(), [])

    def test_names(self):
        """The names of the router's own configuration, and those of its owner; days are 397 at most."""
        self.write("/etc/config/system", "config system\n\toption hostname 'gate'\n")
        self.write("/etc/config/dhcp", "config dnsmasq\n\toption domain 'home.arpa'\n")
        self.configure(self.read("/etc/config/ecohttpd").replace(
            "option days '397'", "option days '100'\n\tlist names 'router.example.org'\n"
            "\tlist names '10.1.2.3'\n\tlist names 'openwrt.lan'"))
        self.start()
        self.good(100, ["DNS:gate", "DNS:gate.home.arpa", "DNS:router.example.org", "DNS:openwrt.lan",
                        "IP Address:10.1.2.3", "IP Address:192.168.1.1"])

    def test_at_most_397_days(self):
        for days in "730", "0", "many", "99999999999", "-1":
            self.sh("rm -f /etc/uhttpd.crt /etc/uhttpd.key")
            self.configure(f"config cert defaults\n\toption days '{days}'\n")
            self.sh("/usr/libexec/ecohttpd-cert look /etc/uhttpd.crt /etc/uhttpd.key")
            self.logged("and 397 days", last=True)

    def test_hostile_names(self):
        """What is no name is left out, and is no option or code of any tool."""
        for tool in "launcher", "openssl":
            if tool == "openssl":
                self.openssl()
            for name in ("$(touch /tmp/owned)", "a,DNS:evil", "-subj", "x" * 64, "999.1.1.1",
                         "1.2.3", "a b", "a\nb", "a/CN=b", "10.0.0.08", "10.0.0.010", "::::", ":", "1::2::3",
                         "fd00:", "fd00::12345", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8::", "::1.2.3.256",
                         "::a1.2.3.4", "::", "0.0.0.0", "1.2.3.4::", "fe80::1%lo",
                         "x'; touch /tmp/owned"):
                self.sh("rm -f /etc/uhttpd.crt /etc/uhttpd.key")
                quoted = name.replace("'", "'\\''")
                self.write("/etc/config/system", f"config system\n\toption hostname '{quoted}'\n")
                self.configure(f"config cert defaults\n\tlist names '{quoted}'\n\tlist names 'good.lan'\n")
                said = self.sh("/usr/libexec/ecohttpd-cert look /etc/uhttpd.crt /etc/uhttpd.key")
                self.assertIn("is no host name, and is left out of the certificate", said)
                self.assertIn("DNS:good.lan", self.text())
                self.assertNotIn("evil", self.text())
        self.assertFalse(self.there("/tmp/owned"))

    def test_addresses(self):
        """Whatever forms an address has, it is put in."""
        names = ["::1", "fd00::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::ffff:1.2.3.4", "FD00::A:1"]
        lines = "".join(f"\tlist names '{name}'\n" for name in names)
        self.configure(f"config cert defaults\n{lines}")
        said = self.sh("/usr/libexec/ecohttpd-cert look /etc/uhttpd.crt /etc/uhttpd.key")
        self.assertNotIn("left out", said)
        # With the address of lan.
        self.assertEqual(self.text().count("IP Address:"), len(names) + 1)

    def test_one_file_for_both(self):
        """What is not there is not made in one file, but the owner may have one."""
        one = ("option cert '/etc/one.pem'", "option key '/etc/one.pem'")
        self.main("list listen_https '443'", *one)
        message = "section 'main': option 'cert' and option 'key': /etc/one.pem does not hold both"
        self.assertIn(message, self.service("check", expect=2))
        self.assertIn(message, self.service("start"))
        self.assertIn(message, self.service("reload"))
        self.assertIn("no certificate for /etc/one.pem: option 'cert' and option 'key' name the same file",
                      self.service("renew"))
        self.assertFalse(self.there("/etc/one.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-subj", "/CN=own", "-keyout", router.ROOT / "etc/key.pem",
                        "-out", router.ROOT / "etc/cert.pem"], check=True, capture_output=True)
        self.write("/etc/one.pem", self.read("/etc/cert.pem") + self.read("/etc/key.pem"), 0o600)
        self.assertEqual(self.service("check"), "")
        self.service("start")
        self.serves(443)

    def test_other_places(self):
        self.main("list listen_https '443'", "option cert '/etc/my certs/a.crt'",
                  "option key '/etc/my certs/a.key'")
        self.service("start")
        self.serves(443)
        self.assertIn("DNS:openwrt.lan", self.text("/etc/my certs/a.crt"))

    def test_one_for_two_sections(self):
        self.configure("config ecohttpd a\n\tlist listen_https '443'\n"
                       "config ecohttpd b\n\tlist listen_https '444'\n")
        self.service("start")
        self.serves(443)
        self.serves(444)
        self.assertEqual(self.log().count("was made by"), 1)

    def test_not_without_https(self):
        self.main("option cert '/etc/uhttpd.crt'")
        self.start()
        self.assertFalse(self.there("/etc/uhttpd.crt"))


class Owners(Certificates):
    """What was not made here is never touched."""

    def own(self, days="1"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-subj", "/CN=own", "-days", days,
                        "-keyout", router.ROOT / "etc/uhttpd.key",
                        "-out", router.ROOT / "etc/uhttpd.crt"], check=True, capture_output=True)

    def same(self, do):
        files = [router.ROOT / "etc/uhttpd.crt", router.ROOT / "etc/uhttpd.key"]
        before = [file.read_bytes() if file.exists() else None for file in files]
        said = do()
        self.assertEqual([file.read_bytes() if file.exists() else None for file in files], before)
        return said

    def test_about_to_end(self):
        self.own()
        self.same(self.start)
        self.same(lambda: self.service("renew"))
        self.same(lambda: self.service("renew now"))
        self.assertFalse(self.there("/etc/ecohttpd/made"))

    def test_in_the_place_of_ours(self):
        self.start()
        self.own()
        self.same(lambda: self.service("renew now"))
        own = ssl.PEM_cert_to_DER_cert((router.ROOT / "etc/uhttpd.crt").read_text())
        self.wait(lambda: ssl.PEM_cert_to_DER_cert(self.served()) == own, "the owner's certificate")

    def test_without_its_key(self):
        self.own()
        (router.ROOT / "etc/uhttpd.key").unlink()
        said = self.same(lambda: self.service("start"))
        self.assertIn("the key /etc/uhttpd.key of the certificate /etc/uhttpd.crt is missing; nothing", said)

    def test_key_alone(self):
        self.own()
        (router.ROOT / "etc/uhttpd.crt").unlink()
        said = self.same(lambda: self.service("start"))
        self.assertIn("the certificate /etc/uhttpd.crt of the key /etc/uhttpd.key is missing; nothing", said)

    def test_ours_is_missing(self):
        """One that was made here is made again, whatever its path."""
        for path in "/etc/made", "/etc/made by us":
            look = f"/usr/libexec/ecohttpd-cert look '{path}.crt' '{path}.key'"
            self.sh(look)
            self.sh(f"rm '{path}.crt'")
            self.assertIn("was made by", self.sh(look))

    def test_empty_files(self):
        """As a loss of power leaves them: nobody's."""
        self.write("/etc/uhttpd.crt", "")
        self.write("/etc/uhttpd.key", "")
        self.start()
        self.good()

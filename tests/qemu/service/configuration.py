"""From sections of uci to what the launcher is told and does."""

import re
import socket

import router


class Configuration(router.Router):
    def test_shipped(self):
        """The shipped configuration serves at once, as uhttpd's does."""
        self.start()
        self.assertEqual(self.get().body, b"<h1>hello</h1>\n")
        self.assertEqual(self.get(host="::1").status, 200)
        self.assertEqual(self.get("/cgi-bin/hello").body, b"from a script\n")
        self.assertEqual(
            [line for line in self.options() if not line.startswith(("cert", "key", "listen_https"))],
            ["home /www", "realm OpenWrt", "listen_http 0.0.0.0:80", "listen_http [::]:80",
             "cgi_prefix /cgi-bin", "max_requests 3", "max_connections 100", "script_timeout 60",
             "network_timeout 30", "http_keepalive 20", "tcp_keepalive 1", "rfc1918_filter"],
        )
        self.assertEqual((router.ROOT / "var/etc/ecohttpd/main.options").stat().st_mode & 0o777, 0o600)
        self.assertEqual((router.ROOT / "var/etc/ecohttpd").stat().st_mode & 0o777, 0o700)
        self.assertIn("running", self.service("status"))

    def test_no_more_than_needed(self):
        """A section of nothing but an address has the defaults of uhttpd's init script."""
        self.main()
        self.start()
        self.assertEqual(self.options(), ["home /www", "realm OpenWrt", "listen_http 0.0.0.0:80"])

    def test_every_option(self):
        self.write("/etc/rules.json", '{"fallback": [["rewrite", "/index.html"]]}')
        self.write("/etc/own.conf", "I:own.html\n")
        single = {
            "cgi_prefix": "/scripts", "error_page": "/missing.html", "realm": "the realm",
            "config": "/etc/own.conf", "charset": "ISO-8859-1", "access_log": "/tmp/access.log",
            "log_format": "combined", "max_requests": "5", "max_connections": "50",
            "script_timeout": "61", "network_timeout": "31", "http_keepalive": "21",
            "tcp_keepalive": "2", "spool_limit": "1000", "file_cache": "0", "home": "/www",
            "cert": "/etc/own.crt", "key": "/etc/own.key", "redirect_status": "308",
            "ciphers": "TLS_AES_128_GCM_SHA256",
        }
        flags = ["redirect_https", "rfc1918_filter", "no_symlinks", "no_dirlists", "gzip"]
        lists = {
            "listen_http": ["127.0.0.1:80", "[::1]:80"], "listen_https": ["127.0.0.1:443"],
            "index_page": ["a.html", "b c.html"], "interpreter": [".sh=/bin/sh", ".x=/bin/cat"],
            "alias": ["/old=/new", "/luci"], "json_script": ["/etc/rules.json"],
            "header": ["X-One: 1", "X-Two: a; b"], "redirect_host": ["a.lan=https://b.lan"],
        }
        lines = [f"option {name} '{value}'" for name, value in single.items()]
        lines += [f"option {name} '1'" for name in flags]
        lines += [f"list {name} '{value}'" for name, values in lists.items() for value in values]
        self.main(*lines)
        self.openssl("/etc/own.crt", "/etc/own.key")
        self.start()
        expected = [f"{name} {value}" for name, value in single.items()] + flags
        expected += [f"{name} {value}" for name, values in lists.items() for value in values]
        self.assertEqual(sorted(self.options()), sorted(expected))
        answer = self.get("/", port=443, tls=router.any_certificate())
        self.assertEqual((answer.fields["X-One"], answer.fields["X-Two"]), ("1", "a; b"))
        self.assertEqual(self.get().status, 308)

    def openssl(self, cert, key):
        import subprocess
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-subj", "/CN=own", "-days", "30", "-keyout", router.ROOT / key[1:],
             "-out", router.ROOT / cert[1:]],
            check=True, capture_output=True,
        )

    def test_all_of_uhttpd_is_known(self):
        """No option of uhttpd's is called unknown; those that do nothing here are left out."""
        names = """enabled listen_http listen_https cert key redirect_https home rfc1918_filter max_requests
            max_connections cgi_prefix interpreter alias lua_prefix lua_handler ucode_prefix ubus_prefix
            ubus_socket ubus_cors no_ubusauth script_timeout network_timeout http_keepalive tcp_keepalive
            error_page index_page realm config httpauth no_symlinks no_dirlists json_script""".split()
        self.main("list lua_prefix '/cgi-bin/luci=/usr/lib/lua/luci/sgi/uhttpd.lua'",
                  "list ucode_prefix '/cgi-bin/luci=/usr/share/ucode/luci/uhttpd.uc'",
                  "option ubus_prefix '/ubus'", "option ubus_socket '/var/run/ubus/ubus.sock'",
                  "option ubus_cors '1'", "option no_ubusauth '0'")
        self.start()
        self.assertNotIn("there is no option", self.log())
        for name in "lua_prefix", "ucode_prefix", "ubus_prefix", "ubus_socket", "ubus_cors":
            self.logged(f"option '{name}' is left out")
        self.assertFalse([line for line in self.options() if re.match("ubus|lua|ucode|no_ubus", line)])
        table = self.read("/usr/lib/ecohttpd/options.sh")
        for name in names:
            self.assertRegex(table, rf"\b{name}:")

    def test_flags_are_off(self):
        for off in "0", "off", "false", "no", "disabled":
            self.main(f"option no_dirlists '{off}'")
            self.service("check")
            self.start()
            self.assertNotIn("no_dirlists", self.options())
        self.main("option no_dirlists 'enabled'")
        self.start()
        self.assertIn("no_dirlists", self.options())

    def test_lists_as_options(self):
        """As uhttpd's script takes them: split at spaces."""
        self.main("option listen_http '127.0.0.1:80 127.0.0.1:81'", "option index_page 'one.html *.html'",
                  "option header 'X-A: b c'")
        self.start()
        self.serves(81)
        self.assertIn("index_page one.html", self.options())
        self.assertIn("index_page *.html", self.options())
        self.assertIn("header X-A: b c", self.options())

    def test_hostname_is_the_realm(self):
        self.write("/etc/config/system", "config system\n\toption hostname 'my router'\n")
        self.main()
        self.start()
        self.assertIn("realm my router", self.options())

    def test_sections(self):
        """A process for each section that is enabled; others are left alone when one changes."""
        two = """
            config ecohttpd one
                list listen_http '127.0.0.1:80'
            config ecohttpd
                list listen_http '127.0.0.1:81'
                option home '/www/cgi-bin'
            config ecohttpd three
                list listen_http '127.0.0.1:82'
                option enabled '{}'
        """
        self.configure(two.format("0"))
        self.start()
        self.serves(81)
        self.assertFalse(router.connects(82))
        first = self.pid("one")
        self.configure(two.format("1"))
        self.service("reload")
        self.serves(82)
        self.assertEqual(self.pid("one"), first)
        self.configure("config ecohttpd one\n\tlist listen_http '127.0.0.1:80'\n")
        self.service("reload")
        self.wait(lambda: not router.connects(82) and not router.connects(81), "the end of two")
        self.assertEqual(self.pid("one"), first)
        left = sorted(path.name for path in (router.ROOT / "var/etc/ecohttpd").iterdir())
        self.assertEqual(left, ["one.options", "one.procd"])

    def test_start_of_one_section(self):
        self.configure("config ecohttpd one\n\tlist listen_http '127.0.0.1:80'\n"
                       "config ecohttpd two\n\tlist listen_http '127.0.0.1:81'\n")
        self.service("start two")
        self.serves(81)
        self.assertFalse(router.connects(80))
        self.service("start one")
        self.serves(80)
        self.assertTrue(router.connects(81))

    def test_announced(self):
        self.main("list listen_http '0.0.0.0:80'", "list listen_http '[::]:80'",
                  "list listen_http '127.0.0.1:8080'")
        self.start()
        self.assertEqual(self.parameter("data"), ["data.mdns.http_80=_http._tcp.local 80 "])
        self.main("option mdns '0'")
        self.service("reload")
        self.assertIsNone(self.parameter("data"))


class Hostile(router.Router):
    """Values are values, whatever is in them."""

    NASTY = [
        "$(touch /tmp/owned)", "`touch /tmp/owned`", "a; touch /tmp/owned", "a' ; touch /tmp/owned ; '",
        'a" ; touch /tmp/owned ; "', "${PATH}", "a && touch /tmp/owned", "-f", "--check", "\\", "*", "%s%n",
        "# no comment", "a | touch /tmp/owned", "> /tmp/owned",
    ]

    def quoted(self, value):
        return "'" + value.replace("'", "'\\''") + "'"

    def test_in_a_realm(self):
        for value in self.NASTY:
            with self.subTest(value):
                self.main(f"option realm {self.quoted(value)}", "list httpauth all")
                self.configure(self.read("/etc/config/ecohttpd") + "config httpauth all\n"
                               "\toption prefix '/'\n\toption username 'u'\n\toption password 'p'\n")
                self.start()
                self.assertIn(f"realm {value}", self.options())
                asked = 'Basic realm="' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
                self.wait(lambda: self.get().fields["WWW-Authenticate"].startswith(asked), asked)
        self.assertFalse(self.there("/tmp/owned"))

    def test_everywhere(self):
        """In every option, whether it is taken or refused, nothing is run."""
        names = ["home", "cert", "key", "cgi_prefix", "error_page", "config", "charset", "ciphers",
                 "access_log", "log_format", "user", "max_requests", "script_timeout", "redirect_status",
                 "gzip", "jail", "enabled"]
        lists = ["listen_http", "listen_https", "index_page", "interpreter", "alias", "json_script",
                 "header", "redirect_host", "httpauth"]
        for value in self.NASTY[:7]:
            text = ""
            for number, name in enumerate(names):
                text += f"config ecohttpd s{number}\n\tlist listen_http '127.0.0.1:0'\n"
                text += f"\toption {name} {self.quoted(value)}\n"
            for number, name in enumerate(lists):
                text += f"config ecohttpd l{number}\n\tlist listen_http '127.0.0.1:0'\n"
                text += f"\tlist {name} {self.quoted(value)}\n\tlist {name} 'x'\n"
            self.configure(text)
            self.run_there("/etc/init.d/ecohttpd check")
            self.service("start")
            self.assertFalse(self.there("/tmp/owned"), value)

    def test_no_line_of_their_own(self):
        for value in "a\nlisten_http 127.0.0.1:81", "a\rb", "a\tb", "a\x7fb":
            self.main(f"option realm '{value}'")
            said = self.service("start")
            self.assertIn("section 'main': option 'realm': there is a line break or another control", said)
            self.assertIn("it is not started", said)
        self.assertFalse(router.connects(81))
        self.assertFalse(router.connects(80))

    def test_paths(self):
        for name in "a b", "-x", "$(touch /tmp/owned)", "it's", "ü":
            self.write(f"/www/{name}/index.html", "there\n")
            (router.ROOT / "www" / name).chmod(0o755)
            (router.ROOT / "www" / name / "index.html").chmod(0o644)
            self.main(f"option home {self.quoted('/www/' + name)}")
            self.start()
            self.wait(lambda: self.get().body == b"there\n", name)
        self.assertFalse(self.there("/tmp/owned"))

    def test_names_of_sections(self):
        """uci refuses other names than letters, digits and underscores; the file stays unread then."""
        self.configure("config ecohttpd '../../tmp/x'\n\tlist listen_http '127.0.0.1:81'\n")
        self.run_there("/etc/init.d/ecohttpd start")
        self.assertFalse([name for name in ("/tmp/x.options", "/tmp/x.procd") if self.there(name)])

    def test_a_client_meanwhile(self):
        """Whatever is refused, who is connected stays connected."""
        self.main()
        self.start()
        with socket.create_connection(("127.0.0.1", 80), timeout=10) as con:
            self.main("option realm 'a\nb'")
            self.service("reload")
            con.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertTrue(con.recv(100).startswith(b"HTTP/1.1 200"))

"""httpauth: who may, by sections of uci."""

import base64

import router


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Passwords(router.Router):
    def auth(self, prefix="/", username="u", password="p", name="one"):
        quoted = password.replace("'", "'\\''")
        return (f"config httpauth {name}\n\toption prefix '{prefix}'\n\toption username '{username}'\n"
                f"\toption password '{quoted}'\n")

    def set(self, *sections, lines=("list httpauth one",)):
        self.main(*lines)
        self.configure(self.read("/etc/config/ecohttpd") + "".join(sections))

    def test_section(self):
        self.set(self.auth())
        self.start()
        self.assertEqual(self.get().status, 401)
        self.assertEqual(self.get(Authorization=basic("u", "wrong")).status, 401)
        self.assertEqual(self.get(Authorization=basic("u", "p")).status, 200)
        self.assertIn("config /var/etc/ecohttpd/main.httpd", self.options())
        self.assertEqual((router.ROOT / "var/etc/ecohttpd/main.httpd").stat().st_mode & 0o777, 0o600)

    def test_changed_password(self):
        self.set(self.auth())
        self.start()
        pid = self.pid()
        self.set(self.auth(password="q"))
        self.service("reload")
        self.wait(lambda: self.get(Authorization=basic("u", "q")).status == 200, "the new password")
        self.assertEqual(self.get(Authorization=basic("u", "p")).status, 401)
        self.assertEqual(self.pid(), pid)

    def test_taken_away(self):
        self.set(self.auth())
        self.start()
        self.main()
        self.service("reload")
        self.wait(lambda: self.get().status == 200, "a site without a password")
        self.assertFalse(self.there("/var/etc/ecohttpd/main.httpd"))

    def test_passwords_are_no_code(self):
        for password in "`touch /tmp/owned`", "x$(touch /tmp/owned)", "a'b\"c", "a b c", "a:b", "\\n", "ü#;":
            with self.subTest(password):
                self.set(self.auth(password=password))
                self.start()
                self.wait(lambda: self.get(Authorization=basic("u", password)).status == 200, password)
                self.assertEqual(self.get(Authorization=basic("u", "p")).status, 401)
        self.assertFalse(self.there("/tmp/owned"))

    def test_account(self):
        self.set(self.auth(username="root", password="$p$root"))
        self.start()
        self.assertEqual(self.get(Authorization=basic("root", "secret123")).status, 200)
        self.assertEqual(self.get(Authorization=basic("root", "secret124")).status, 401)

    def test_with_httpd_conf(self):
        """/etc/httpd.conf is appended, and what changes in it counts, too."""
        self.write("/etc/httpd.conf", "/cgi-bin:v:w\n")
        self.set(self.auth(prefix="/index.html"))
        self.start()
        self.assertEqual(self.get("/index.html", Authorization=basic("u", "p")).status, 200)
        self.assertEqual(self.get("/cgi-bin/hello").status, 401)
        self.write("/etc/httpd.conf", "/cgi-bin:v:x\n")
        self.service("reload")
        self.wait(lambda: self.get("/cgi-bin/hello", Authorization=basic("v", "x")).status == 200, "x")

    def test_httpd_conf_alone(self):
        """Without httpauth it is read as it is; one that comes later is found by a reload."""
        self.main()
        self.start()
        self.write("/etc/httpd.conf", "/:v:w\n")
        self.service("reload")
        self.wait(lambda: self.get().status == 401, "the password of /etc/httpd.conf")

    def test_own_file_wins(self):
        self.write("/etc/own.conf", "/:v:w\n")
        self.set(self.auth(), lines=("list httpauth one", "option config '/etc/own.conf'"))
        self.assertIn("section 'main': httpauth is not used: config '/etc/own.conf'", self.service("start"))
        self.serves()
        self.assertEqual(self.get(Authorization=basic("v", "w")).status, 200)
        self.assertEqual(self.get(Authorization=basic("u", "p")).status, 401)

    def test_mistakes(self):
        """What would leave a path open is no password protection."""
        whole = self.auth()
        for section, message in {
            "": "option 'httpauth': there is no `config httpauth' of the name 'one'",
            whole.replace("option password 'p'", ""): "httpauth 'one': it takes a prefix, a username and",
            whole.replace("option prefix '/'", ""): "httpauth 'one': it takes a prefix, a username and",
            self.auth(prefix="x"): "httpauth 'one': its prefix does not begin with a slash",
            self.auth(username="a:b"): "httpauth 'one': there is a colon in its prefix or username",
            self.auth(password="a\nb"): "httpauth 'one': there is a line break",
        }.items():
            with self.subTest(message):
                self.set(section)
                said = self.service("start")
                self.assertIn(f"section 'main': {message}", said)
                self.assertIn("it is not started", said)
                self.assertFalse(router.connects(80))

"""Another user and a jail, for sections that do not serve LuCI."""

import json
import os
import time

import router

UJAIL = """#!/bin/sh
# Says how it was called, and becomes what follows the two dashes.
printf '%s\\n' "$@" > /tmp/ujail
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""


class User(router.Router):
    def uid(self):
        status = self.read(f"/proc/{self.pid()}/status")
        return [line.split()[1] for line in status.splitlines() if line.startswith("Uid:")][0]

    def test_user(self):
        """It binds port 80 as root and serves as somebody else; procd restarts it when anything changes."""
        self.main("option user 'nobody'")
        self.start()
        self.wait(lambda: self.uid() == "65534", "nobody")
        self.assertIsNone(self.parameter("reload_signal"))
        self.assertIsNone(self.parameter("user"))
        self.assertEqual(self.get().status, 200)
        pid = self.pid()
        self.service("reload")
        self.assertEqual(self.pid(), pid)
        self.main("option user 'nobody'", "option home '/www/cgi-bin'")
        self.service("reload")
        self.wait(lambda: self.pid() not in (0, pid), "another process")
        self.serves()
        self.assertEqual(self.get("/hello").status, 200)

    def test_to_a_user_and_back(self):
        """That takes a new process, though one of root's would only get a signal."""
        self.main()
        self.start()
        pid = self.pid()
        self.main("option user 'nobody'")
        self.service("reload")
        self.wait(lambda: self.pid() not in (0, pid), "another process")
        self.serves()
        self.wait(lambda: self.uid() == "65534", "nobody")
        pid = self.pid()
        self.main()
        self.service("reload")
        self.wait(lambda: self.pid() not in (0, pid), "another process")
        self.serves()
        self.assertEqual(self.uid(), "0")
        self.assertEqual(self.parameter("reload_signal"), ["1"])

    def test_root_is_nobody_else(self):
        self.main("option user 'root'")
        self.start()
        self.assertEqual(self.parameter("reload_signal"), ["1"])
        self.assertEqual(self.uid(), "0")


class Jail(router.Router):
    def test_without_ujail(self):
        self.main("option jail '1'")
        said = self.service("start")
        self.assertIn("section 'main': option 'jail': there is no /sbin/ujail; it comes with", said)
        self.assertIn("it is not started", said)

    def test_jail(self):
        self.write("/sbin/ujail", UJAIL, 0o755)
        self.write("/etc/rules.json", '{"fallback": [["rewrite", "/index.html"]]}')
        self.write("/srv/index.html", "served\n")
        os.chmod(router.ROOT / "srv", 0o755)
        os.chmod(router.ROOT / "srv/index.html", 0o644)
        os.mkdir(router.ROOT / "tmp/logs")
        self.main("list listen_http '80'", "option jail '1'", "option home '/srv'", "option user 'nobody'",
                  "list json_script '/etc/rules.json'", "option access_log '/tmp/logs/access'")
        self.start()
        self.assertEqual(self.get().body, b"served\n")
        words = self.read("/tmp/ujail").splitlines()
        flags, command = words[:words.index("--")], words[words.index("--") + 1:]
        self.assertEqual(command, ["/usr/sbin/ecohttpd", "-f", "--options", "/var/etc/ecohttpd/main.options"])
        for flag in "-c", "-o", "-E":
            self.assertIn(flag, flags)
        pairs = list(zip(flags, flags[1:]))
        for pair in [("-n", "ecohttpd-main"), ("-t", "35"), ("-C", "/etc/capabilities/ecohttpd.json"),
                     ("-r", "/srv"), ("-r", "/var/etc/ecohttpd/main.options"), ("-r", "/etc/rules.json"),
                     ("-w", "/tmp/logs")]:
            self.assertIn(pair, pairs)
        self.assertNotIn(("-r", "/etc/httpd.conf"), pairs)
        self.assertEqual(flags.count("-w"), 1)
        # ujail itself has these only for a user that it changes to.
        for path in "/etc/passwd", "/etc/group", "/etc/hosts":
            self.assertIn(("-r", path), pairs)
        self.assertNotIn("-l", flags)
        self.assertIsNone(self.parameter("reload_signal"))

    def test_log_in_a_jail(self):
        """ujail opens what it mounts, which no socket can be: that of the log has a flag."""
        self.write("/sbin/ujail", UJAIL, 0o755)
        self.main("list listen_http '80'", "option jail '1'", "option access_log 'syslog'")
        self.start()
        self.assertEqual(self.get().status, 200)
        words = self.read("/tmp/ujail").splitlines()
        self.assertIn("-l", words)
        self.assertNotIn("/dev/log", words)

    def test_capabilities(self):
        sets = json.loads(self.read("/etc/capabilities/ecohttpd.json"))
        for name in "bounding", "effective", "permitted":
            self.assertEqual(sets[name], ["CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID"])
        self.assertEqual((sets["inheritable"], sets["ambient"]), ([], []))

    def test_names_that_cannot_be(self):
        self.write("/sbin/ujail", UJAIL, 0o755)
        self.write("/srv/a b/index.html", "x")
        self.main("option jail '1'", "option home '/srv/a b'")
        said = self.service("start")
        self.assertIn("option 'jail': '/srv/a b' cannot be in a jail because of its name", said)

    def test_what_a_jail_cannot_have(self):
        self.write("/sbin/ujail", UJAIL, 0o755)
        self.main("option jail '1'", "option access_log '/access.log'")
        said = self.service("check", expect=2)
        self.assertIn("option 'jail': /access.log cannot be written in a jail, whose / is read-only", said)
        self.main("list listen_http 'unix:/var/run/web'", "option jail '1'")
        self.assertIn("option 'jail': nobody could reach a unix: address", self.service("check", expect=2))

    def test_scripts(self):
        self.write("/sbin/ujail", UJAIL, 0o755)
        self.main("option jail '1'")
        self.assertIn("scripts in /www/cgi-bin have no programs to run with in a jail", self.service("start"))

    def test_into_a_jail(self):
        self.write("/sbin/ujail", UJAIL, 0o755)
        self.main()
        self.start()
        pid = self.pid()
        self.main("option jail '1'")
        self.service("reload")
        self.wait(lambda: self.pid() not in (0, pid) and self.there("/tmp/ujail"), "a jail")
        time.sleep(0.2)
        self.serves()

"""Start, reload, respawn and stop, as procd does them."""

import os
import signal
import socket
import threading
import time

import router


class Supervision(router.Router):
    def test_unchanged(self):
        """A reload that changes nothing does nothing, however often it comes."""
        self.start()
        pid = self.pid()
        self.service("reload")
        self.service("reload")
        self.service("start")
        time.sleep(0.5)
        self.assertEqual(self.pid(), pid)
        self.assertNotIn("reloaded", self.log())

    def test_everything_by_a_signal(self):
        """All of the options change, addresses among them, and a download goes on."""
        self.main("option realm 'one'")
        self.start()
        pid = self.pid()
        with socket.create_connection(("127.0.0.1", 80), timeout=10) as con:
            con.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            got = con.recv(1000)
            self.main("list listen_http '127.0.0.1:81'", "option home '/www/cgi-bin'",
                      "option no_dirlists '1'")
            self.service("reload")
            self.serves(81)
            self.wait(lambda: not router.connects(80), "the end of port 80")
            while more := con.recv(1 << 16):
                got += more
        self.assertEqual(len(got.split(b"\r\n\r\n", 1)[1]), 4 << 20)
        self.assertEqual(self.pid(), pid)
        self.assertEqual(self.get(port=81).status, 403)

    def test_many_reloads(self):
        """No request fails while the configuration goes to and fro."""
        self.main()
        self.start()
        failures, done = [], threading.Event()

        def ask():
            while not done.is_set():
                try:
                    if self.get().status != 200:
                        failures.append("status")
                except OSError as e:
                    failures.append(repr(e))

        client = threading.Thread(target=ask)
        client.start()
        for turn in range(10):
            self.main(f"option realm 'turn {turn}'", "list listen_http '0.0.0.0:80'",
                      f"list listen_http '127.0.0.1:{8100 + turn % 2}'")
            self.service("reload")
        done.set()
        client.join()
        self.assertEqual(failures, [])
        self.assertGreaterEqual(self.log().count("reloaded"), 5)

    def test_two_reloads_at_once(self):
        self.main()
        self.start()
        self.main("option realm 'new'")
        self.sh("/etc/init.d/ecohttpd reload & /etc/init.d/ecohttpd reload & wait")
        self.assertIn("realm new", self.options())
        self.assertEqual(self.get().status, 200)

    def test_killed_reload(self):
        """What a run leaves behind that was killed becomes no instance of its own."""
        self.main()
        self.start()
        pid = self.pid()
        options = self.read("/usr/lib/ecohttpd/options.sh")
        self.write("/usr/lib/ecohttpd/options.sh",
                   options.replace("check_by_launcher() {\n", "check_by_launcher() {\n\tkill -9 $$\n"))
        self.service("reload", expect=-signal.SIGKILL)
        self.assertTrue(self.there("/var/etc/ecohttpd/main.new.procd"))
        self.write("/usr/lib/ecohttpd/options.sh", options)
        self.configure("nonsense\n")
        self.service("reload")
        left = sorted(path.name for path in (router.ROOT / "var/etc/ecohttpd").iterdir())
        self.assertEqual(left, ["main.options", "main.procd"])
        self.assertFalse(self.there("/var/run/procd/ecohttpd/main.new"))
        self.assertEqual(self.pid(), pid)

    def test_respawn(self):
        """5 seconds after it was killed it is back, and so it is after many times."""
        self.assertEqual(self.start(), None)
        self.assertEqual(self.parameter("respawn"), ["3600", "5", "0"])
        pid = self.pid()
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        self.wait(lambda: self.pid() not in (0, pid), "another process")
        self.assertTrue(4.5 < time.monotonic() - killed < 7)
        self.serves()
        self.assertEqual(self.get().status, 200)

    def test_start_while_it_is_down(self):
        """Whoever starts it does not have to wait for the 5 seconds."""
        self.start()
        os.kill(self.pid(), signal.SIGKILL)
        self.wait(lambda: not self.pid(), "the end")
        self.service("start")
        self.wait(lambda: router.connects(80), "port 80", seconds=3)

    def test_stop(self):
        """What is under way is finished, and nothing is left."""
        self.start()
        self.assertEqual(self.parameter("term_timeout"), ["35"])
        with socket.create_connection(("127.0.0.1", 80), timeout=10) as con:
            con.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
            got = con.recv(1000)
            self.service("stop")
            self.wait(lambda: not router.connects(80), "the end of port 80")
            while more := con.recv(1 << 16):
                got += more
        self.assertEqual(len(got.split(b"\r\n\r\n", 1)[1]), 4 << 20)
        self.wait(lambda: not self.there("/var/run/procd/ecohttpd/main.run"), "the end")
        self.assertNotIn("SIGKILL", self.log())

    def test_restart(self):
        self.start()
        pid = self.pid()
        self.service("restart")
        self.wait(lambda: self.pid() not in (0, pid), "another process")
        self.serves()

    def test_limits(self):
        self.main("option max_connections '1000'")
        self.start()
        limits = self.read(f"/proc/{self.pid()}/limits")
        self.assertRegex(limits, r"Max core file size +0 +0 ")
        self.assertRegex(limits, r"Max open files +3072 +3072 ")

    def test_more_connections(self):
        """More descriptors take a new process; a few more connections do not."""
        self.main("option max_connections '100'")
        self.start()
        pid = self.pid()
        self.main("option max_connections '200'")
        self.service("reload")
        self.said("reloaded")
        self.assertEqual(self.pid(), pid)
        self.main("option max_connections '1000'")
        self.service("reload")
        self.wait(lambda: self.pid() not in (0, pid), "another process")
        self.serves()

    def test_messages(self):
        """What it says goes to the log, with its name and process."""
        self.start()
        self.said(f"daemon.err ecohttpd[{self.pid()}]: ecohttpd: listening on 0.0.0.0:80")


class Triggers(router.Router):
    def test_configuration(self):
        self.main()
        self.start()
        pid = self.pid()
        self.sh("uci set ecohttpd.main.home=/www/cgi-bin; uci commit ecohttpd; "
                "/sbin/procd-event config.change package=ecohttpd")
        self.wait(lambda: self.get("/hello").status == 200, "the new home")
        self.assertEqual(self.pid(), pid)

    def test_others_do_not_matter(self):
        self.main()
        self.start()
        self.main("option realm 'new'")
        self.sh("/sbin/procd-event config.change package=dhcp; /sbin/procd-event interface.lan.up")
        time.sleep(3)
        self.assertNotIn("realm new", self.options())

    def test_hostname(self):
        self.main()
        self.start()
        self.sh("uci set system.@system[0].hostname=other; uci commit system; "
                "/sbin/procd-event config.change package=system")
        self.wait(lambda: "realm other" in self.options(), "the new realm")

    def test_acme(self):
        self.start()
        self.assertRegex(self.read("/var/run/procd/ecohttpd/triggers"),
                         "(?m)^acme.renew 5000 - '/etc/init.d/ecohttpd' 'reload'$")
        self.main("option realm 'new'")
        self.sh("/sbin/procd-event acme.renew")
        self.wait(lambda: "realm new" in self.options(), "the reload", seconds=12)

    def test_late_addresses(self):
        """A name that nobody knows yet is listened at as soon as an interface comes up and it is known."""
        self.main("list listen_http '127.0.0.1:80'", "list listen_http 'later.test:81'")
        self.start()
        pid = self.pid()
        self.assertFalse(router.connects(81))
        self.write("/etc/hosts", "127.0.0.1 localhost\n127.0.0.1 later.test\n")
        self.sh("/sbin/procd-event interface.lan.up")
        self.serves(81)
        self.assertEqual(self.pid(), pid)

    def test_no_late_addresses(self):
        """Literal addresses are bound early, and need no trigger."""
        self.main("list listen_http '192.0.2.1:81'", "list listen_http '[2001:db8::1]:82'",
                  "list listen_http '80'", "list listen_http 'unix:/tmp/sock'")
        self.start()
        self.assertNotIn("interface", self.read("/var/run/procd/ecohttpd/triggers"))
        self.main("list listen_http '80'", "list listen_http '[fe80::1%lo]:83'")
        self.service("reload")
        self.assertIn("interface.*.up 2000 - '/etc/init.d/ecohttpd' 'late'",
                      self.read("/var/run/procd/ecohttpd/triggers"))

    def test_validation(self):
        self.start()
        said = self.read("/var/run/procd/ecohttpd/validate")
        self.assertIn('json_add_string "max_requests" "min(1)"', said)

"""What is wrong is said with section and option, and nothing that serves is lost by it."""

import os
import signal
import socket
import subprocess
import time

import router


class Mistakes(router.Router):
    WRONG = {
        "option max_requests 'many'": "option 'max_requests': 'many' is no number from 1 on",
        "option max_requests '08'": "option 'max_requests': '08' is no number from 1 on",
        "option max_requests '0'": "option 'max_requests': '0' is no number from 1 on",
        "option max_connections '-1'": "option 'max_connections': '-1' is no number from 1 on",
        "option script_timeout '60s'": "option 'script_timeout': '60s' is no number from 0 on",
        "option tcp_keepalive '99999'": "option 'tcp_keepalive': '99999' is no number in the range (0,32767)",
        "option redirect_status '200'": "option 'redirect_status': '200' is none of (301,302,307,308)",
        "option gzip 'maybe'": "option 'gzip': 'maybe' is neither 1 nor 0",
        "option enabled 'perhaps'": "option 'enabled': 'perhaps' is neither 1 nor 0",
        "list httpauth 'no-name'": "option 'httpauth': 'no-name' is not of the type list(uciname)",
        # What only the launcher knows.
        "option home '/nowhere'": "home /nowhere",
        "list listen_http 'a:b:c'": "listen_http a:b:c",
        "option cgi_prefix 'x'": "cgi_prefix x",
        "list interpreter '.x=/nowhere'": "interpreter .x=/nowhere",
        "list json_script '/nowhere.json'": "/nowhere.json",
        "list header 'no colon'": "header no colon",
        "option config '/nowhere.conf'": "/nowhere.conf",
        "option error_page 'x'": "error_page x",
        "option log_format 'own'": "log_format own",
        "option user 'nosuch'": "user nosuch",
        "option access_log '/nowhere/log'": "--access-log /nowhere/log",
    }

    def test_each(self):
        for line, message in self.WRONG.items():
            with self.subTest(line):
                self.main(line) if "listen" not in line else self.main("list listen_http '80'", line)
                said = self.service("check", expect=2)
                self.assertIn(f"ecohttpd: section 'main': {message}", said)
                self.assertNotIn(".check", said)
                self.assertNotIn("arithmetic", said)
                said = self.service("start")
                self.assertIn(f"ecohttpd: section 'main': {message}", said)
                self.assertIn("section 'main': it is not started", said)
                self.logged(message)
                self.assertFalse(self.pid())

    def test_all_at_once(self):
        self.main("option home '/nowhere'", "option cgi_prefix 'x'", "option error_page 'y'")
        said = self.service("check", expect=2)
        for name in "home", "cgi_prefix", "error_page":
            self.assertIn(f"section 'main': {name}", said)

    def test_check_changes_nothing(self):
        self.main("option home '/nowhere'")
        before = self.log()
        self.service("check", expect=2)
        self.assertFalse(self.there("/var/etc/ecohttpd"))
        self.assertEqual(self.log(), before)
        self.main()
        self.assertEqual(self.service("check"), "")
        self.assertFalse([path for path in (router.ROOT / "tmp").glob("tmp.*")])

    def test_no_temporary_folder(self):
        """Nothing is made in / in its place, nor removed there, and nothing is restarted."""
        self.start()
        pid = self.pid()
        self.write("/main.txt", "the owner's\n")
        before = sorted(path.name for path in router.ROOT.iterdir())
        self.sh("rm -f /etc/uhttpd.*")
        for command, code in {"/etc/init.d/ecohttpd check": 2, "/etc/init.d/ecohttpd restart": 1,
                              "/usr/libexec/ecohttpd-cert look /etc/uhttpd.crt /etc/uhttpd.key": 1}.items():
            said = self.sh(f"TMPDIR=/nonexistent {command}", expect=code)
            self.assertIn("there is no temporary folder", said)
            self.assertNotIn("can't create", said)
            self.assertEqual(sorted(path.name for path in router.ROOT.iterdir()), before)
            self.assertFalse(self.there("/etc/uhttpd.crt"))
        self.assertEqual(self.pid(), pid)

    def test_no_such_section(self):
        self.configure(self.read("/etc/config/ecohttpd") + "config httpauth own\n")
        self.start()
        pid, said = self.pid(), "ecohttpd: there is no `config ecohttpd' of the name "
        for name in "nosuch", "own", "a-b", "new":
            self.assertIn(f"{said}'{name}'", self.service(f"check {name}", expect=2))
            for command in "start", "reload", "restart":
                self.assertIn(f"{said}'{name}'", self.service(f"{command} {name}", expect=1))
        for command in "check", "start", "reload":
            self.assertNotIn("there is no", self.service(f"{command} main"))
        self.assertEqual(self.pid(), pid)
        self.assertEqual(self.get().status, 200)
        self.service("restart main")
        self.wait(lambda: self.pid() not in (0, pid), "another process")

    def test_section_that_was_deleted(self):
        """Whoever names it has it ended all the same."""
        main = "config ecohttpd main\n\tlist listen_http '80'\n"
        for command in "reload", "stop":
            self.configure(main + "config ecohttpd two\n\tlist listen_http '127.0.0.1:81'\n")
            self.service("start")
            self.serves(81)
            pid = self.pid()
            self.configure(main)
            self.service(f"{command} two")
            self.wait(lambda: not self.pid("two"), "the end of two")
            self.assertFalse(self.there("/var/etc/ecohttpd/two.procd"))
            self.assertEqual(self.pid(), pid)

    def test_same_address(self):
        text = ("config ecohttpd one\n\tlist listen_http '127.0.0.1:80'\n\tlist listen_http '127.0.0.1:0'\n"
                "config ecohttpd off\n\tlist listen_http '127.0.0.1:80'\n\toption enabled '0'\n"
                "config ecohttpd two\n\tlist listen_http '127.0.0.1:81'\n\tlist listen_http '127.0.0.1:0'\n")
        message = "section 'two': listen_http 127.0.0.1:80: section 'one' has this address already"
        self.configure(text)
        for command in "check", "start", "reload":
            self.assertNotIn("already", self.service(command))
        self.configure(text.replace(":81", ":80"))
        for command in "check", "start", "reload":
            self.assertEqual(self.service(command).count("already"), 1)
            self.assertIn(message, self.service(command))

    def test_check_tells_what_does_nothing(self):
        self.main("option redirect_https '1'")
        self.service("check")
        self.main("list listen_http '80'", "list listen_https '443'", "option cert '/nowhere'")
        self.assertIn("section 'main': no HTTPS: /nowhere", self.service("check"))

    def test_unknown_options(self):
        """They are named, and stop nothing."""
        self.main("option max_request '5'", "list listen_http '80'", "list listen_htp '81'")
        said = self.service("start")
        self.assertIn("section 'main': there is no option 'max_request'; it is left out", said)
        self.assertIn("section 'main': there is no option 'listen_htp'; it is left out", said)
        self.serves()

    def test_no_address(self):
        self.main("list listen_http ''")
        self.assertIn("section 'main': ", self.service("check", expect=2))

    def test_other_sections_start(self):
        self.configure("config ecohttpd one\n\tlist listen_http '127.0.0.1:80'\n\toption home '/nowhere'\n"
                       "config ecohttpd two\n\tlist listen_http '127.0.0.1:81'\n")
        self.assertIn("section 'one': it is not started", self.service("start"))
        self.serves(81)
        self.assertFalse(router.connects(80))

    def test_at_reload(self):
        """The one that runs goes on as it was, with its old options, until it is mended."""
        self.main("option realm 'before'")
        self.start()
        pid, options = self.pid(), self.options()
        with socket.create_connection(("127.0.0.1", 80), timeout=10) as con:
            self.main("option home '/nowhere'", "option realm 'after'")
            said = self.service("reload")
            self.assertIn("section 'main': home /nowhere", said)
            self.assertIn("section 'main': it goes on as it was", said)
            self.assertEqual((self.pid(), self.options()), (pid, options))
            con.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertTrue(con.recv(100).startswith(b"HTTP/1.1 200"))
        # And whatever else reloads meanwhile changes nothing about that.
        self.service("reload")
        self.assertEqual((self.pid(), self.options()), (pid, options))
        self.main("option realm 'mended'")
        self.service("reload")
        self.said("reloaded")
        self.assertEqual(self.pid(), pid)
        self.assertIn("realm mended", self.options())

    def test_other_files_at_reload(self):
        self.write("/etc/own.conf", "/:u:p\n")
        self.main("option config '/etc/own.conf'")
        self.start()
        self.assertEqual(self.get().status, 401)
        self.write("/etc/own.conf", "whatever\n")
        self.assertIn("/etc/own.conf:1", self.service("reload"))
        self.assertEqual(self.get().status, 401)

    def test_unreadable_configuration(self):
        """A broken file is no reason to stop what serves."""
        self.main()
        self.start()
        pid = self.pid()
        for text in "config ecohttpd main\n\toption realm 'open\n", "nonsense\n", None:
            if text:
                self.configure(text)
            else:
                (router.ROOT / "etc/config/ecohttpd").unlink()
            said = self.service("reload")
            self.assertIn("/etc/config/ecohttpd cannot be read", said)
            self.assertEqual(self.pid(), pid)
            self.assertEqual(self.get().status, 200)
        self.service("check", expect=2)

    def test_half_a_configuration(self):
        """What stands before a mistake in the file, or around it, is not taken for all that there is."""
        self.main()
        self.start()
        pid, options = self.pid(), self.options()
        for line in "\toption home '/www\n\tlist listen_http '81'\n", "\toptoin rfc1918_filter '1'\n":
            self.configure("config ecohttpd main\n\tlist listen_http '80'\n" + line)
            self.assertIn("/etc/config/ecohttpd cannot be read: uci: Parse error", self.service("reload"))
            self.assertEqual((self.pid(), self.options()), (pid, options))
            self.service("check", expect=2)

    def test_restart(self):
        """Who cannot be started again is not stopped."""
        self.main()
        self.start()
        pid = self.pid()
        self.main("option gzip '2'")
        self.assertIn("option 'gzip': '2'", self.service("restart", expect=1))
        self.assertEqual(self.pid(), pid)
        self.assertEqual(self.get().status, 200)

    def test_restart_is_logged(self):
        self.main()
        self.start()
        self.main("option gzip '2'")
        self.service("restart", expect=1)
        self.logged("section 'main': option 'gzip': '2' is neither 1 nor 0")
        self.logged("it is not restarted, and goes on as it was")

    def test_restart_beside_mistakes(self):
        """What would not be started anyway is no reason to go on."""
        two = "config ecohttpd two\n\tlist listen_http '127.0.0.1:81'\n"
        self.configure("config ecohttpd main\n\tlist listen_http '80'\n" + two)
        self.start()
        self.serves(81)
        main, pid = self.pid(), self.pid("two")
        disabled = "config ecohttpd off\n\toption enabled '0'\n\toption home '/nowhere'\n"
        self.configure("config ecohttpd main\n\tlist listen_http '80'\n\toption gzip '2'\n" + two + disabled)
        self.service("restart two")
        self.wait(lambda: self.pid("two") not in (0, pid), "another process")
        self.assertEqual(self.pid(), main)
        self.configure("config ecohttpd main\n\tlist listen_http '80'\n" + two + disabled)
        self.service("check", expect=2)
        self.service("restart")
        self.wait(lambda: self.pid() not in (0, main), "another process")

    def test_while_it_is_down(self):
        """One that has just crashed comes back, though its configuration is a mistake meanwhile."""
        self.main()
        self.start()
        pid = self.pid()
        os.kill(pid, signal.SIGKILL)
        self.wait(lambda: not router.connects(80), "its end")
        self.main("option gzip '2'")
        self.service("reload")
        self.wait(lambda: self.pid() not in (0, pid), "another process", seconds=15)
        self.serves()

    def test_no_space(self):
        """What could not be written may be the passwords: half of the options are none."""
        passwords = ("list httpauth 'own'", "option realm 'one'\nconfig httpauth own\n\toption prefix '/'\n"
                     "\toption username 'u'\n\toption password 'p'")
        self.main(*passwords)
        run_dir = router.ROOT / "var/etc/ecohttpd"
        run_dir.mkdir(parents=True)
        page = os.sysconf("SC_PAGE_SIZE")
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={10 * page}", "none", run_dir], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", run_dir], check=True)
        self.start()
        self.assertEqual(self.get().status, 401)
        self.main(*(line.replace("one", "two") for line in passwords))
        # Space for the options and for what procd is told, until the passwords would have been written.
        (run_dir / "fill").write_bytes(b"x" * page * 5)
        self.write("/usr/lib/ecohttpd/options.sh", self.read("/usr/lib/ecohttpd/options.sh").replace(
            "put_process() {\n", 'put_process() {\n\trm -f "$RUN_DIR/fill"\n'))
        said = self.service("reload")
        self.assertFalse((run_dir / "fill").exists())
        self.assertIn("section 'main': /var/etc/ecohttpd cannot be written", said)
        time.sleep(0.3)
        self.assertEqual(self.get().status, 401)
        self.assertIn("realm one", self.options())

    def test_nowhere_to_write(self):
        self.main("option realm 'one'")
        self.start()
        pid, run_dir = self.pid(), router.ROOT / "var/etc/ecohttpd"
        subprocess.run(["mount", "--bind", run_dir, run_dir], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", run_dir], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", run_dir], check=True)
        self.main("option realm 'two'")
        said = self.service("reload")
        self.assertIn("section 'main': /var/etc/ecohttpd cannot be written", said)
        self.assertIn("section 'main': it goes on as it was", said)
        self.assertEqual(self.pid(), pid)

    def test_first_start_without_configuration(self):
        (router.ROOT / "etc/config/ecohttpd").unlink()
        self.assertIn("/etc/config/ecohttpd cannot be read", self.service("start"))
        self.assertFalse(router.connects(80))


class Mini(router.Router):
    """A build without TLS leaves HTTPS out instead of failing."""

    program = "ecohttpd-mini"

    def test_shipped(self):
        said = self.service("start")
        self.assertEqual(said.count("ecohttpd-mini"), 1)
        self.assertIn("section 'main': listen_https and what belongs to it are left out", said)
        self.serves()
        self.assertEqual(self.get().status, 200)
        self.assertFalse(router.connects(443))
        left = [line for line in self.options() if line.startswith(("cert", "key", "listen_https"))]
        self.assertEqual(left, [])
        self.assertFalse(self.there("/etc/uhttpd.crt"))
        self.service("check")

    def test_nothing_else_to_serve(self):
        self.main("list listen_https '443'", "option redirect_https '1'")
        said = self.service("start")
        self.assertIn("it is not started", said)

"""From uhttpd to ecohttpd and back."""

import hashlib
import os
import signal
import socket
import subprocess
import time

import router

# In uhttpd's place stands busybox's httpd, at the addresses of uhttpd's configuration.
UHTTPD = """#!/bin/sh /etc/rc.common
START=50
USE_PROCD=1
instance() {
	config_list_foreach "$1" listen_http address
}
address() {
	case "$1" in
	*[!0-9.:]*) return;;
	esac
	procd_open_instance
	procd_set_param command /bin/busybox httpd -f -p "$1" -h /srv
	procd_set_param respawn
	procd_close_instance
}
start_service() {
	config_load uhttpd
	config_foreach instance uhttpd
}
"""

CONFIG = """# My own comment.
config uhttpd 'main'
	list listen_http '0.0.0.0:80'
	list listen_https '0.0.0.0:443'
	option redirect_https '0'
	option home '/www'
	option rfc1918_filter '1'
	option max_requests '4'
	option realm 'it'\\''s mine'
	list interpreter '.gone=/usr/bin/gone'
	list interpreter '.sh=/bin/sh'
	list lua_prefix '/cgi-bin/luci=/usr/lib/lua/luci/sgi/uhttpd.lua'
	list ucode_prefix '/cgi-bin/luci=/usr/share/ucode/luci/uhttpd.uc'
	option ubus_prefix '/ubus'
	list httpauth 'own'
	option frobnicate '1'

config uhttpd 'second'
	list listen_http '127.0.0.1:8080'
	option home '/www/cgi-bin'
	option no_dirlists '1'

config cert 'defaults'
	option days '300'
	option key_type 'rsa'

config httpauth 'own'
	option prefix '/private'
	option username 'u'
	option password 'p:q'

config other 'thing'
	option x 'y'
"""


# uclient-fetch follows to HTTPS, and ends with 5 at a certificate that nobody has signed.
FETCH = """#!/bin/sh
for url; do :; done
busybox wget -q -T 5 -O /dev/null "$url" 2>/dev/null
exit 5
"""


class Migration(router.Router):
    def setUp(self):
        super().setUp()
        self.write("/etc/init.d/uhttpd", UHTTPD, 0o755)
        self.write("/etc/config/uhttpd", CONFIG, 0o600)
        self.write("/srv/index.html", "by uhttpd\n")
        # uhttpd's script makes one when it is started for the first time.
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-subj", "/CN=OpenWrt", "-outform", "der", "-days", "397",
                        "-keyout", router.ROOT / "etc/uhttpd.key", "-out", router.ROOT / "etc/uhttpd.crt"],
                       check=True, capture_output=True)
        self.sh("/etc/init.d/uhttpd enable; /etc/init.d/uhttpd start")
        self.serves(80)
        self.serves(8080)
        # As the package is installed.
        self.sh(". /etc/uci-defaults/50-ecohttpd")
        self.sh("rm /etc/uci-defaults/50-ecohttpd; /etc/init.d/ecohttpd enable; /etc/init.d/ecohttpd start")
        self.before = self.tree()

    def tree(self):
        """Everything on flash that counts: path, mode and content."""
        found = {}
        for path in sorted((router.ROOT / "etc").rglob("*")):
            name = str(path.relative_to(router.ROOT))
            if path.is_symlink():
                found[name] = os.readlink(path)
            elif path.is_file():
                found[name] = (path.stat().st_mode, hashlib.sha256(path.read_bytes()).hexdigest())
        return found

    def by(self, port=80):
        try:
            answer = self.get(port=port)
        except OSError:
            return None
        return "uhttpd" if answer.body == b"by uhttpd\n" else "ecohttpd"

    def migrate(self, argument="", expect=0):
        return self.sh(f"ecohttpd-migrate {argument}", expect)

    def booting(self):
        """Which of the two the next boot would start."""
        names = {path.name[3:] for path in (router.ROOT / "etc/rc.d").iterdir()}
        if "ecohttpd" in names and "option enabled '0'" in self.read("/etc/config/ecohttpd"):
            names.discard("ecohttpd")
        return names

    def as_before(self):
        self.wait(lambda: self.by() == "uhttpd" and self.by(8080) == "uhttpd", "uhttpd", seconds=20)
        self.wait(lambda: not self.there("/var/run/ecohttpd-migrate.lock"), "the end of it")
        after = self.tree()
        for name in list(after):
            if name.startswith("etc/ecohttpd/"):
                del after[name]
        self.assertEqual(after, self.before)
        self.assertFalse(self.there("/etc/ecohttpd/undo"))

    def test_installing_changes_nothing(self):
        self.assertEqual(self.by(), "uhttpd")
        self.logged("ecohttpd-migrate puts ecohttpd in its place")
        self.assertEqual(self.booting(), {"uhttpd"})
        self.assertFalse(self.pid())

    def test_there(self):
        said = self.migrate()
        self.assertEqual((self.by(), self.by(8080)), ("ecohttpd", "ecohttpd"))
        self.serves(443)
        self.assertNotIn("was made", self.log())
        self.assertEqual(self.booting(), {"ecohttpd"})
        self.assertEqual(self.get("/private/x").status, 401)
        self.assertEqual(self.read("/etc/config/uhttpd"), CONFIG)
        for name, why in {
            "interpreter": "there is no program /usr/bin/gone", "lua_prefix": "scripts are run as CGI",
            "ucode_prefix": "scripts are run as CGI", "ubus_prefix": "there is no /ubus",
            "frobnicate": "it is not known",
        }.items():
            self.assertIn(f"uhttpd 'main': {name} is left out: {why}", said)
        self.assertIn("cert 'defaults': key_type is left out", said)
        self.assertIn("the section 'thing' of the type other is left out", said)
        self.assertIn("ecohttpd is in the place of uhttpd", said)
        self.assertEqual(
            self.options(),
            ["home /www", "realm it's mine", "listen_http 0.0.0.0:80", "cert /etc/uhttpd.crt",
             "key /etc/uhttpd.key", "listen_https 0.0.0.0:443", "max_requests 4",
             "rfc1918_filter", "interpreter .sh=/bin/sh", "config /var/etc/ecohttpd/main.httpd"],
        )
        self.assertEqual(self.options("second")[:1], ["home /www/cgi-bin"])
        self.assertIn("# list lua_prefix '/cgi-bin/luci=", self.read("/etc/config/ecohttpd"))
        self.assertIn("option days '300'", self.read("/etc/config/ecohttpd"))
        self.service("check")

    def test_twice(self):
        self.migrate()
        pid = self.pid()
        self.assertIn("ecohttpd is in the place of uhttpd already", self.migrate())
        self.assertEqual(self.pid(), pid)

    def test_back(self):
        self.migrate()
        self.assertIn("everything is as it was before", self.migrate("undo"))
        self.as_before()
        self.assertIn("there is nothing to undo", self.migrate("undo", expect=1))
        self.as_before()

    def test_there_and_back_again(self):
        for turn in range(2):
            self.migrate()
            self.assertEqual(self.by(), "ecohttpd")
            self.migrate("undo")
            self.as_before()

    def test_back_with_changes_since(self):
        """What was configured since is kept aside."""
        self.migrate()
        self.sh("uci set ecohttpd.main.realm=since; uci commit ecohttpd; uci set ecohttpd.main.realm=later")
        self.migrate("undo")
        self.as_before()
        self.assertIn("since", self.read("/etc/ecohttpd/before-undo"))

    def test_sent_on_to_https(self):
        self.write("/bin/uclient-fetch", FETCH, 0o755)
        self.write("/etc/config/uhttpd", CONFIG.replace("redirect_https '0'", "redirect_https '1'"), 0o600)
        self.sh("ecohttpd-migrate")
        self.assertTrue(self.there("/etc/ecohttpd/undo/done"))

    def test_dry_run(self):
        said = self.migrate("--dry-run")
        self.assertIn("config ecohttpd 'main'", said)
        self.assertIn("option realm 'it'\\''s mine'", said)
        self.assertIn("lua_prefix is left out", said)
        self.assertEqual(self.tree(), self.before)
        self.as_before()

    def test_mistakes(self):
        """What is wrong is said before anything is touched."""
        self.write("/etc/config/uhttpd", CONFIG.replace("/www/cgi-bin", "/nowhere").replace("'4'", "'four'"))
        self.before = self.tree()
        for argument, code in ("--dry-run", 2), ("", 1):
            said = self.migrate(argument, expect=code)
            self.assertIn("section 'second': home /nowhere", said)
            self.assertIn("section 'main': option 'max_requests': 'four' is no number", said)
        self.assertIn("nothing was changed", said)
        self.as_before()

    def test_somebody_at_the_port(self):
        """If it does not serve, uhttpd does again."""
        self.write("/etc/config/uhttpd", CONFIG.replace(
            "list listen_http '127.0.0.1:8080'",
            "list listen_http '127.0.0.1:8080'\n\tlist listen_http '127.0.0.1:9090'"))
        self.before = self.tree()
        with socket.create_server(("127.0.0.1", 9090)):
            # The one who sits there is no server of HTTP, and takes the port away from nobody before.
            said = self.migrate(expect=1)
        self.assertRegex(said, "ecohttpd does not (answer at|serve).*")
        self.assertIn("going back", said)
        self.as_before()
        self.assertEqual(self.booting(), {"uhttpd"})

    def test_ecohttpd_cannot_run(self):
        real = router.ROOT / "usr/sbin/ecohttpd"
        os.rename(real, router.ROOT / "usr/sbin/ecohttpd.real")
        self.write("/usr/sbin/ecohttpd", '#!/bin/sh\ncase "$1" in -f) exit 1;; esac\n'
                   'exec /usr/sbin/ecohttpd.real "$@"\n', 0o755)
        said = self.migrate(expect=1)
        self.assertIn("ecohttpd does not answer at", said)
        self.as_before()

    def test_told_to_stop(self):
        """Whoever interrupts it gets back what was there."""
        process = self.begin()
        self.wait(lambda: self.there("/etc/ecohttpd/undo/begun"), "the first step")
        os.kill(process.pid, signal.SIGTERM)
        process.wait()
        self.as_before()

    def begin(self):
        return subprocess.Popen(["chroot", router.ROOT, "/bin/sh", "/usr/sbin/ecohttpd-migrate"],
                                env={"PATH": router.PATH}, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def test_power_is_lost(self):
        """At whatever moment: the next boot has a server, and both ways are open."""
        for turn, delay in enumerate((0.05, 0.3, 0.6, 1.0, 1.5)):
            with self.subTest(delay=delay):
                process = self.begin()
                time.sleep(delay)
                # What is lost is everything that runs, and what is in memory.
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                self.kill(but=self.syslogd.pid)
                self.sh("rm -rf /var/run/* /var/lock/* /tmp/.uci /var/etc/*")
                self.assertTrue(self.booting())
                # The boot.
                self.sh("for file in /etc/rc.d/S*; do $file start; done")
                self.wait(lambda: self.by(), "a server", seconds=15)
                if turn % 2:
                    self.migrate()
                    self.assertEqual(self.by(), "ecohttpd")
                if self.there("/etc/ecohttpd/undo/state"):
                    self.migrate("undo")
                self.as_before()

    def test_power_is_lost_going_back(self):
        self.migrate()
        process = subprocess.Popen(["chroot", router.ROOT, "/bin/sh", "/usr/sbin/ecohttpd-migrate", "undo"],
                                   env={"PATH": router.PATH}, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        # As soon as it has begun; a fast machine may have come to its end by then.
        self.wait(lambda: self.there("/etc/ecohttpd/before-undo"), "its beginning")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        self.assertTrue(self.booting())
        if self.there("/etc/ecohttpd/undo/state"):
            self.migrate("undo")
        self.as_before()

    def until(self, step, argument=""):
        """Loses power before a line of the script."""
        script = self.read("/usr/sbin/ecohttpd-migrate")
        self.assertEqual(script.count(step), 1, step)
        self.write("/usr/sbin/interrupted", script.replace(step, "kill -9 $$\n" + step), 0o755)
        self.sh(f"sh /usr/sbin/interrupted {argument}; [ $? = 137 ]")
        self.sh("rm -f /usr/sbin/interrupted /var/run/ecohttpd-migrate.lock")

    def test_power_is_lost_after_the_configuration(self):
        """What was configured since is not overwritten by what is back already."""
        self.migrate()
        self.sh("uci set ecohttpd.main.realm=since; uci commit ecohttpd")
        self.until("\tuci -q revert ecohttpd\n\t[", "undo")
        self.migrate("undo")
        self.as_before()
        self.assertIn("since", self.read("/etc/ecohttpd/before-undo"))

    def test_power_is_lost_at_the_end(self):
        """What is to be put back goes at once: a part of it would take the configuration away."""
        self.migrate()
        step = '\tmv "$UNDO" "$UNDO.old" && sync && rm'
        self.until(step, "undo")
        self.assertEqual(sorted(path.name for path in (router.ROOT / "etc/ecohttpd/undo").iterdir()),
                         ["begun", "config", "state"])
        self.migrate("undo")
        self.as_before()

    def test_half_a_configuration(self):
        """What stands before a mistake in that of uhttpd is not taken for all that there is."""
        self.write("/etc/config/uhttpd", CONFIG + "\toption z 'open\n", 0o600)
        self.before = self.tree()
        for argument in "--dry-run", "":
            self.assertIn("/etc/config/uhttpd cannot be read", self.migrate(argument, expect=1))
        self.as_before()

    def test_uncommitted(self):
        """They would be a part of what is checked, and not of what is put in place."""
        self.sh("uci set ecohttpd.main.home=/nowhere")
        for argument in "--dry-run", "":
            self.assertIn("uci changes ecohttpd", self.migrate(argument, expect=1))
        self.as_before()
        self.sh("uci revert ecohttpd")
        self.migrate()

    def test_only_one_at_a_time(self):
        process = self.begin()
        self.wait(lambda: os.path.lexists(router.ROOT / "var/run/ecohttpd-migrate.lock"), "the first")
        self.assertIn("another one is at work", self.migrate(expect=1))
        process.wait()
        self.assertEqual(self.by(), "ecohttpd")

    def test_without_uhttpd(self):
        """The configuration of one that was removed can still be taken over."""
        self.sh("/etc/init.d/uhttpd stop; /etc/init.d/uhttpd disable; rm /etc/init.d/uhttpd")
        self.wait(lambda: not router.connects(80), "the end of uhttpd")
        self.migrate()
        self.assertEqual(self.by(), "ecohttpd")
        self.sh("rm /etc/config/uhttpd; rm -r /etc/ecohttpd/undo")
        self.assertIn("there is no /etc/config/uhttpd", self.migrate(expect=1))

    def test_uhttpd_was_removed(self):
        """Nobody is left without a server by undo, nor by an exchange of the packages, which calls it."""
        self.migrate()
        self.sh("rm /etc/init.d/uhttpd /etc/config/uhttpd")
        before = self.tree()
        self.assertIn("there is no uhttpd any more to go back to", self.migrate("undo"))
        self.assertEqual((self.by(), self.tree()), ("ecohttpd", before))

    def test_no_temporary_folder(self):
        said = self.sh("TMPDIR=/nonexistent ecohttpd-migrate", expect=1)
        self.assertIn("there is no temporary folder; nothing was changed", said)
        self.assertEqual(self.tree(), self.before)

    def test_usage(self):
        self.assertIn("Usage:", self.migrate("all", expect=2))
        self.assertEqual(self.tree(), self.before)

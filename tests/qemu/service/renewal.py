"""Certificates that were made here are renewed before they end."""

import time

import certificate
import router

DAY = 86400
LOOK = "/usr/libexec/ecohttpd-cert look /etc/uhttpd.crt /etc/uhttpd.key"


class Renewal(certificate.Certificates):
    def made(self):
        """The lines of what was made here."""
        return [line.split(" ", 2) for line in self.read("/etc/ecohttpd/made").splitlines()]

    def ends_in(self, days):
        """Lets the certificate end in so many days, as far as is known here."""
        made = self.made()[-1]
        self.write("/etc/ecohttpd/made", f"{made[0]} {int(time.time()) + days * DAY} {made[2]}\n")

    def fingerprint(self):
        return self.text("/etc/uhttpd.crt", "-fingerprint")

    def renewed(self, command):
        before = self.fingerprint()
        self.sh(command)
        return self.fingerprint() != before

    def test_remembered(self):
        self.start()
        sum_, end, path = self.made()[0]
        self.assertEqual(path, "/etc/uhttpd.crt")
        self.assertEqual(self.sh("sha256sum /etc/uhttpd.crt").split()[0], sum_)
        self.assertLess(abs(int(end) - time.time() - 397 * DAY), 600)
        self.assertEqual((router.ROOT / "etc/ecohttpd/made").stat().st_mode & 0o777, 0o600)

    def test_when(self):
        self.sh(LOOK)
        for days, due in (100, False), (31, False), (29, True), (-5, True):
            self.ends_in(days)
            self.assertEqual(self.renewed(LOOK), due, days)

    def test_as_asked(self):
        self.start()
        self.assertTrue(self.renewed("/etc/init.d/ecohttpd renew now"))
        self.assertFalse(self.renewed("/etc/init.d/ecohttpd renew"))

    def test_asked_for_something_else(self):
        self.start()
        said = self.service("renew foo", expect=1)
        self.assertEqual(said, "ecohttpd: renew takes `now', `clock' or nothing, but not 'foo'\n")

    def test_at_start_and_reload(self):
        self.start()
        self.ends_in(10)
        self.assertTrue(self.renewed("/etc/init.d/ecohttpd reload"))
        self.service("stop")
        self.ends_in(10)
        self.assertTrue(self.renewed("/etc/init.d/ecohttpd start"))

    def test_served_without_a_restart(self):
        self.start()
        self.serves(443)
        pid, before = self.pid(), self.served()
        self.ends_in(10)
        self.service("renew")
        self.wait(lambda: self.served() != before, "the new certificate")
        self.assertEqual(self.pid(), pid)
        self.logged("before the old one ends, /etc/uhttpd.crt was made")

    def test_served_by_another_user(self):
        """Who cannot read the key again is restarted."""
        self.configure(self.read("/etc/config/ecohttpd").replace(
            "option home", "option user 'nobody'\n\toption home"))
        self.start()
        self.serves(443)
        pid, before = self.pid(), self.served()
        self.ends_in(10)
        self.service("renew")
        # Which waits for the old one to finish its requests.
        self.wait(lambda: self.pid() not in (0, pid), "another process", seconds=20)
        self.serves(443)
        self.assertNotEqual(self.served(), before)

    def test_only_what_runs(self):
        """Looking at certificates starts nothing that was stopped."""
        self.start()
        self.service("stop")
        self.wait(lambda: not self.pid(), "the end")
        self.ends_in(10)
        self.assertTrue(self.renewed("/etc/init.d/ecohttpd renew"))
        self.assertFalse(self.pid())

    def test_names_change(self):
        """Browsers were told to trust it: other names alone are no reason for another one."""
        self.start()
        self.write("/etc/config/system", "config system\n\toption hostname 'other'\n")
        self.assertFalse(self.renewed("/etc/init.d/ecohttpd reload"))
        self.assertTrue(self.renewed("/etc/init.d/ecohttpd renew now"))
        self.assertIn("DNS:other.lan", self.text())

    def test_wrong_clock(self):
        """A certificate from the future is renewed once the clock was set, and not before."""
        self.sh(LOOK)
        self.ends_in(5000)
        self.assertFalse(self.renewed(LOOK))
        self.assertTrue(self.renewed(LOOK.replace("look", "clock")))
        self.logged("since the clock was wrong, ")

    def event(self, action):
        return self.renewed(f"ACTION={action}; . /etc/hotplug.d/ntp/50-ecohttpd")

    def test_ntp(self):
        self.service("enable")
        self.start()
        self.ends_in(10)
        self.assertTrue(self.event("stratum"))
        self.ends_in(10)
        self.assertFalse(self.event("periodic"), "twice a day")
        self.assertTrue(self.event("step"))
        self.ends_in(10)
        self.write("/var/run/ecohttpd.looked", f"{int(time.time()) - DAY - 1}\n")
        self.assertTrue(self.event("periodic"))
        self.ends_in(5000)
        self.write("/var/run/ecohttpd.looked", f"{int(time.time()) + 1000 * DAY}\n")
        self.assertTrue(self.event("stratum"), "the clock was wrong when it looked")
        self.service("disable")
        self.ends_in(10)
        self.assertFalse(self.event("step"), "disabled")

    def test_power_is_lost(self):
        """Between the two steps of putting a pair in place; the next look does the rest."""
        self.sh(LOOK)
        etc = router.ROOT / "etc"
        old = {name: (etc / f"uhttpd.{name}").read_bytes() for name in ("crt", "key")}
        self.ends_in(10)
        self.sh(LOOK)
        # The old one and the new one are known, until the next is made.
        self.assertEqual(len(self.made()), 2)
        self.write("/etc/ecohttpd/made", self.read("/etc/ecohttpd/made").replace(
            self.made()[0][1], str(int(time.time()) + 100 * DAY)))
        new = {name: (etc / f"uhttpd.{name}").read_bytes() for name in ("crt", "key")}
        made = self.read("/etc/ecohttpd/made")

        # The key is in place, and its certificate is not.
        (etc / "uhttpd.crt").write_bytes(old["crt"])
        (etc / "uhttpd.crt.new").write_bytes(new["crt"])
        self.sh(LOOK)
        self.assertEqual((etc / "uhttpd.crt").read_bytes(), new["crt"])
        self.assertEqual(self.leftovers(), [])

        # Neither is: the old pair stays, and is still known for one that was made here.
        for name in old:
            (etc / f"uhttpd.{name}").write_bytes(old[name])
            (etc / f"uhttpd.{name}.new").write_bytes(new[name])
        self.sh(LOOK)
        self.assertEqual((etc / "uhttpd.crt").read_bytes(), old["crt"])
        self.assertEqual((etc / "uhttpd.key").read_bytes(), old["key"])
        self.assertEqual(self.leftovers(), [])

        # Half of a file.
        (etc / "uhttpd.crt.new").write_bytes(new["crt"][:50])
        self.sh(LOOK)
        self.assertEqual(self.leftovers(), [])
        self.assertEqual(self.read("/etc/ecohttpd/made"), made)

    def test_cannot_be_written(self):
        """Then the old pair stays as it was."""
        self.sh(LOOK)
        self.ends_in(10)
        before = self.fingerprint()
        said = self.sh("mount -o bind /etc/ecohttpd /etc/ecohttpd; mount -o remount,bind,ro /etc/ecohttpd; "
                       + LOOK + "; umount /etc/ecohttpd")
        self.assertIn("the certificate /etc/uhttpd.crt cannot be written", said)
        self.assertEqual(self.fingerprint(), before)

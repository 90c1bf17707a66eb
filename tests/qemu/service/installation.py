"""Put in place and taken away as packages are, by default_postinst and default_prerm."""

import router

LIST = "".join(f"/{target}\n" for target, _ in router.INSTALLED.values())


class Installation(router.Router):
    def postinst(self, **env):
        self.write("/usr/lib/opkg/info/ecohttpd.list", LIST)
        return self.sh(". /lib/functions.sh; default_postinst /usr/lib/opkg/info/ecohttpd.postinst", **env)

    def prerm(self, **env):
        return self.sh(". /lib/functions.sh; default_prerm /usr/lib/opkg/info/ecohttpd.prerm", **env)

    def uhttpd(self):
        self.write("/etc/init.d/uhttpd", "#!/bin/sh /etc/rc.common\nSTART=50\n", 0o755)
        self.write("/etc/config/uhttpd", "config uhttpd main\n\tlist listen_http '80'\n")

    def test_alone(self):
        """Where there is no other server it serves at once, and at the next boot."""
        self.postinst()
        self.serves()
        self.assertTrue(self.there("/etc/rc.d/S50ecohttpd"))
        self.assertFalse(self.there("/etc/uci-defaults/50-ecohttpd"))
        self.assertIn("option enabled '1'", self.read("/etc/config/ecohttpd"))
        self.prerm()
        self.wait(lambda: not router.connects(80), "the end")
        self.assertFalse(self.there("/etc/rc.d/S50ecohttpd"))

    def test_beside_uhttpd(self):
        self.uhttpd()
        self.sh("/etc/init.d/uhttpd enable")
        said = self.postinst()
        self.assertIn("uhttpd is in use and goes on; ecohttpd-migrate puts ecohttpd in its place", said)
        self.assertEqual(self.sh("uci get ecohttpd.main.enabled"), "0\n")
        self.assertFalse(self.pid())
        self.assertFalse(router.connects(80))

    def test_beside_a_disabled_uhttpd(self):
        self.uhttpd()
        self.postinst()
        self.serves()

    def test_upgrade(self):
        """It is stopped and started, and stays as the owner has it."""
        self.postinst()
        self.serves()
        pid = self.pid()
        self.main("option realm 'mine'")
        self.prerm(PKG_UPGRADE="1")
        self.assertTrue(self.there("/etc/rc.d/S50ecohttpd"))
        self.write("/etc/uci-defaults/50-ecohttpd", (router.FILES / "ecohttpd.defaults").read_text())
        self.postinst(PKG_UPGRADE="1")
        self.wait(lambda: self.pid() not in (0, pid), "another process")
        self.serves()
        self.assertIn("realm mine", self.options())

    def test_upgrade_by_apk(self):
        """apk runs nothing of the old package: the new program is in the place of the one that runs."""
        self.postinst()
        self.serves()
        pid = self.pid()
        program = "/usr/sbin/ecohttpd"
        self.sh(f"cp -p {program} {program}.new && echo >> {program}.new && mv {program}.new {program}")
        self.postinst(PKG_UPGRADE="1")
        self.wait(lambda: self.pid() not in (0, pid), "another process")
        self.serves()

    def test_upgrade_of_one_that_is_in_use(self):
        """After the exchange an upgrade does not disable it, though uhttpd was enabled again by its own."""
        self.uhttpd()
        self.postinst()
        self.serves()
        self.sh("/etc/init.d/uhttpd enable; mkdir -p /etc/ecohttpd/undo; touch /etc/ecohttpd/undo/done")
        self.prerm(PKG_UPGRADE="1")
        self.write("/etc/uci-defaults/50-ecohttpd", (router.FILES / "ecohttpd.defaults").read_text())
        self.postinst(PKG_UPGRADE="1")
        self.serves()

    def test_of_the_owner_beside_uhttpd(self):
        """Neither an upgrade nor a new firmware takes away what listens at other ports than uhttpd."""
        self.uhttpd()
        self.sh("/etc/init.d/uhttpd enable")
        self.main("option enabled '1'", "list listen_http '8080'")
        for env in {"PKG_UPGRADE": "1"}, {}:
            self.write("/etc/uci-defaults/50-ecohttpd", (router.FILES / "ecohttpd.defaults").read_text())
            self.assertNotIn("uhttpd is in use", self.postinst(**env))
            self.assertEqual(self.sh("uci get ecohttpd.main.enabled"), "1\n")
            self.serves(8080)

    def test_upgrade_at_the_ports_of_uhttpd(self):
        """Whatever the owner has made of that."""
        self.uhttpd()
        self.sh("/etc/init.d/uhttpd enable")
        self.main("option enabled '1'", "list listen_http '127.0.0.1:80'")
        self.postinst(PKG_UPGRADE="1")
        self.assertEqual(self.sh("uci get ecohttpd.main.enabled"), "1\n")

    def test_into_an_image(self):
        """In the build of a firmware image nothing is run; it is only enabled."""
        self.sh("mkdir -p /image/etc/rc.d /image/usr/lib/opkg/info; "
                "cp -r /etc/init.d /etc/rc.common /image/etc; cp -r /lib /image/")
        self.write("/image/usr/lib/opkg/info/ecohttpd.list", LIST)
        self.sh(". /lib/functions.sh; default_postinst /usr/lib/opkg/info/ecohttpd.postinst",
                IPKG_INSTROOT="/image")
        self.assertTrue(self.there("/image/etc/rc.d/S50ecohttpd"))
        self.assertFalse(self.pid())

    def test_help(self):
        said = self.sh("/etc/init.d/ecohttpd help")
        for command in "check", "renew", "late", "reload":
            self.assertRegex(said, rf"(?m)^\t{command}\t")

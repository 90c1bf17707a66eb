"""What the Makefile says to a buildroot, which reads it twice: to list the packages, and to build them."""

from common import FEED, TestCase, run

RUST = "feeds/packages/lang/rust/rust-package.mk"
SHOWN = """
define BuildPackage
  DEFAULT_VARIANT:=
  PROVIDES:=
  $(eval $(Package/$(1)))
  $(info $(1): default=$(DEFAULT_VARIANT) provides=$(strip $(PROVIDES)))
endef
all:
\t@:
"""


class Buildroot(TestCase):
    def reads(self, *variables, rust=True):
        tree = self.new_dir()
        for name, text in ("rules.mk", ""), ("package.mk", SHOWN), (RUST, "") if rust else ("none", ""):
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return run("make", "-rs", "-C", FEED, f"TOPDIR={tree}", f"INCLUDE_DIR={tree}",
                   *variables)

    def test_listed(self):
        """Not as the one to take for uhttpd, whose name it has: LuCI would take it unasked."""
        listed = self.passes(self.reads("DUMP=1"))
        self.assertEqual(listed.splitlines(), ["ecohttpd: default= provides=uhttpd",
                                               "ecohttpd-mini: default= provides=ecohttpd uhttpd"])

    def test_listed_before_the_feed_of_rust(self):
        """The order of the lines in feeds.conf is anybody's."""
        self.passes(self.reads("DUMP=1", rust=False))
        self.fails(self.reads(rust=False), 2, 'ecohttpd needs Rust, which is in the feed "packages"')

    def test_built(self):
        """With the name of uhttpd where that is not in the image; apk's has no version, by the @."""
        alone = ["ecohttpd: default=1 provides=", "ecohttpd-mini: default= provides=ecohttpd"]
        self.assertEqual(self.passes(self.reads()).splitlines(), alone)
        for chosen in "CONFIG_PACKAGE_ecohttpd=y", "CONFIG_PACKAGE_ecohttpd-mini=y":
            for name, more in ("uhttpd", ()), ("@uhttpd", ("SanitizeProvides=$(1)",)):
                self.assertEqual(self.passes(self.reads(chosen, *more)).splitlines(),
                                 [f"ecohttpd: default=1 provides={name}",
                                  f"ecohttpd-mini: default= provides=ecohttpd {name}"])
            self.assertEqual(self.passes(self.reads(chosen, "CONFIG_PACKAGE_uhttpd=y")).splitlines(), alone)

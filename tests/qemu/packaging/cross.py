"""The scripts of cross/, without what compiles."""

import os
import re
import shutil
import unittest

from common import BIN, ENV, ROOT, TestCase, built, run

# In place of cargo: what has been built already, where there are sources.
CARGO = f"""#!/bin/sh
while [ $# -gt 1 ]; do
  case $1 in --target) target=$2 ;; --target-dir) into=$2 ;; esac
  shift
done
[ -e Cargo.toml ] || {{ echo "no Cargo.toml"; exit 1; }}
mkdir -p "$into/$target/release"
cp "{BIN}/$target/ecohttpd.debug" "$into/$target/release/ecohttpd"
"""
PROVISIONED = shutil.which("qemu-mipsel-static") and os.path.exists(ROOT / "target/cross/venv")


@unittest.skipUnless(PROVISIONED, "cross/build has not been run on this machine")
class Scripts(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.target = next(iter(built()))
        # A folder in which cd finds what the scripts look for in their own.
        cls.decoy = cls.dir / "decoy"
        (cls.decoy / "cross").mkdir(parents=True)
        cls.env = ENV | {"CDPATH": str(cls.decoy)}

    def tree(self):
        """A copy of the scripts with programs, where nothing is installed and nothing compiled."""
        tree = self.new_dir() / "tree"
        shutil.copytree(ROOT / "cross", tree / "cross")
        for name in "Cargo.toml", "Cargo.lock":
            shutil.copy(ROOT / name, tree)
        tools = tree / "target" / "cross" / "tools"
        tools.mkdir(parents=True)
        (tree / "target" / "cross" / "bin").symlink_to(BIN)
        for path, text in (tree / "cross" / "toolchain", "#!/bin/sh\n"), (tools / "cargo", CARGO):
            path.write_text(text)
            path.chmod(0o755)
        return tree

    def test_cdpath(self):
        for name in "build", "image", "size.sh", "where":
            with self.subTest(name=name):
                done = run(f"cross/{name}", "nothing", "0", cwd=ROOT, env=self.env)
                self.fails(done, 2, f"cross/{name}")
                self.assertEqual(done.stdout, "")
                self.assertNotIn("cannot open", done.stderr)

    def test_cdpath_and_toolchain(self):
        folder = self.new_dir()
        (folder / "venv").symlink_to(ROOT / "target" / "cross" / "venv")
        self.passes(run("cross/toolchain", folder, cwd=ROOT, env=self.env))
        self.assertEqual((folder / "tools" / "zcc").read_bytes(), (ROOT / "cross" / "zcc").read_bytes())

    def test_where(self):
        tree = self.tree()
        headers = self.passes(run("readelf", "-hW", BIN / self.target / "ecohttpd.debug"))
        entry = re.search("Entry point address: +(0x[0-9a-f]+)", headers)[1]
        found = self.passes(run("cross/where", self.target, entry, cwd=tree, env=self.env))
        self.assertTrue(found.startswith(f"{entry}:\n  "), found)
        for target in ".*", self.target[:-1] + ".", f"{self.target}|x", "#":
            done = run("cross/where", target, "60000", cwd=tree)
            self.fails(done, 2, f"cross/where: {target}: not a target of cross/targets")

    def test_build(self):
        """Into a folder as named from where the user stands; and from the whole of the sources."""
        where, options = self.new_dir(), ["--features", "none", "--out", "here", "--twice"]
        env = self.env | {"TAR_OPTIONS": "--exclude=Cargo.toml", "XZ_DEFAULTS": "--nonsense"}
        said = self.passes(run(self.tree() / "cross" / "build", self.target, *options, cwd=where, env=env))
        self.assertIn("the same again", said)
        self.assertEqual((where / "here" / "ecohttpd").read_bytes(), (BIN / self.target / "ecohttpd").read_bytes())

    @unittest.skipUnless(len(built()) > 1, "only one target is built")
    def test_build_checks(self):
        """What is not for the target is not put where the programs are."""
        tree, other = self.tree(), list(built())[1]
        of_another = CARGO.replace("$target/ecohttpd.debug", f"{other}/ecohttpd.debug")
        (tree / "target" / "cross" / "tools" / "cargo").write_text(of_another)
        done = run(tree / "cross" / "build", self.target, "--features", "none", "--out", "here", cwd=tree)
        self.fails(done, 1, f"cross/build: {self.target}: ")
        self.assertFalse((tree / "here" / "ecohttpd").exists())

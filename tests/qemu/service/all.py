"""Runs the tests of this folder, or those whose names are given."""

import pathlib
import subprocess
import sys
import unittest

here = pathlib.Path(__file__).parent
sys.path.insert(0, str(here))
import router

MODULES = ["configuration", "mistakes", "passwords", "supervision", "process", "certificate",
           "renewal", "migration", "installation"]


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # The address of lan, on the only interface that there is in here.
    subprocess.run(["ip", "addr", "add", "192.168.1.1/32", "dev", "lo"], check=True)
    router.make_template()
    tests = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:] or MODULES)
    result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(tests)
    sys.exit(not (result.wasSuccessful() and result.testsRun))


main()

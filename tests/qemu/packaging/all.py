"""Runs the tests of this folder, or those that are named."""

import sys
import unittest

import common

if __name__ == "__main__":
    common.look_around()
    names = sys.argv[1:] or ["keys", "ipk", "feed", "apk", "buildroot", "mistakes", "cross"]
    unittest.main(module=None, argv=[sys.argv[0], *names])

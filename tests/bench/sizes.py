"""The bytes of the launcher with each set of features."""

import os
import subprocess

from servers import ROOT

SETS = ('', 'dns', 'gzip', 'tlsf', 'async-io', 'tls', 'tls,gzip,dns', 'tls,gzip,dns,async-io')


def show():
    target = os.path.join(ROOT, 'target/sizes')
    for features in SETS:
        subprocess.run(['cargo', 'build', '-q', '--release', '--no-default-features', '--features', features,
                        '--bin', 'ecohttpd', '--target-dir', target], check=True, cwd=ROOT)
        size = os.path.getsize(f'{target}/release/ecohttpd')
        print(f'{size:>9,} bytes with {features or "no features"}', flush=True)

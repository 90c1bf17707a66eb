"""The programs for routers in QEMU's user mode: python3 all.py TARGET..., as tests/qemu/user calls it.

Each step says how long it took. One that fails is shown, and the others go on.
"""

import http.client
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import access
import conformance
import library
import process
import scripts
import secure
import serving
from common import ROOT, Site, Target, Trouble

STEPS = [
    serving.says_who_it_is, serving.serves, serving.serves_large_files, serving.serves_ranges,
    serving.serves_compressed, serving.lists, serving.logs,
    secure.serves_https, secure.has_each_cipher, secure.agrees_on_a_protocol, secure.resumes,
    secure.refuses_the_unsound, secure.makes_certificates,
    scripts.runs_scripts, scripts.takes_uploads, scripts.takes_chunked_bodies,
    scripts.has_one_wait_for_the_other,
    access.asks_for_passwords, access.follows_rules,
    process.reloads, process.drains, process.keeps_time,
]
# Big endian shows what the others do not; once is enough for what is long and the same everywhere.
CONFORMS = "mips-unknown-linux-musl"


def commands():
    """What runs the programs of each target, by cross/targets."""
    rows = [line.split("\t") for line in (ROOT / "cross" / "targets").read_text().splitlines()]
    return {row[0]: row[2].split() for row in rows if len(row) == 4 and not row[0].startswith("#")}


def attempt(target, name, step):
    """Whether a step went well."""
    start = time.monotonic()
    try:
        said = step(target)
    except (Trouble, OSError, http.client.HTTPException, subprocess.SubprocessError) as trouble:
        print(f"FAILED {name} {type(trouble).__name__}: {trouble}", flush=True)
        return False
    print(f"ok {time.monotonic() - start:6.1f} s  {name}{f' {said}' if said else ''}", flush=True)
    return True


def run(target):
    """Runs everything for a target, and says how much went well, and how much did not."""
    results = [attempt(target, step.__doc__, step) for step in STEPS]
    if target.name == CONFORMS:
        if conformance.is_there():
            results += [attempt(target, step.__doc__, step) for step in conformance.STEPS]
        else:
            print("skipped  Conformance to HTTP/1.1: ../shared/blackbox is not there.", flush=True)
    passed, failed = sum(results), len(results) - sum(results)
    for kind, name, path in target.tests:
        counts = library.attempt(target, kind, name, path)
        passed, failed = passed + counts[0], failed + counts[1]
    return passed, failed


def main(work, names):
    passed = failed = 0
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ecohttpd-user-"))
    try:
        site = Site(folder)
        for name in names:
            began = time.monotonic()
            print(f"-- {name}", flush=True)
            tests = [line.split("\t") for line in (work / f"{name}.tests").read_text().splitlines()]
            counts = run(Target(name, commands()[name], site, tests))
            passed, failed = passed + counts[0], failed + counts[1]
            print(f"{name}: {time.monotonic() - began:.0f} s in all", flush=True)
    finally:
        shutil.rmtree(folder)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # Neither the proxy of whoever runs this is to be tested, nor whom they trust.
    for variable in list(os.environ):
        if variable.lower().endswith(("_proxy", "_ca_bundle", "ssl_cert_file", "ssl_cert_dir")):
            del os.environ[variable]
    sys.exit(main(pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]))

"""The tests of cargo, built for the target and run under QEMU."""

import os
import re
import subprocess
import time

from common import ROOT

# Each program has this long: by far more than any needs.
LONG = 300
RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;", re.M)
# Left out, by the program they are in.
SKIP = {
    # It starts an example as a process, which the kernel of this machine cannot run.
    "form": ["memory_stays_where_it_was"],
    # It reads the kernel's table of sockets, whose addresses are in the byte order of this machine.
    "successor": ["a_kept_socket_probes_as_it_is_told"],
    # By far the longest: they send tens of MB by code that is hardly optimized. The launcher does that here
    # by code that is (secure.py, scripts.py).
    "tls": ["large_files_and_bodies_arrive_whole"],
    "connection": ["a_client_that_has_said_all_still_gets_its_answers",
                   "head_has_the_fields_of_get_and_no_content"],
}
KINDS = {"lib": "unit tests of the library", "bin": "unit tests of the launcher", "test": "tests/{}.rs"}


def attempt(target, kind, name, path):
    """Runs the tests in a program; how many went well, and how many did not."""
    start = time.monotonic()
    command = [*target.qemu, path, "-q", "--exact"]
    for test in SKIP.get(name, []):
        command += "--skip", test
    name = KINDS[kind].format(name)
    # Some random cases of each property. What a test begins is ended with it.
    env = os.environ | {"PROPTEST_CASES": "16", "RUST_BACKTRACE": "0"}
    try:
        done = subprocess.run(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=LONG, check=False)
    except subprocess.TimeoutExpired as trouble:
        said = (trouble.stdout or b"").decode(errors="replace")
        print(f"FAILED {name}: not within {LONG} s: {said}", flush=True)
        return 0, 1
    said = (done.stdout + done.stderr).decode(errors="replace")
    found = RESULT.search(said)
    passed, failed = map(int, found.group(1, 2)) if found else (0, 0)
    if done.returncode != 0 or passed == 0:
        # The counts of a run that is none are not to be read as such.
        print(f"FAILED {name}, ends with {done.returncode}: {RESULT.sub('', said)}", flush=True)
        return passed, max(failed, 1)
    print(f"ok {time.monotonic() - start:6.1f} s  {name}: {passed}", flush=True)
    return passed, failed

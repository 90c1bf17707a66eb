"""The checks of HTTP/1.1 that lie beside the project and are no part of it."""

import re
import subprocess
import sys

from common import HTTPS, PATIENCE, ROOT, check

FOLDER = ROOT.parent / "shared" / "blackbox"


def is_there():
    return (FOLDER / "blackbox.py").exists()


def conforms(target):
    """Conformance to HTTP/1.1 by the checks of ../shared/blackbox."""
    return ask(target, 0)


def conforms_by_https(target):
    """Conformance to HTTP/1.1 under TLS by the checks of ../shared/blackbox."""
    return ask(target, 1, "--tls")


def ask(target, number, *options):
    """Asks the launcher at one of its addresses; says how many checks there are."""
    home = target.site.new_folder()
    subprocess.run([sys.executable, FOLDER / "mkroot.py", home], check=True, timeout=PATIENCE)
    with target.serve(*HTTPS, home=home) as server:
        address = f"127.0.0.1:{server.ports[number]}"
        command = [sys.executable, FOLDER / "blackbox.py", address, "--fails", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    found = re.search(r"^(\d+) passed, 0 failed$", done.stdout, re.M)
    check(found and done.returncode == 0 and int(found[1]) > 0, done.stderr + done.stdout)
    return f"{found[1]} checks"


STEPS = conforms, conforms_by_https

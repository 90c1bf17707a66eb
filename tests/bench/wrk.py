"""Load by wrk, and what it says of it."""

import re
import subprocess

from processes import Failure


def run(process, path='/1k.txt', connections=50, seconds=1, tls=False, close=False):
    """Requests that were answered, of so many connections at once for so many seconds."""
    url = f'http{"s" if tls else ""}://127.0.0.1:{process.port}{path}'
    argv = ['wrk', '-t1', f'-c{connections}', f'-d{seconds}s', '--timeout', '30s', '-H', 'Host: localhost']
    if close:
        argv += ['-H', 'Connection: close']
    done = subprocess.run([*argv, url], capture_output=True, text=True)
    requests = re.search(r'(\d+) requests in', done.stdout)
    if done.returncode or not requests or int(requests[1]) == 0:
        raise Failure(f'{process.name}: wrk: {done.stdout}{done.stderr}')
    failed = re.search(r'Non-2xx or 3xx responses: (\d+)', done.stdout)
    errors = re.search(r'Socket errors: connect (\d+), read \d+, write \d+, timeout (\d+)', done.stdout)
    if failed or (errors and (int(errors[1]) or int(errors[2]))):
        raise Failure(f'{process.name}: wrk: {done.stdout}')
    return int(requests[1])

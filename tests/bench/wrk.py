"""Load by wrk, and what it says of it."""

import os
import re
import subprocess

import client
from processes import Failure
from servers import OUT


def script(path):
    """One for wrk, for which each request is another than the one before."""
    requests = [client.request(to, fields=fields) for to, fields in (client.varied(path, i) for i in range(8))]
    lua = ', '.join('"' + ''.join(f'\\{b:03}' for b in request) + '"' for request in requests)
    file = os.path.join(OUT, 'varied.lua')
    with open(file, 'w') as f:
        f.write(f'local all, i = {{{lua}}}, 0\nrequest = function() i = i % #all + 1; return all[i] end\n')
    return file


def run(process, path='/1k.txt', connections=50, seconds=1, tls=False, close=False, varied=False):
    """Requests that were answered, of so many connections at once for so many seconds."""
    url = f'http{"s" if tls else ""}://127.0.0.1:{process.port}{path}'
    argv = ['wrk', '-t1', f'-c{connections}', f'-d{seconds}s', '--timeout', '30s', '-H', 'Host: localhost']
    if close:
        argv += ['-H', 'Connection: close']
    if varied:
        argv += ['-s', script(path)]
    done = subprocess.run([*argv, url], capture_output=True, text=True)
    requests = re.search(r'(\d+) requests in', done.stdout)
    if done.returncode or not requests or int(requests[1]) == 0:
        raise Failure(f'{process.name}: wrk: {done.stdout}{done.stderr}')
    failed = re.search(r'Non-2xx or 3xx responses: (\d+)', done.stdout)
    errors = re.search(r'Socket errors: connect (\d+), read \d+, write \d+, timeout (\d+)', done.stdout)
    if failed or (errors and (int(errors[1]) or int(errors[2]))):
        raise Failure(f'{process.name}: wrk: {done.stdout}')
    return int(requests[1])

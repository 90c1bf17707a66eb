"""Memory and idleness."""

import time

from bench import Bound, Line, STATIC, row
import client
from processes import Failure


def idle(process, tls):
    with client.connect(process.port, client.tls_context() if tls else None) as s:
        client.get(s)
    time.sleep(0.3)
    return process.memory()


def look(count, tls):
    def measure(process):
        before = idle(process, tls)
        try:
            with client.Idle(process, count, tls):
                return before, (process.memory() - before) / count
        except (Failure, OSError):
            # What closes each connection has none that idle.
            return before, None
    return measure


def column(looked, i):
    return {name: [values[i]] for name, values in looked.items() if values[i] is not None}


@row('memory')
def memory(bench):
    both = lambda most: [Bound(most), Bound(most, of=STATIC)]
    plain = bench.each('plain', bench.pick('plain', STATIC, 'lighttpd', 'nginx', 'busybox'), look(1000, False))
    tls = bench.each('tls', bench.pick('tls', STATIC, 'lighttpd', 'nginx'), look(500, True))
    yield Line('memory-idle', 'private memory, idle after a request', 'KiB', column(plain, 0), both(450))
    yield Line('memory-connection', 'for each idle keep-alive connection', 'KiB', column(plain, 1), both(0.6))
    yield Line('memory-tls-idle', 'private memory, idle after a request over TLS', 'KiB', column(tls, 0))
    yield Line('memory-tls-connection', 'for each idle connection over TLS', 'KiB', column(tls, 1), both(10))


@row('wakeups')
def wakeups(bench):
    seconds = 3 if bench.quick else 10

    def woken(process):
        idle(process, False)
        time.sleep(1)
        before = process.waits()
        time.sleep(seconds)
        return [(process.waits() - before) / seconds]

    servers = bench.pick('plain', 'lighttpd', 'nginx')
    yield Line('wakeups', 'wake-ups a second, nothing connected', '', bench.each('plain', servers, woken), [Bound(0)])

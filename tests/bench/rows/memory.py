"""Memory and idleness."""

import os
import time

from bench import Bound, Line, MINI, STATIC, row
import client
from processes import Failure


def idle(process, tls):
    with client.connect(process.port, client.tls_context() if tls else None) as s:
        client.get(s)
    process.rest()
    time.sleep(0.3)
    return process.memory()


def look(count, tls):
    """What it takes when idle, how much of that is not as in its file, and what each connection adds."""
    def measure(process):
        before, dirty = idle(process, tls), process.memory('Private_Dirty')
        written = process.memory('Anonymous:')
        try:
            with client.Idle(process, count, tls):
                # By what was written to: what else it maps of itself meanwhile is none of theirs.
                return before, dirty, (process.memory('Anonymous:') - written) / count, process.threads()
        except (Failure, OSError):
            # What closes each connection has none that idle.
            return before, dirty, None, process.threads()
    return measure


@row('memory')
def memory(bench):
    # A program that the disk has not got yet counts as written to.
    os.sync()
    each = lambda most: [Bound(most), *(Bound(most, of=name) for name in (STATIC, MINI))]
    for kind, prefix, over, count, peers, most in (
            ('plain', 'memory', '', 1000, ('lighttpd', 'nginx', 'busybox'), (450, 0.6)),
            ('tls', 'memory-tls', ' over TLS', 500, ('lighttpd', 'nginx'), (None, 10))):
        count = count // 2 if bench.quick else count
        looked = bench.each(kind, bench.pick(kind, STATIC, MINI, *peers), look(count, kind == 'tls'))
        columns = [{name: [values[i]] for name, values in looked.items() if values[i] is not None}
                   for i in range(4)]
        yield Line(f'{prefix}-idle', f'private memory, idle after a request{over}', 'KiB', columns[0],
                   each(most[0]) if most[0] else ())
        yield Line(f'{prefix}-dirty', 'of that, dirty', 'KiB', columns[1])
        yield Line(f'{prefix}-connection', f'for each idle connection{over}', 'KiB', columns[2], each(most[1]))
        yield Line(f'{prefix}-threads', f'threads{over}', '', columns[3])


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

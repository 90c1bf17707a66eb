"""Many at once."""

import contextlib
import math
import resource

from bench import Bound, Line, row
import client
from processes import Failure
from rows.files import by_wrk
from servers import CROWD, SCRIPT_WAITS

IDLE = 10000


def room(files):
    """Lets this process have so many files open, and what it starts, too; or as many as are allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for most in (max(files, hard), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(files, most)), most))
            break
        except (ValueError, OSError):
            pass
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@row('idle10k')
def idle(bench):
    # lighttpd wants two descriptors for each connection.
    count = min(IDLE, room(2 * CROWD) // 2 - 200)
    servers = bench.pick('crowd', 'lighttpd', *(() if bench.quick else ('nginx',)))
    alone, crowded = {}, {}
    load = by_wrk(connections=50)
    for server in servers:
        try:
            with contextlib.ExitStack() as stack:
                quiet, full = (stack.enter_context(server.start('crowd')) for _ in range(2))
                stack.enter_context(client.Idle(full, count))
                for _ in range(bench.rounds):
                    alone.setdefault(server.name, []).append(load(quiet))
                    crowded.setdefault(server.name, []).append(load(full))
        except (Failure, OSError) as e:
            bench.failed(server, Failure(f'{server.name}: {e}'))
            alone.pop(server.name, None)
            crowded.pop(server.name, None)
    yield Line('idle10k', f'1 KiB file beside {count:,} idle connections, against none', '×',
               {name: [b / a for a, b in zip(alone[name], crowded[name])] for name in crowded if name in alone},
               [Bound(1.1)])


def exponent(points):
    """The power of N with which the cost grows from 10 on: 1 is linear."""
    logs = [(math.log(n), math.log(cost)) for n, cost in points if n >= 10]
    x, y = (sum(axis) / len(logs) for axis in zip(*logs))
    return sum((a - x) * (b - y) for a, b in logs) / sum((a - x) ** 2 for a, _ in logs)


def curve(bench, kind, servers, path, body, own):
    """CPU seconds of so many responses at once, and the exponent of it."""
    room(4000)
    sizes = (1, 10, 100) if bench.quick else (1, 10, 100, 1000)
    points = {server.name: [] for server in servers}
    for n in sizes:
        again = max(1, (4 if own else 100) // n)

        def load(process):
            clock = process.own_cpu if own else process.cpu
            before = clock()
            for _ in range(again):
                client.together(process, path, n, body)
            process.settle()
            return (clock() - before) / again

        for name, values in bench.interleave(kind, servers, load, 1 if n == 1000 else 3).items():
            points[name].append((n, min(values)))
    points = {name: found for name, found in points.items() if len(found) == len(sizes)}
    return {name: [exponent(found)] for name, found in points.items()}, points


@row('downloads')
def downloads(bench):
    servers = bench.pick('plain', 'lighttpd', 'nginx')
    values, points = curve(bench, 'plain', servers, '/1m.bin', 1 << 20, False)
    yield Line('downloads', '1 to 1,000 downloads of 1 MiB at once: exponent of their cost', '', values,
               [Bound(1.1)], ('downloads of 1 MiB at once', 'CPU µs', points))


@row('waits')
def waits(bench):
    servers = bench.pick('cgi', 'lighttpd')
    values, points = curve(bench, 'cgi', servers, '/cgi-bin/wait', len(SCRIPT_WAITS), True)
    yield Line('waits', '1 to 1,000 scripts that wait, at once: exponent of their cost to the server', '', values,
               [Bound(1.1)], ('scripts that wait at once', 'CPU µs of the server', points))

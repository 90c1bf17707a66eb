"""Files over plain HTTP: CPU time of the server and its children for each request."""

from bench import Bound, Line, UNCACHED, row
import client
from counts import Counter
from processes import Failure
import wrk

MICRO = 1e6
LARGE = 1 << 29
PEERS = (UNCACHED, 'lighttpd', 'nginx', 'raw-file')
ALL = (*PEERS, 'lighttpd-debian', 'busybox', 'raw')


def cpu_of(process, load):
    """CPU seconds of one of the requests that `load` counts."""
    if process.disowns():
        with Counter(process, task_clock=True) as counter:
            requests = load()
            process.settle()
        if not counter.cpu:
            raise Failure('perf sees no CPU time')
        return counter.cpu / requests
    before = process.cpu()
    requests = load()
    process.settle()
    return (process.cpu() - before) / requests


def by_wrk(scale=MICRO, **how):
    return lambda process: cpu_of(process, lambda: wrk.run(process, **how)) * scale


@row('keepalive')
def keepalive(bench):
    values = bench.interleave('plain', bench.pick('plain', *ALL), by_wrk(connections=50))
    yield Line('keepalive', '1 KiB file, keep-alive, 50 connections', 'CPU µs', values,
               [Bound(0.85, 'lighttpd'), Bound(0.8, 'raw-file'), Bound(1.1, 'lwan')])


@row('varied')
def varied(bench):
    servers = bench.pick('plain', UNCACHED, 'lighttpd', 'nginx')
    values = bench.interleave('plain', servers, by_wrk(connections=50, varied=True))
    yield Line('varied', 'the same, asked for by browsers in turn', 'CPU µs', values)


@row('one')
def one(bench):
    values = bench.interleave('plain', bench.pick('plain', *PEERS), by_wrk(connections=1))
    yield Line('one', '1 KiB file, keep-alive, one connection', 'CPU µs', values, [Bound(0.95, 'lighttpd')])


@row('close')
def close(bench):
    values = bench.interleave('plain', bench.pick('plain', *PEERS, 'busybox'), by_wrk(connections=10, close=True))
    yield Line('close', '1 KiB file, `connection: close`, 10 connections', 'CPU µs', values,
               [Bound(0.95, 'lighttpd')])


@row('spaced')
def spaced(bench):
    count = 30 if bench.quick else 100
    servers = bench.pick('plain', UNCACHED, 'lighttpd', 'nginx', 'raw-file')
    values = bench.interleave('plain', servers, lambda p: client.spaced(p, count) / count * MICRO)
    yield Line('spaced', '1 KiB file, one connection, 20 ms apart', 'CPU µs', values, [Bound(1, 'lighttpd')])

    def counted(process):
        with Counter(process) as counter:
            client.spaced(process, count)
        # The first one opens the connection.
        return counter.calls / (count + 1), counter.futex / (count + 1), process.threads()

    looked = bench.each('plain', servers, counted)
    for i, (what, most) in enumerate([('calls', 4), ('futex', 0), ('threads', 1)]):
        title = {'calls': 'system calls a request', 'futex': 'futex calls a request', 'threads': 'threads'}[what]
        yield Line(f'spaced-{what}', f'the same: {title}', '', {name: [v[i]] for name, v in looked.items()},
                   [Bound(most)])


@row('100k')
def hundred(bench):
    servers = bench.pick('plain', 'lighttpd', 'nginx', 'raw-sendfile')
    values = bench.interleave('plain', servers, by_wrk(connections=50, path='/100k.bin'))
    yield Line('100k', '100 KiB file, keep-alive, 50 connections', 'CPU µs', values, [Bound(1, 'nginx')])


def downloads(bench, kind, tls, *names):
    def load(process):
        return cpu_of(process, lambda: client.download(process, '/512m.bin', tls) / (1 << 30))

    return bench.interleave(kind, bench.pick(kind, *names), load)


@row('512m')
def large(bench):
    values = downloads(bench, 'plain', False, 'lighttpd', 'nginx', 'raw-sendfile')
    yield Line('512m', '512 MiB file', 'CPU s/GiB', values, [Bound(1, 'nginx')])

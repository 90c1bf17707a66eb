"""Forms and scripts."""

from bench import Bound, Line, row
import client
from rows.files import MICRO, cpu_of
import wrk

SIZE = 256 << 20


@row('upload')
def upload(bench):
    def path(process):
        return '/' if process.name == 'ecohttpd' else '/cgi-bin/discard'

    def load(process):
        return cpu_of(process, lambda: client.upload(process, path(process), SIZE) or SIZE / (1 << 30))

    servers = bench.pick('upload', 'lighttpd')
    values = bench.interleave('upload', servers, load, min(bench.rounds, 5))
    yield Line('upload', 'multipart upload of 256 MiB (ours: read_formdata, theirs: a script that reads it all)',
               'CPU s/GiB', values, [Bound(0.6, 'lighttpd')])

    def peak(process):
        # Of what it allocates; its code is read in by and by.
        idle, most = process.memory('Anonymous:'), [0]

        def sample():
            most[0] = max(most[0], process.memory('Anonymous:', children=True))

        client.upload(process, path(process), SIZE // 2, sample)
        return [most[0] - idle]

    yield Line('upload-memory', 'the same: memory at its peak over that when idle', 'KiB',
               bench.each('upload', servers, peak), [Bound(64)])


@row('cgi')
def cgi(bench):
    servers = bench.pick('cgi', 'lighttpd')
    totals = {}

    def load(process):
        own, both = process.own_cpu(), process.cpu()
        requests = wrk.run(process, '/cgi-bin/hello', 4)
        process.settle()
        totals.setdefault(process.name, []).append((process.cpu() - both) / requests * MICRO)
        return (process.own_cpu() - own) / requests * MICRO

    values = bench.interleave('cgi', servers, load)
    yield Line('cgi', 'CGI hello, 4 connections: the server itself', 'CPU µs', values, [Bound(1, 'lighttpd')])
    yield Line('cgi-total', 'the same, with the script', 'CPU µs', totals)

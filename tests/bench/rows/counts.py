"""System calls and instructions on this machine."""

import os
import re

from bench import Bound, Line, OURS, UNCACHED, row
import client
from counts import Counter
from processes import Process, free_port
from servers import OUT
import wrk


@row('calls')
def calls(bench):
    servers = bench.pick('plain', UNCACHED, 'lighttpd', 'nginx', 'raw', 'raw-file')
    for connections, most, uncached in ((50, 2.5, 4.1), (1, 5, 6)):
        def count(process):
            with Counter(process) as counter:
                requests = wrk.run(process, connections=connections)
            return [counter.calls / requests]

        what = 'one connection' if connections == 1 else f'{connections} connections'
        yield Line(f'calls-{connections}', f'system calls for a 1 KiB file, {what}', '',
                   bench.each('plain', servers, count), [Bound(most), Bound(uncached, of=UNCACHED)])


def callgrind(server, kind, requests, varied=False, **more):
    port, out = free_port(), os.path.join(OUT, f'{server.name}.callgrind')
    argv = ['valgrind', '--tool=callgrind', f'--callgrind-out-file={out}', *server.argv(kind, port)]
    with Process(server.name, argv, port, os.path.join(OUT, f'{server.name}.valgrind.log')):
        with client.connect(port, client.tls_context() if kind == 'tls' else None) as s:
            for i in range(requests):
                path, fields = client.varied('/1k.txt', i % 8)
                client.get(s, **({'path': path, 'fields': fields} if varied else more))
    with open(out) as f:
        return int(re.search(r'(?m)^(?:totals|summary): (\d+)', f.read())[1])


@row('instructions')
def instructions(bench):
    count = 200
    for name, kind, what, names, fields in (
            ('instructions', 'plain', '', (UNCACHED, 'lighttpd', 'raw', 'raw-file'), {}),
            ('browser-instructions', 'plain', ', asked for by a browser', ('lighttpd',), {'fields': client.BROWSER}),
            ('varied-instructions', 'plain', ', asked for by browsers in turn', ('lighttpd',), {'varied': True}),
            ('tls-instructions', 'tls', ', TLS', ('lighttpd',), {})):
        values = {}
        for server in bench.pick(kind, *names):
            if server.name != OURS and server in bench.extra:
                continue
            # What the start took is in both.
            once, twice = (callgrind(server, kind, n, **fields) for n in (count, 2 * count))
            values[server.name] = [(twice - once) / count]
        yield Line(name, f'user instructions for a 1 KiB file{what}, one connection', '', values)

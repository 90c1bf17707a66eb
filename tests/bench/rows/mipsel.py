"""System calls, instructions and memory as a router has them: of the programs for mipsel, under QEMU."""

import os
import struct
import time

from bench import Bound, Line, MINI, OURS, row
import client
from processes import Failure, Process, free_port
from servers import MIPSEL, OUT, ROOT, ours

FIRST, CALLS = 4000, 1000
# On many routers the kernel lets these be answered without a call; QEMU does not.
CLOCK = (4263, 4403)
# It reads a file that is in memory, and QEMU 7.2 does not know it: pread64 comes after it.
PREADV2 = (4361,)


class Emulated:
    """A launcher under QEMU, whose plugin counts in a file."""

    def __init__(self, server):
        self.file, port = os.path.join(OUT, f'{server.name}.counts'), free_port()
        argv = ['qemu-mipsel', '-cpu', '24Kc', '-plugin', f'{OUT}/count.so,into={self.file}',
                *server.argv('plain', port)]
        self.process = Process(server.name, argv, port, os.path.join(OUT, f'{server.name}.qemu.log'))

    def counts(self):
        # Until it sleeps again.
        time.sleep(0.1)
        with open(self.file, 'rb') as f:
            return struct.unpack(f'={1 + CALLS}Q', f.read())

    def cost(self, load, requests):
        """What a request costs: instructions, all calls, those for the time, and those that QEMU lacks."""
        before = self.counts()
        load()
        instructions, *calls = [(after - first) / requests for after, first in zip(self.counts(), before)]
        return (instructions, sum(calls), *(sum(calls[n - FIRST] for n in some) for some in (CLOCK, PREADV2)))


def emulated(server, count=50):
    """The cost on one connection and on many at once."""
    it = Emulated(server)
    with it.process:
        with client.connect(it.process.port) as s:
            client.get(s)
            one = it.cost(lambda: [client.get(s) for _ in range(count)], count)
        with client.Idle(it.process, count) as idle:
            many = it.cost(lambda: [idle.volley() for _ in range(4)], 4 * count)
    return one, many


def connection(server, before=600, count=400):
    """KiB of one of so many idle connections; those before them have had the tables grow and QEMU translate."""
    port = free_port()
    argv = ['qemu-mipsel', '-cpu', '24Kc', *server.argv('plain', port)]
    with Process(server.name, argv, port, os.path.join(OUT, f'{server.name}.qemu.log')) as process:
        with client.Idle(process, before):
            first = process.memory('Anonymous:')
            with client.Idle(process, count):
                return (process.memory('Anonymous:') - first) / count


def there(file):
    if not os.path.exists(file):
        raise Failure(f'{os.path.relpath(file, ROOT)} is not there: cross/build mipsel-unknown-linux-musl')
    return file


@row('mipsel')
def mipsel(bench):
    there(MIPSEL)
    for connections, values in zip((1, 50), emulated(ours('ecohttpd-mipsel', MIPSEL))):
        where = 'one connection' if connections == 1 else f'{connections} at once'
        titles = ('user instructions for a 1 KiB file', 'system calls for it',
                  'of these, clock_gettime, which routers have in a vDSO',
                  'of these, preadv2, which QEMU does not know')
        for key, title, value in zip(('instructions', 'calls', 'clock', 'preadv2'), titles, values):
            yield Line(f'mipsel-{key}-{connections}', f'mipsel, {where}: {title}', '', {OURS: [value]})
    values = {name: [connection(ours(f'{name}-mipsel', there(file)))]
              for name, file in ((OURS, MIPSEL), (MINI, f'{MIPSEL}-mini'))}
    yield Line('mipsel-connection', 'mipsel: for each idle connection', 'KiB', values,
               [Bound(0.6), Bound(0.6, of=MINI)])

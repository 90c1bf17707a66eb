"""What is guarded: each measure has the release build counted, and says what its count consists of."""

import functools
import os
import time

import client
import ground
from counts import Counter
from rows.counts import callgrind
from servers import CACHE_OFF, has_option, ours

MEASURES = {}
STARTS = 8


class Lacking(Exception):
    """What the launcher has not got, so that nothing is to be counted."""


def measure(name):
    def register(function):
        MEASURES[name] = function
        return function

    return register


def launcher(binary, *more):
    return ours('guarded', binary, more)


def parts(counter, requests):
    per = sorted(((n / requests, name) for name, n in counter.by_name.items()), reverse=True)
    return ', '.join(f'{n:.2f} {name}' for n, name in per if n >= 0.01)


def calls(server, kind, load, requests, connections=1):
    """System calls for each of the requests that `load` sends on connections that are there already."""
    with server.start(kind) as process, client.Idle(process, connections, kind == 'tls') as idle:
        with Counter(process, by_name=True) as counter:
            load(process, idle)
            time.sleep(0.2)
        return counter.calls / requests, parts(counter, requests)


def lone(count):
    def load(_, idle):
        for _ in range(count):
            client.get(idle.held[0])
    return load


def volleys(count):
    def load(_, idle):
        for _ in range(count):
            idle.volley()
    return load


@measure('calls-1')
def calls_one(binary):
    return calls(launcher(binary), 'plain', lone(400), 400)


@measure('calls-50')
def calls_fifty(binary):
    return calls(launcher(binary), 'plain', volleys(20), 20 * 50, 50)


@measure('calls-close')
def calls_close(binary):
    def load(process, _):
        for _ in range(200):
            client.whole(process, '/1k.txt', False)
    return calls(launcher(binary), 'plain', load, 200)


@measure('calls-tls-1')
def calls_tls(binary):
    return calls(launcher(binary), 'tls', lone(400), 400)


def uncached(binary):
    if not has_option(binary, CACHE_OFF[0]):
        raise Lacking(f'the launcher has no {CACHE_OFF[0]}')
    return launcher(binary, *CACHE_OFF)


@measure('calls-uncached-1')
def calls_uncached(binary):
    return calls(uncached(binary), 'plain', lone(400), 400)


@measure('calls-uncached-50')
def calls_uncached_fifty(binary):
    return calls(uncached(binary), 'plain', volleys(20), 20 * 50, 50)


def instructions(server, kind, count=200, **more):
    # What the start took is in both.
    once, twice = (callgrind(server, kind, n, **more) for n in (count, 2 * count))
    return (twice - once) / count, ''


@measure('instructions')
def instructions_plain(binary):
    return instructions(launcher(binary), 'plain')


@measure('instructions-browser')
def instructions_browser(binary):
    return instructions(launcher(binary), 'plain', fields=client.BROWSER)


@measure('instructions-varied')
def instructions_varied(binary):
    return instructions(launcher(binary), 'plain', varied=True)


@measure('instructions-tls')
def instructions_tls(binary):
    return instructions(launcher(binary), 'tls')


@functools.cache
def held(binary, kind, count):
    """KiB that were written to when idle, and bytes of each idle connection."""
    with launcher(binary).start(kind) as process:
        with client.Idle(process, 1, kind == 'tls'):
            process.rest()
            written = process.memory('Anonymous:')
            with client.Idle(process, count, kind == 'tls'):
                # Without the file of the program, which the kernel maps 64 KiB at a time, now or later, and
                # which counts as written to as long as the disk has not got it.
                return written, (process.memory('Anonymous:') - written) * 1024 / count


@measure('memory')
def memory(binary):
    # Where the program lies, which is another place each time, decides how much of it is mapped around what
    # it uses: 200 KiB more or less.
    return min(idle(binary) for _ in range(STARTS)), ''


def idle(binary):
    with launcher(binary).start('plain') as process, client.Idle(process, 1):
        process.rest()
        return process.memory()


@measure('memory-written')
def memory_written(binary):
    return held(binary, 'plain', 1000)[0], ''


@measure('connection')
def connection(binary):
    return held(binary, 'plain', 1000)[1], ''


@measure('connection-tls')
def connection_tls(binary):
    return held(binary, 'tls', 500)[1], ''


@measure('threads')
def threads(binary):
    with launcher(binary).start('plain') as process, client.Idle(process, 10):
        process.rest()
        return process.threads(), ''


@measure('wakeups')
def wakeups(binary):
    with launcher(binary).start('plain') as process:
        with client.Idle(process, 1):
            pass
        process.rest()
        time.sleep(1)
        before = process.waits()
        time.sleep(3)
        return (process.waits() - before) / 3, ''


def segments(binary, kind, context=None):
    ground.docroot('100k.bin')
    with launcher(binary).start(kind) as process, client.connect(process.port, context) as s:
        before = client.segments_received(s)
        client.get(s, '/100k.bin')
        return client.segments_received(s) - before, ''


@measure('segments')
def segments_plain(binary):
    return segments(binary, 'plain')


@measure('segments-tls')
def segments_tls(binary):
    return segments(binary, 'tls', client.tls_context())


@measure('bytes')
def size(binary):
    return os.path.getsize(binary), ''

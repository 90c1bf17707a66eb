"""The same over TLS, and what a connection costs."""

from bench import Bound, Line, row
import client
from rows.files import MICRO, by_wrk, cpu_of, downloads

PEERS = ('lighttpd', 'nginx')


@row('tls-keepalive')
def keepalive(bench):
    values = bench.interleave('tls', bench.pick('tls', *PEERS), by_wrk(connections=50, tls=True))
    yield Line('tls-keepalive', 'TLS, 1 KiB file, keep-alive, 50 connections', 'CPU µs', values,
               [Bound(0.8, 'lighttpd')])


def handshakes(bench, resumed):
    count = 150 if bench.quick else 300

    def load(process):
        return cpu_of(process, lambda: client.handshakes(process, count, resumed)) * MICRO

    return bench.interleave('tls', bench.pick('tls', *PEERS), load)


@row('tls-full')
def full(bench):
    yield Line('tls-full', 'TLS 1.3, full handshake and one request', 'CPU µs', handshakes(bench, False),
               [Bound(0.8, 'lighttpd')])


@row('tls-resumed')
def resumed(bench):
    yield Line('tls-resumed', 'TLS 1.3, resumed handshake and one request', 'CPU µs', handshakes(bench, True),
               [Bound(0.8, 'lighttpd')])


@row('tls-512m')
def large(bench):
    yield Line('tls-512m', 'TLS, 512 MiB file', 'CPU s/GiB', downloads(bench, 'tls', True, *PEERS),
               [Bound(1, 'lighttpd')])

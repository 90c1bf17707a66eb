"""What no load generator does: lone requests with pauses, idle connections, handshakes of either kind, and
bodies of a known size in both directions."""

import os
import re
import selectors
import signal
import socket
import ssl
import struct
import time

from processes import Failure
from servers import ROOT

CA = os.path.join(ROOT, 'tests/pki/ca.pem')
ABORT = struct.pack('ii', 1, 0)


def tls_context():
    return ssl.create_default_context(cafile=CA)


def connect(port, context=None, session=None):
    s = socket.create_connection(('127.0.0.1', port), 30)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context:
        s = context.wrap_socket(s, server_hostname='localhost', session=session)
    return s


# What Chromium says of itself in each of its requests.
BROWSER = """Connection: keep-alive
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36
Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8
Referer: http://localhost/
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-US,en;q=0.9""".replace('\n', '\r\n')


def varied(path, i):
    """The path and the fields of the request `i` of those of which none is like the one before it."""
    return f'{path}?{i}', BROWSER.replace('localhost/', f'localhost/{i}')


def request(path, close=False, fields='Accept: */*'):
    return f'GET {path} HTTP/1.1\r\nHost: localhost\r\n{"Connection: close" if close else fields}\r\n\r\n'.encode()


def read_head(s):
    """The head of a response and what came of the body with it."""
    data = b''
    while b'\r\n\r\n' not in data:
        got = s.recv(65536)
        if not got:
            raise Failure(f'the connection ended after {data!r}')
        data += got
    head, _, rest = data.partition(b'\r\n\r\n')
    if not re.match(rb'HTTP/1\.[01] 2', head):
        raise Failure(f'answered {head!r}')
    return head, rest


def read_response(s, buffer=bytearray(1 << 18)):
    """Reads a response to its end, and returns the bytes of its body."""
    head, rest = read_head(s)
    length = re.search(rb'(?i)\ncontent-length: *(\d+)', head)
    if not length:
        raise Failure(f'no length: {head!r}')
    left = int(length[1]) - len(rest)
    while left:
        got = s.recv_into(buffer)
        if not got:
            raise Failure(f'{left} bytes are missing')
        left -= got
    return int(length[1])


def get(s, path='/1k.txt', **more):
    s.sendall(request(path, **more))
    return read_response(s)


def whole(process, path, tls):
    """The bytes of a body until the connection is closed."""
    with connect(process.port, tls_context() if tls else None) as s:
        s.sendall(request(path, close=True).replace(b'HTTP/1.1', b'HTTP/1.0'))
        _, rest = read_head(s)
        while got := s.recv(65536):
            rest += got
        return len(rest)


def download(process, path, tls=False):
    with connect(process.port, tls_context() if tls else None) as s:
        return get(s, path)


def segments_received(s):
    """Those that carried data: tcpi_data_segs_in of Linux's struct tcp_info."""
    return struct.unpack_from('=I', s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 152)[0]


def spaced(process, count, pause=0.02):
    """Requests on one connection, with a pause before each; the connection has been used once."""
    with connect(process.port) as s:
        get(s)
        before = process.cpu()
        for _ in range(count):
            time.sleep(pause)
            get(s)
        time.sleep(pause)
        return process.cpu() - before


class Idle:
    """So many connections, each of which has been used once and is kept open."""

    def __init__(self, process, count, tls=False):
        context = tls_context() if tls else None
        self.process, self.held = process, []
        for _ in range(count):
            s = connect(process.port, context)
            get(s)
            self.held.append(s)
        time.sleep(0.3)

    def __enter__(self):
        return self

    def volley(self):
        """A request on each of them, all of which the server finds at once: it is stopped while they are sent,
        so that how fast it is does not matter for how many it sees in a turn."""
        os.kill(self.process.pids[-1], signal.SIGSTOP)
        for s in self.held:
            s.sendall(request('/1k.txt'))
        os.kill(self.process.pids[-1], signal.SIGCONT)
        for s in self.held:
            read_response(s)

    def __exit__(self, *_):
        for s in self.held:
            # A reset leaves nothing waiting in the tables of the system.
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            s.close()


def handshakes(process, count, resumed):
    """Connections with one request each; every handshake is checked to have been of the kind asked for."""
    context = tls_context()
    session = None
    if resumed:
        session = _connection(process, context, None, None)
    for _ in range(count):
        # A ticket of TLS 1.3 is to be used once: each connection brings the one for the next.
        ticket = _connection(process, context, session, resumed)
        session = ticket if resumed else None
    return count


def _connection(process, context, session, resumed):
    with connect(process.port, context, session) as s:
        if resumed is not None and s.session_reused != resumed:
            raise Failure(f'{process.name}: a handshake was {"not " if resumed else ""}resumed')
        s.sendall(request('/1k.txt', close=True))
        read_response(s)
        return s.session


def agreed(process):
    """Version and cipher of TLS, as the server chooses them."""
    with connect(process.port, tls_context()) as s:
        return f'{s.version()} {s.cipher()[0]}'


def upload(process, path, size, sample=None):
    """Sends a form with a file of `size` bytes, and calls `sample` now and then. The answer says how many
    bytes came, the frame of the form among them or not."""
    block = bytes(range(256)) * 256
    boundary = b'----benchmark0123456789'
    begin = (b'--' + boundary + b'\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
             b'Content-Type: application/octet-stream\r\n\r\n')
    end = b'\r\n--' + boundary + b'--\r\n'
    with connect(process.port) as s:
        s.sendall(f'POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(begin) + size + len(end)}\r\n'
                  f'Content-Type: multipart/form-data; boundary={boundary.decode()}\r\n\r\n'.encode() + begin)
        for i in range(size // len(block)):
            s.sendall(block)
            if sample and i % 64 == 32:
                sample()
        s.sendall(end)
        _, rest = read_head(s)
        while not (said := re.search(rb'(\d+) bytes', rest)):
            got = s.recv(4096)
            if not got:
                raise Failure(f'{process.name}: does not say what it received: {rest!r}')
            rest += got
    if not size <= int(said[1]) <= size + len(begin) + len(end):
        raise Failure(f'{process.name}: received {int(said[1])} bytes of {size}')


def together(process, path, count, body, chunk=1 << 16):
    """So many responses of `body` bytes at once, all of them read in turn, until the last has ended."""
    selector = selectors.DefaultSelector()
    held = []
    for _ in range(count):
        s = socket.socket()
        # So that the server has to come back to each of them often.
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, chunk)
        s.connect(('127.0.0.1', process.port))
        held.append(s)
    for s in held:
        s.sendall(request(path, close=True))
        s.setblocking(False)
        selector.register(s, selectors.EVENT_READ, [0, b''])
    buffer = bytearray(chunk)
    left = count
    while left:
        ready = selector.select(30)
        if not ready:
            raise Failure(f'{process.name}: {left} of {count} responses do not go on')
        for key, _ in ready:
            got = key.fileobj.recv_into(buffer)
            state = key.data
            if got:
                if not state[0]:
                    state[1] = bytes(buffer[:got])
                state[0] += got
                continue
            if not state[1].startswith(b'HTTP/1.1 200') or state[0] < body:
                raise Failure(f'{process.name}: one of {count} responses: {state[0]} bytes, {state[1][:300]!r}')
            selector.unregister(key.fileobj)
            key.fileobj.close()
            left -= 1

"""The launcher as a process: what counts from SIGHUP on, how it ends, and its deadlines."""

import signal
import socket
import ssl
import threading
import time

from common import HTTPS, PKI, Client, Server, check, get, same, trusting, until
from secure import VERSIONS


def reloads(target):
    """SIGHUP: other options and another certificate count, and who is connected stays."""
    folder = target.site.new_folder()
    options = folder / "options"
    other = folder / "other"
    other.mkdir()
    (other / "index.html").write_bytes(b"other\n")
    addresses = "listen_http 127.0.0.1:0\nlisten_https 127.0.0.1:0\nconfig /dev/null\n"

    def write(home, name, more=""):
        pair = f"cert {PKI / name}.pem\nkey {PKI / name}.key\n"
        (folder / "new").write_text(f"{addresses}home {home}\n{pair}http_keepalive 100\n{more}")
        (folder / "new").rename(options)

    write(target.site.home, "localhost")
    server = Server([*target.program(), "-f", "--options", options], 2)
    try:
        plain, secure = server.ports
        clients = [Client(plain), *(Client(secure, trusting(version)) for version in VERSIONS.values())]
        for client in clients:
            same(client.get("/").body, b"<h1>index</h1>\n", "the old page")
        # A script is amidst its answer.
        slow = Client(plain)
        slow.send("GET", "/cgi-bin/wait")
        slow_answer = slow.http.getresponse()
        same(slow_answer.readline(), b"begun\n", "the script")
        for turn in range(2):
            write(other, "guest", f"header X-Turn: {turn}\n")
            server.signal(signal.SIGHUP)
            server.says("^ecohttpd: reloaded$")
            for client in clients:
                answer = client.get("/")
                same((answer.body, answer.field("X-Turn")), (b"other\n", str(turn)), "the new page and field")
        with Client(secure, trusting(), "guest.lan") as client:
            same(client.get("/").body, b"other\n", "by the new certificate")
        # With a mistake in it nothing changes.
        write(target.site.home, "localhost", "nonsense 1\n")
        server.signal(signal.SIGHUP)
        server.says("nonsense")
        server.says("^ecohttpd: not reloaded: ")
        for client in clients:
            same(client.get("/").body, b"other\n", "the page after a mistake")
        with target.site.going():
            same(slow_answer.read(), b"done\n", "the rest of what the script says")
        for client in (*clients, slow):
            client.socket.close()
        server.ends()
    finally:
        server.kill()


def drains(target):
    """SIGTERM: nobody new comes in, who idles goes at once, and what is under way is finished."""
    with target.serve("-k", "100") as server:
        port = server.ports[0]
        idle, script, download = Client(port), Client(port), Client(port)
        same(idle.get("/").status, 200, "an answer")
        script.http.putrequest("POST", "/cgi-bin/wait")
        script.http.putheader("Content-Length", "5")
        script.http.endheaders(b"bo")
        # More than what lies between here and there holds.
        download.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 10)
        download.send("GET", "/noise.bin")
        response = download.http.getresponse()
        start = response.read(1000)
        began = script.http.getresponse()
        same(began.readline(), b"begun\n", "the script")
        server.signal(signal.SIGTERM)
        check(idle.is_closed(), "who idled is sent something")
        until("nobody comes in", lambda: refuses(port), 30)
        check(server.process.poll() is None, "it has ended, and somebody is still served")
        script.socket.sendall(b"dy\n")
        with target.site.going():
            same(began.read(), b"body\ndone\n", "the rest of what the script says")
        check(start + response.read() == target.site.noise, "the download is another one")
        check(script.is_closed(), "it is not closed behind the script's answer")
        check(download.is_closed(), "it is not closed behind the download")
        for client in idle, script, download:
            client.socket.close()
        same(server.code(30), 0, "the exit code")


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


def keeps_time(target):
    """Deadlines for a request, for TLS, for idling and for scripts: never early, and not much late."""
    # A second by the clock's nature, and what a busy machine needs.
    late = 1 + 4

    def is_told(status, client):
        return client.socket.makefile("rb").readline().startswith(b"HTTP/1.1 %d " % status)

    with target.serve("-T", "5", "-k", "3", "-t", "2", *HTTPS) as server:
        plain, secure = server.ports
        half, body, mute, silent, idle = (Client(plain) for _ in range(5))
        shy, kept = Client(secure), Client(secure, trusting(ssl.TLSVersion.TLSv1_2))
        half.socket.sendall(b"GET / HT")
        body.socket.sendall(b"POST /cgi-bin/sum HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nbody")
        silent.send("GET", "/cgi-bin/silent")
        for client in idle, kept:
            same(client.get("/").status, 200, "an answer")
        waits = [
            Wait("half a request", half, 5, lambda: is_told(408, half)),
            Wait("half a body", body, 5, lambda: is_told(408, body)),
            Wait("no request", mute, 5, mute.is_closed),
            Wait("no handshake", shy, 5, shy.is_closed),
            Wait("idling", idle, 3, idle.is_closed),
            Wait("idling by TLS", kept, 3, kept.is_closed),
            Wait("a silent script", silent, 2, lambda: is_told(504, silent)),
        ]
        for wait in waits:
            wait.join()
            check(wait.trouble is None and wait.ended, f"{wait.name}: it ends otherwise: {wait.trouble}")
            check(wait.secs <= wait.took <= wait.secs + late,
                  f"{wait.name} for {wait.secs} s ends in {wait.took:.2f}")
        same(get(plain, "/").status, 200, "the next client")


class Wait(threading.Thread):
    """Waits for the end of what a client has begun."""

    def __init__(self, name, client, secs, ends):
        super().__init__(name=name, daemon=True)
        self.client, self.secs, self.ends = client, secs, ends
        self.ended = self.trouble = self.took = None
        self.start()

    def run(self):
        try:
            self.ended = self.ends()
        except OSError as trouble:
            self.trouble = trouble
        self.took = time.monotonic() - self.client.begun

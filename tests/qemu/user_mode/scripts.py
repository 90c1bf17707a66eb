"""Scripts, which are processes of this machine: what goes to them, and what comes back."""

from common import HTTPS, MIB, PATIENCE, Client, check, curl, digest, get, noise, same, trusting
from secure import VERSIONS
from serving import BOTH

UPLOAD = 64 * MIB


def runs_scripts(target):
    """A script sees the request and its body, and its answer comes back, by both programs."""
    for program in BOTH:
        with target.serve(program=program) as server, Client(server.ports[0]) as client:
            answer = client.ask("POST", "/cgi-bin/echo/p%20q?a=b", b"a body")
            same((answer.status, answer.body), (200, b"POST /p q 6 a body"), "what the script says")
            answer = client.get("/cgi-bin/environment?a=b&c", X_Api="y", Cookie="k=v")
            said = set(answer.body.decode().split("\n"))
            want = {"GATEWAY_INTERFACE=CGI/1.1", "QUERY_STRING=a=b&c", "REMOTE_ADDR=127.0.0.1",
                    "HTTP_X_API=y", "HTTP_COOKIE=k=v", f"SERVER_PORT={server.ports[0]}",
                    "REQUEST_METHOD=GET", "SCRIPT_NAME=/cgi-bin/environment", "SERVER_PROTOCOL=HTTP/1.1"}
            check(want <= said, f"its environment lacks {want - said}")
            # 8 MiB, of which the script says some before it has read all.
            url = f"http://127.0.0.1:{server.ports[0]}/cgi-bin/echo"
            body = target.site.noise[:8 * MIB]
            echo = curl(url, "--data-binary", "@-", "-H", "Expect:", body=body)
            same(digest(echo), digest(b"POST  %d " % len(body) + body), "the checksum of an echo")


def takes_uploads(target):
    """64 MiB reach a script whole, plain and by TLS 1.2 and 1.3, and another client is served meanwhile."""
    body = noise(UPLOAD)
    want = f"{UPLOAD} {digest(body)}\n".encode()

    def pieces(other):
        for start in range(0, UPLOAD, MIB):
            yield body[start:start + MIB]
            if start == UPLOAD // 2:
                same(other.get("/").body, b"<h1>index</h1>\n", "what another client gets")

    with target.serve(*HTTPS) as server:
        plain, secure = server.ports
        ways = [(plain, None), *((secure, trusting(version)) for version in VERSIONS.values())]
        for port, context in ways:
            with Client(port, context) as client, Client(plain) as other:
                client.send("POST", "/cgi-bin/sum", pieces(other), Content_Length=str(UPLOAD))
                same(client.answer().body, want, "what the script has got")
                same(client.get("/").status, 200, "the next answer on that connection")


def takes_chunked_bodies(target):
    """A script is told the length of a body that came in chunks; one that is too long is refused."""
    for program in BOTH:
        for options, size, status in (((), 300_000, 200), ((), 3_000_000, 413),
                                      (("--spool-limit", "4000000"), 3_000_000, 200)):
            with target.serve(*options, program=program) as server:
                url = f"http://127.0.0.1:{server.ports[0]}/cgi-bin/sum"
                body = target.site.noise[:size]
                chunked = "-H", "Transfer-Encoding: chunked", "-X", "POST", "-T", "-", "-w", "%{http_code}"
                # Who is refused may be cut off before the end of the body.
                said = curl(url, *chunked, body=body, codes=(0,) if status == 200 else (0, 55, 56))
                want = f"{size} {digest(body)}\n200".encode() if status == 200 else b"413"
                check(said.endswith(want), f"{size} bytes by {program}, {options}: {said[-200:]}")
                same(get(server.ports[0], "/").status, 200, "the next client")


def has_one_wait_for_the_other(target):
    """With -n 1 the second script runs when the first has ended."""
    with target.serve("-n", "1") as server:
        first, second = Client(server.ports[0]), Client(server.ports[0])
        first.send("POST", "/cgi-bin/wait", iter([b"bo", b"dy\n"]), Content_Length="5")
        answer = first.http.getresponse()
        same(answer.readline(), b"begun\n", "the first script")
        second.send("GET", "/cgi-bin/environment")
        second.socket.settimeout(1)
        try:
            check(False, f"meanwhile the second one says {second.socket.recv(100)!r}")
        except TimeoutError:
            second.socket.settimeout(PATIENCE)
        with target.site.going():
            same(answer.read(), b"body\ndone\n", "the rest of the first script")
            same(second.answer().status, 200, "the second script")

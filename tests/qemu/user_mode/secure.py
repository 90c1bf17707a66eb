"""Files by HTTPS: the same, by TLS 1.2 and 1.3."""

import ssl
import subprocess

from common import CA, HTTPS, PATIENCE, PKI, Client, check, curl, get, same, trusting

VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


def serves_https(target):
    """Files by TLS 1.2 and 1.3, each by itself, small and large, and curl takes them, too."""
    numbers = (target.site.home / "numbers.txt").read_bytes()
    with target.serve(*HTTPS) as server:
        for name, version in VERSIONS.items():
            with Client(server.ports[1], trusting(version)) as client:
                same(client.socket.version(), name, "the version")
                for _ in range(3):
                    same(client.get("/numbers.txt").body, numbers, f"numbers.txt by {name}")
                check(client.get("/noise.bin").body == target.site.noise, f"16 MiB by {name} came otherwise")
                part = client.get("/noise.bin", Range="bytes=1000000-1099999")
                check(part.body == target.site.noise[1000000:1100000], f"a range by {name} came otherwise")
        url = f"https://localhost:{server.ports[1]}/numbers.txt"
        for options in ("--tls-max", "1.2"), ("--tlsv1.3",):
            same(curl(url, *options), numbers, f"numbers.txt by curl {' '.join(options)}")


def has_each_cipher(target):
    """Each cipher suite, with a key of ECDSA and one of RSA: there is other code for each processor."""
    suites = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
    tls12 = ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    rsa = "-s", "127.0.0.1:0", "-C", PKI / "guest.pem", "-K", PKI / "guest.key"
    sheep = target.site.text
    for pair, host, kind in ((HTTPS, "localhost", "ECDSA"), (rsa, "guest.lan", "RSA")):
        with target.serve(*pair) as server:
            for suite in suites:
                url = f"https://{host}:{server.ports[1]}/sheep.txt"
                way = "--connect-to", f"{host}:{server.ports[1]}:127.0.0.1:{server.ports[1]}"
                body = curl(url, *way, "--tlsv1.3", "--tls13-ciphers", suite)
                check(body == sheep, f"by {suite} it came otherwise")
            for suite in tls12:
                context = trusting(ssl.TLSVersion.TLSv1_2)
                context.set_ciphers(f"ECDHE-{kind}-{suite}")
                with Client(server.ports[1], context, host) as client:
                    same(client.socket.cipher()[0], f"ECDHE-{kind}-{suite}", "the cipher suite")
                    check(client.get("/sheep.txt").body == sheep, f"by {kind} and {suite} it came otherwise")


def agrees_on_a_protocol(target):
    """ALPN: http/1.1 where it is offered, and no handshake where only another one is."""
    with target.serve(*HTTPS) as server:
        for version in VERSIONS.values():
            for offer in (["http/1.1"], ["h2", "http/1.1"]):
                with Client(server.ports[1], trusting(version, offer)) as client:
                    same(client.socket.selected_alpn_protocol(), "http/1.1", f"of {offer}")
                    same(client.get("/").status, 200, "an answer")
            with Client(server.ports[1], trusting(version)) as client:
                same(client.socket.selected_alpn_protocol(), None, "where nothing is offered")
            try:
                Client(server.ports[1], trusting(version, ["h2"])).socket.close()
            except ssl.SSLError as trouble:
                check("no application protocol" in str(trouble), f"where h2 alone is offered: {trouble}")
            else:
                check(False, "a handshake for h2 alone")


def resumes(target):
    """A client that comes back has a shorter handshake, by either version."""
    with target.serve(*HTTPS) as server:
        for name, version in VERSIONS.items():
            context = trusting(version)
            with Client(server.ports[1], context) as first:
                # The ticket of TLS 1.3 comes with the first answer.
                first.get("/")
                check(not first.socket.session_reused, f"{name}: the first one is resumed")
                session = first.socket.session
            check(session.has_ticket, f"{name}: no ticket")
            for _ in range(2):
                with Client(server.ports[1], context, session=session) as again:
                    check(again.socket.session_reused, f"{name}: it is not resumed")
                    same(again.get("/").body, b"<h1>index</h1>\n", f"{name}, resumed")


def refuses_the_unsound(target):
    """No TLS 1.1, no plain HTTP where TLS is spoken; and whoever comes next is served."""
    with target.serve(*HTTPS) as server:
        command = ["openssl", "s_client", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0", "-connect",
                   f"127.0.0.1:{server.ports[1]}", "-CAfile", CA]
        done = subprocess.run(command, input=b"", capture_output=True, timeout=PATIENCE, check=False)
        check(done.returncode != 0 and b"SSL alert number" in done.stderr, f"TLS 1.1: {done.stderr.decode()}")
        with Client(server.ports[1]) as client:
            client.socket.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            check(not client.socket.recv(100).startswith(b"HTTP/1.1 200"), "an answer to plain HTTP")
        same(get(server.ports[1], "/", trusting()).status, 200, "the next client")


def makes_certificates(target):
    """--self-signed: OpenSSL takes the certificate, and the server is reached by it."""
    folder = target.site.new_folder()
    pair = "-C", folder / "crt", "-K", folder / "key"
    done = target.run("--self-signed", "localhost,router.lan,192.168.1.1", *pair)
    same(done.returncode, 0, f"what it ends with, saying {done.stderr}")
    command = ["openssl", "x509", "-in", folder / "crt", "-noout", "-text", "-checkend", "33000000"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    same(shown.returncode, 0, f"OpenSSL says {shown.stderr} of a certificate for more than a year")
    for words in ("prime256v1", "DNS:router.lan", "IP Address:192.168.1.1", "TLS Web Server Authentication"):
        check(words in shown.stdout, f"no {words} in {shown.stdout}")
    with target.serve("-s", "127.0.0.1:0", *pair) as server:
        context = ssl.create_default_context(cafile=folder / "crt")
        same(get(server.ports[1], "/", context).status, 200, "an answer by it")

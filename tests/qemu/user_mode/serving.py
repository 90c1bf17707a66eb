"""Files by HTTP, by both programs."""

import gzip
import re
import time
from datetime import datetime
from email.utils import parsedate_to_datetime

from common import MIB, Client, Site, check, curl, get, same

BOTH = "ecohttpd", "ecohttpd-mini"


def says_who_it_is(target):
    """Both programs say their version, and the one without TLS that it has none."""
    for program in BOTH:
        done = target.run("--version", program=program)
        check(done.returncode == 0 and done.stdout.startswith("ecohttpd "), f"{program} --version: {done}")
        usage = target.run("--help", program=program)
        check("--listen-https" in usage.stdout, f"{program} --help: {usage}")
    done = target.run("-f", "-s", "127.0.0.1:0", program="ecohttpd-mini")
    check(done.returncode != 0 and "-s takes a build with the feature tls" in done.stderr, f"-s: {done}")


def serves(target):
    """Files, whole and unchanged, on a kept connection and with the right date, by both programs."""
    numbers = (target.site.home / "numbers.txt").read_bytes()
    for program in BOTH:
        with target.serve(program=program) as server, Client(server.ports[0]) as client:
            pages = {"/numbers.txt": numbers, "/": b"<h1>index</h1>\n", "/sheep.txt": target.site.text}
            for path, body in pages.items():
                answer = client.get(path)
                same((answer.status, answer.body), (200, body), f"{path} by {program}")
                same(answer.field("Content-Length"), str(len(body)), "its length")
                off = abs(parsedate_to_datetime(answer.field("Date")).timestamp() - time.time())
                check(off < 10, f"the date is {answer.field('Date')}")
                tag, then = answer.field("ETag"), answer.field("Last-Modified")
                for field, value in (("If-None-Match", tag), ("If-Modified-Since", then)):
                    again = client.get(path, **{field: value})
                    same((again.status, again.body), (304, b""), f"{path} for whom has it by {field}")
                head = client.ask("HEAD", path)
                same((head.status, head.field("ETag"), head.body), (200, tag, b""), f"HEAD {path}")
            same(client.get("/none").status, 404, "what is not there")
            same(client.ask("POST", "/index.html", b"x").status, 405, "a POST to a file")


def serves_large_files(target):
    """16 MiB arrive whole, and beyond 4 GiB there is what has to be there."""
    site = target.site
    with target.serve() as server, Client(server.ports[0]) as client:
        answer = client.get("/noise.bin")
        check(answer.body == site.noise, f"{answer.status}, {len(answer.body)} other bytes")
        head = client.ask("HEAD", "/huge.bin")
        same((head.status, head.field("Content-Length")), (200, str(Site.HUGE)), "5 GiB")
        start, text = Site.BEYOND
        end = start + len(text) - 1
        answer = client.get("/huge.bin", Range=f"bytes={start}-{end}")
        same((answer.status, answer.body), (206, text), "at 4 GiB")
        same(answer.field("Content-Range"), f"bytes {start}-{end}/{Site.HUGE}", "its place")
        answer = client.get("/huge.bin", Range="bytes=-7")
        same((answer.status, answer.body), (206, bytes(7)), "at the end of 5 GiB")


def serves_ranges(target):
    """Ranges: one, several, none that there is, and the rest of a download."""
    data = (target.site.home / "numbers.txt").read_bytes()
    size = len(data)
    for program in BOTH:
        with target.serve(program=program) as server, Client(server.ports[0]) as client:
            for spec, start, end in (("100-299", 100, 300), ("0-0", 0, 1), (f"{size - 5}-", size - 5, size),
                                     ("-7", size - 7, size), (f"5-{2 * size}", 5, size)):
                answer = client.get("/numbers.txt", Range=f"bytes={spec}")
                same((answer.status, answer.body), (206, data[start:end]), f"bytes={spec}")
                same(answer.field("Content-Range"), f"bytes {start}-{end - 1}/{size}", f"bytes={spec}")
            answer = client.get("/numbers.txt", Range=f"bytes={size}-")
            same((answer.status, answer.field("Content-Range")), (416, f"bytes */{size}"), "behind the end")
            answer = client.get("/numbers.txt", Range="bytes=0-4,100-299,-3")
            found = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", answer.field("Content-Type"))
            check(found, f"the type of several ranges is {answer.field('Content-Type')}")
            body = b"".join(
                f"\r\n--{found[1]}\r\nContent-Type: text/plain; charset=utf-8\r\n"
                f"Content-Range: bytes {start}-{end - 1}/{size}\r\n\r\n".encode() + data[start:end]
                for start, end in ((0, 5), (100, 300), (size - 3, size)))
            body += f"\r\n--{found[1]}--\r\n".encode()
            same((answer.status, answer.body), (206, body), "several ranges")
            part = target.site.new_folder() / "part"
            part.write_bytes(target.site.noise[:5 * MIB + 1])
            url = f"http://127.0.0.1:{server.ports[0]}/noise.bin"
            came = curl(url, "-C", "-", "-o", part, "-w", "%{http_code} %{size_download}").decode()
            same(came, f"206 {11 * MIB - 1}", "the rest of a download")
            check(part.read_bytes() == target.site.noise, "the resumed download is another file")


def serves_compressed(target):
    """A precompressed sibling for who takes it, and with --gzip what is made on the way."""
    home = target.site.home
    sibling, plain = (home / "twin.js.gz").read_bytes(), (home / "twin.js").read_bytes()
    text = target.site.text
    for program in BOTH:
        with target.serve(program=program) as server, Client(server.ports[0]) as client:
            answer = client.get("/twin.js", Accept_Encoding="gzip")
            same((answer.field("Content-Encoding"), answer.body), ("gzip", sibling), "the sibling")
            answer = client.get("/twin.js", Accept_Encoding="gzip;q=0")
            same((answer.field("Content-Encoding"), answer.body), (None, plain), "the file itself")
            same(answer.field("Vary"), "Accept-Encoding", "Vary")
            same(client.get("/packed.txt").status, 404, "what is there only compressed, without --gzip")
    with target.serve("--gzip") as server, Client(server.ports[0]) as client:
        answer = client.get("/sheep.txt", Accept_Encoding="gzip")
        same(answer.field("Content-Encoding"), "gzip", "the coding of what deflates")
        check(len(answer.body) < len(text) / 2, f"it is deflated to {len(answer.body)} of {len(text)} bytes")
        check(gzip.decompress(answer.body) == text, "what was deflated inflates to another text")
        answer = client.get("/packed.txt")
        same((answer.status, answer.field("Content-Encoding")), (200, None), "what is there only compressed")
        check(answer.body == text, "it inflates to another text")
        url = f"http://127.0.0.1:{server.ports[0]}/sheep.txt"
        check(curl(url, "--compressed") == text, "curl has another text")


def lists(target):
    """A listing, in which odd names are links that work."""
    with target.serve() as server:
        page = get(server.ports[0], "/list/").body.decode()
        links = re.findall(r'href="([^".?][^"]*)"', page)
        for link, body in (("a%20file", b"content\n"), ("%C3%BC%20%26%20%3Cb%3E.txt", b"odd\n")):
            check(link in links, f"no link to {link}: {links}")
            same(get(server.ports[0], f"/list/{link}").body, body, link)


def logs(target):
    """A line in the access log for each request, with the time and what was sent."""
    with target.serve("--access-log", "stderr", "--log-format", "combined") as server:
        get(server.ports[0], "/numbers.txt?q", User_Agent="someone")
        size = (target.site.home / "numbers.txt").stat().st_size
        request = r'"GET /numbers\.txt\?q HTTP/1\.1"'
        line = server.says(rf'^127\.0\.0\.1 - - \[(.*)\] {request} 200 (\d+) "-" "someone"$')
        same(int(line[2]), size, "what was sent")
        off = abs(datetime.strptime(line[1], "%d/%b/%Y:%H:%M:%S %z").timestamp() - time.time())
        check(off < 30, f"the time is {line[1]}")

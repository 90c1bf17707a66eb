"""Who may, and where to: passwords by each method of crypt(3), and rules with musl's regular expressions."""

import base64
import json
import subprocess

from common import Client, check, get, same
from serving import BOTH


def asks_for_passwords(target):
    """Passwords by MD5, SHA-256 and SHA-512, and one in plain text: the right one, and no other."""
    folder = target.site.new_folder()
    lines = ["/list:plain:secret"]
    for method in "1", "5", "6":
        command = ["openssl", "passwd", f"-{method}", "-salt", "saltsalt", "secret"]
        made = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        lines.append(f"/list:user{method}:{made}")
    done = target.run("-m", "secret")
    check(done.returncode == 0 and done.stdout.startswith("$"), f"-m: {done}")
    lines.append(f"/list:own:{done.stdout.strip()}")
    file = folder / "httpd.conf"
    file.write_text("\n".join(lines) + "\n")

    def field(user, password):
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    for program in BOTH:
        with target.serve("-c", file, "-r", "a realm", program=program) as server:
            with Client(server.ports[0]) as client:
                answer = client.get("/list/")
                same(answer.status, 401, "the answer to nobody")
                asked = answer.field("WWW-Authenticate")
                check(asked.startswith('Basic realm="a realm"'), f"it asks for {asked}")
                for user in "plain", "user1", "user5", "user6", "own":
                    answer = client.get("/list/", Authorization=field(user, "secret"))
                    same(answer.status, 200, user)
                    check(b'href="a%20file"' in answer.body, f"{user} sees {answer.body}")
                    for wrong in "wrong", "secret ", "":
                        answer = client.get("/list/a%20file", Authorization=field(user, wrong))
                        same(answer.status, 401, f"{user} with {wrong!r}")
                same(client.get("/numbers.txt").status, 200, "what is free")


def follows_rules(target):
    """Rules redirect and rewrite by regular expressions, extended ones and those that begin or end a path."""
    rules = [
        ["if", ["regex", "REQUEST_URI", "^/old/"], ["redirect", "/new", 301]],
        ["if", ["regex", "REQUEST_URI", "^/[[:alpha:]]{2,3}/([0-9]+|x*)y$"], ["redirect", "/class"]],
        ["if", ["regex", "REQUEST_URI", "\\.(gif|png)$"], ["rewrite", "/numbers.txt"]],
    ]
    file = target.site.new_folder() / "rules.json"
    file.write_text(json.dumps({"request": [rules]}))
    numbers = (target.site.home / "numbers.txt").read_bytes()
    for program in BOTH:
        with target.serve("-H", file, program=program) as server:
            for path, status, place in (
                ("/old/x", 301, "/new"), ("/ab/12y", 302, "/class"), ("/abc/y", 302, "/class"),
                ("/abcd/12y", 404, None), ("/ab/1xy", 404, None), ("/a/old/", 404, None),
                ("/x.gif", 200, None), ("/x.png", 200, None), ("/x.gift", 404, None),
            ):
                answer = get(server.ports[0], path)
                same((answer.status, answer.field("Location")), (status, place), path)
                check(status != 200 or answer.body == numbers, f"{path} is {answer.body[:100]}")
    broken = file.with_name("broken.json")
    rules[0][1][2] = "("
    broken.write_text(json.dumps({"request": [rules]}))
    done = target.run("--check", "-p", "127.0.0.1:0", "-H", broken)
    check(done.returncode != 0 and "broken.json" in done.stderr, f"an expression that is none: {done}")

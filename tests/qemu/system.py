"""The package on whole routers: python3 system.py FOLDER mipsel|arm64..., as tests/qemu/system calls it.

FOLDER/MACHINE has kernel, initrd and the pages; in the root of the machine is /root/ecohttpd.ipk. Each step
says how long it took. One that fails is shown with the machine's log, and the others go on.
"""

import base64
import datetime
import email.utils
import hashlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

from machine import Machine, Trouble

MEMORY = {"mipsel": 64, "arm64": 128}
# Resident, in KiB: what a router with 64 MB has for this.
BOUND = 1600
# Likewise, for each connection over TLS that is idle.
IDLE = 10
UPLOAD = 32 << 20


def check(holds, what):
    if not holds:
        raise Trouble(what)


def same(have, want, what):
    check(have == want, f"{what}: {have!r}, not {want!r}")


class Router:
    def __init__(self, model, folder):
        self.folder = folder
        self.machine = Machine(
            model, f"{folder}/kernel", f"{folder}/initrd", MEMORY[model], [80, 443, 8080])
        self.ask = self.machine.ask
        self.run = self.machine.run
        self.certificate = f"{folder}/certificate.pem"

    def port(self, number):
        return self.machine.port[number]

    def curl(self, url, *options, seconds=30):
        """What curl fetches; the names of the router lead to it, and https trusts its certificate only."""
        for name in "openwrt", "openwrt.lan":
            for port in 80, 443, 8080:
                options += "--connect-to", f"{name}:{port}:127.0.0.1:{self.port(port)}"
        command = ["curl", "-sS", "--fail", "--max-time", str(seconds), "--cacert", self.certificate, url]
        done = subprocess.run([*command, *options], capture_output=True, timeout=seconds + 10, check=False)
        check(done.returncode == 0, f"curl {url} ended with {done.returncode}: {done.stderr.decode()}")
        return done.stdout

    def pid(self):
        """The process id of the server, as procd knows it."""
        return self.run("cat /var/run/procd/ecohttpd/main.run/pid 2>/dev/null").text.strip() or None

    def until(self, holds, what, seconds=60):
        deadline = time.monotonic() + seconds
        while not holds():
            check(time.monotonic() < deadline, f"{what}: not after {seconds} s")
            time.sleep(0.2)

    def answers(self, port=80):
        """Whether there is an answer at a port, by TLS if that is what it is for."""
        try:
            if port == 443:
                return b"</html>" in self.curl("https://openwrt.lan/index.html", seconds=5)
            with socket.create_connection(("127.0.0.1", self.port(port)), 5) as client:
                client.settimeout(5)
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return client.recv(9) == b"HTTP/1.1 "
        except (OSError, Trouble):
            return False


def boots(router):
    """The kernel and the root come up."""
    router.machine.wait_for("@booted@", 120)
    same(router.pid(), None, "a server before it is installed")


def installs(router):
    """opkg installs the package, and its postinst starts the service."""
    said = router.ask("opkg install /root/ecohttpd.ipk 2>&1", 180)
    check("-opkg" not in said, f"opkg has found another configuration: {said}")
    router.until(lambda: router.answers(80), "an answer")
    same(router.ask("/etc/init.d/ecohttpd status"), "running", "its status")
    router.ask("/etc/init.d/ecohttpd enabled")
    router.ask("test -x /etc/rc.d/S50ecohttpd")
    router.ask("test ! -e /etc/uci-defaults/50-ecohttpd")
    conffiles = router.ask("cat /usr/lib/opkg/info/ecohttpd.conffiles").split()
    check("/etc/config/ecohttpd" in conffiles, f"the conffiles are {conffiles}")
    files = router.ask("cat /usr/lib/opkg/info/ecohttpd.list").split("\n")
    check("/usr/sbin/ecohttpd" in files and "/etc/init.d/ecohttpd" in files, f"the list of files: {files}")
    for file in files:
        router.ask(f"test -e {file} || test {file} = /etc/uci-defaults/50-ecohttpd")


def has_certificate(router):
    """The certificate that was made at the first start is one that browsers take."""
    with open(router.certificate, "wb") as file:
        raw = base64.b64decode(router.ask("base64 /etc/uhttpd.crt"))
        pem = raw if raw.startswith(b"-----") else ssl.DER_cert_to_PEM_cert(raw).encode()
        file.write(pem)

    def shows(*options):
        command = ["openssl", "x509", "-in", router.certificate, "-noout", *options]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout

    names = {name.strip().lower() for name in shows("-ext", "subjectAltName").split("\n", 1)[1].split(",")}
    wanted = {"dns:openwrt", "dns:openwrt.lan", "ip address:192.168.1.1"}
    check(wanted <= names, f"its names: {names}")
    same(shows("-ext", "extendedKeyUsage").split("\n")[1].strip(), "TLS Web Server Authentication", "its use")
    check("prime256v1" in shows("-text"), "not P-256: " + shows("-text"))
    dates = [line.split("=")[1] for line in shows("-dates").strip().split("\n")]
    begin, end = map(ssl.cert_time_to_seconds, dates)
    check(begin <= time.time() + 60 and time.time() < end, f"it is of {dates[0]} to {dates[1]}")
    check(300 <= (end - begin) / 86400 <= 397, f"it is for {(end - begin) / 86400} days")
    same(router.ask("ls -l /etc/uhttpd.key").split()[0], "-rw-------", "the permissions of its key")


def serves(router):
    """Files by HTTP, whole, in part, unchanged and compressed."""
    with open(f"{router.folder}/www/numbers.txt", "rb") as file:
        numbers = file.read()
    url = "http://openwrt/numbers.txt"
    check(router.curl(url) == numbers, "numbers.txt came otherwise")
    check(router.curl(url, "-r", "100-299") == numbers[100:300], "a range came otherwise")
    check(router.curl(url, "--compressed") == numbers, "the compressed numbers.txt came otherwise")
    etag = router.curl(url, "-o", "/dev/null", "-w", "%header{etag}").decode()
    again = router.curl(url, "-H", f"If-None-Match: {etag}", "-w", "%{http_code}")
    same(again, b"304", "the answer to whom has it already")


def serves_https(router):
    """Files by TLS 1.3 and 1.2 for each name, with the certificate checked."""
    with open(f"{router.folder}/www/numbers.txt", "rb") as file:
        numbers = file.read()
    for name in "openwrt", "openwrt.lan":
        check(router.curl(f"https://{name}/numbers.txt") == numbers, f"numbers.txt of {name} came otherwise")
    trusted = ssl.create_default_context(cafile=router.certificate)
    for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
        trusted.minimum_version = trusted.maximum_version = version
        with socket.create_connection(("127.0.0.1", router.port(443)), 20) as plain:
            with trusted.wrap_socket(plain, server_hostname="192.168.1.1") as client:
                same(client.version().replace("v1.", "v1_"), version.name, "the version of TLS")
                client.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
                answer = b"".join(iter(lambda: client.recv(65536), b""))
                check(answer.startswith(b"HTTP/1.1 200 "), f"it says {answer!r}")
                check(answer.endswith(b"</html>\n"), f"it says {answer!r}")


def runs_scripts(router):
    """A script sees the request, and its answer comes back."""
    said = router.curl("http://openwrt/cgi-bin/echo/a%20path?a=b", "-d", "a body", "-H", "X-Api: y").decode()
    same(said.split("\n"), ["POST /a path a=b 6 192.168.1.254", "a body"], "what the script says")
    only_status = "--no-fail", "-o", "/dev/null", "-w", "%{http_code}"
    refused = router.curl("http://openwrt/cgi-bin/fails", *only_status)
    same(refused, b"502", "the answer of a script that says nothing")


def comes_back(router):
    """procd starts it again when it was killed."""
    old = router.pid()
    router.ask(f"kill -9 {old}")
    router.until(lambda: router.pid() not in (old, None), "another process")
    router.until(lambda: router.answers(80) and router.answers(443), "an answer")


class Kept:
    """A connection that is used again and again."""

    def __init__(self, router, port):
        self.client = http.client.HTTPConnection("127.0.0.1", router.port(port), timeout=30)
        self.client.connect()
        if port == 443:
            trusted = ssl.create_default_context(cafile=router.certificate)
            self.client.sock = trusted.wrap_socket(self.client.sock, server_hostname="openwrt.lan")
        # It is not to connect again by itself.
        self.client.auto_open = 0

    def get(self, path):
        self.client.request("GET", path)
        answer = self.client.getresponse()
        return answer, answer.read()


class Busy(threading.Thread):
    """Asks by a kept connection every second until it is told to stop; `answers` are the statuses."""

    def __init__(self, router, port):
        super().__init__(daemon=True)
        self.kept = Kept(router, port)
        self.answers = []
        self.trouble = None
        self.enough = threading.Event()
        self.start()

    def run(self):
        try:
            while not self.enough.is_set():
                self.answers.append(self.kept.get("/index.html")[0].status)
                self.enough.wait(1)
        except (OSError, http.client.HTTPException) as trouble:
            self.trouble = trouble

    def stop(self, port):
        self.enough.set()
        self.join(60)
        check(self.trouble is None, f"port {port}, after {len(self.answers)} answers: {self.trouble!r}")
        same(set(self.answers), {200}, f"the answers of port {port}")
        _, body = self.kept.get("/index.html")
        check(body.endswith(b"</html>\n"), f"the page that port {port} has: {body!r}")


def reloads(router):
    """A changed configuration is taken over by the same process, and no connection ends by it."""
    pid = router.pid()
    router.ask("reload_config")
    busy = {port: Busy(router, port) for port in (80, 443)}
    # A script that takes its time is amidst its answer.
    slow = Kept(router, 80)
    slow.client.request("GET", "/cgi-bin/slow")
    router.ask("uci add_list ecohttpd.main.listen_http=0.0.0.0:8080; "
               "uci add_list ecohttpd.main.header='X-Router: it is'; uci commit ecohttpd; reload_config")
    router.until(lambda: router.answers(8080), "an answer at the new port", 90)
    for port, one in busy.items():
        one.stop(port)
    same(Kept(router, 80).get("/index.html")[0].getheader("X-Router"), "it is", "the new field")
    same(slow.client.getresponse().read(), b"1\n2\n3\n4\n5\n6\n7\n8\n", "what came slowly")
    same(router.pid(), pid, "the process")


def refuses_mistakes(router):
    """A configuration with a mistake is named, and the old one stays."""
    pid = router.pid()
    router.ask("uci add_list ecohttpd.main.listen_http=nonsense:99999; uci commit ecohttpd")
    try:
        said = router.run("/etc/init.d/ecohttpd check 2>&1")
        same(said.status, 2, "the status of check")
        check("listen_http" in said.text, f"check says {said.text}")
        router.run("/etc/init.d/ecohttpd reload 2>&1")
        time.sleep(1)
        same((router.pid(), router.answers(80), router.answers(443)), (pid, True, True), "the server after")
        check("listen_http" in router.ask("logread | grep err"), "the log says nothing of it")
    finally:
        router.ask("uci del_list ecohttpd.main.listen_http=nonsense:99999; uci commit ecohttpd")
    router.ask("/etc/init.d/ecohttpd check 2>&1")


def takes_uploads(router):
    """32 MB go through a script to a file in memory, and come out the same."""
    with tempfile.NamedTemporaryFile(dir=router.folder) as file:
        data = hashlib.shake_256(b"upload").digest(1 << 20) * (UPLOAD >> 20)
        file.write(data)
        file.flush()
        said = router.curl("http://openwrt/cgi-bin/upload", "-X", "POST", "-T", file.name, seconds=120)
    same(said.decode().strip(), f"{UPLOAD} {hashlib.sha256(data).hexdigest()}", "what has arrived")
    router.ask("rm /tmp/upload")


def memory(router):
    pid = router.pid()
    lines = router.ask(f"grep -h kB /proc/{pid}/status /proc/{pid}/smaps_rollup").split("\n")
    return {words[0]: int(words[1]) for line in lines if len(words := line.split()) == 3}


def is_small(router):
    """Its memory after all that, as the kernel counts it."""
    sizes = memory(router)
    print(f"   {sizes['Rss:']} KiB resident, {sizes['Anonymous:']} of them anonymous; the bound is {BOUND}")
    for name in "VmRSS:", "Rss:":
        check(200 < sizes[name] < BOUND, f"{name} {sizes[name]} KiB")


def keeps_idle_ones(router):
    """What a browser's idle connection over TLS takes."""
    kept = [Kept(router, 443)]
    before = memory(router)["Anonymous:"]
    for _ in range(30):
        kept.append(Kept(router, 443))
        same(kept[-1].get("/index.html")[0].status, 200, "its status")
    each = (memory(router)["Anonymous:"] - before) / 30
    print(f"   {each:.1f} KiB for each of them; the bound is {IDLE}")
    check(0 < each < IDLE, f"{each:.1f} KiB for each")
    same(kept[1].get("/index.html")[0].status, 200, "the status by the first of them")


def survives_upgrade(router):
    """An upgrade keeps the changed configuration and the certificate, and starts the new one."""
    pid = router.pid()
    kept = "cat /etc/config/ecohttpd /etc/uhttpd.crt /etc/uhttpd.key | sha256sum"
    before = router.ask(kept)
    router.ask("opkg install /root/ecohttpd.ipk 2>&1", 180)
    same(router.ask(kept), before, "what was kept")
    router.ask("test -e /etc/config/ecohttpd-opkg")
    router.until(lambda: router.answers(80) and router.answers(8080), "an answer")
    check(router.pid() != pid, "it is the old process")


def goes(router):
    """opkg removes it: the service ends, and what was configured stays."""
    router.ask("uci set ecohttpd.main.realm=Changed; uci commit ecohttpd")
    said = router.ask("opkg remove ecohttpd 2>&1")
    check("Not deleting modified conffile /etc/config/ecohttpd." in said, f"opkg says {said}")
    router.until(lambda: router.run("pidof ecohttpd").status != 0, "its end")
    check(not router.answers(80), "something answers still")
    for path in "/usr/sbin/ecohttpd", "/etc/init.d/ecohttpd", "/etc/rc.d/S50ecohttpd", "/usr/lib/ecohttpd":
        router.ask(f"test ! -e {path} && test ! -L {path}")
    for path in "/etc/config/ecohttpd", "/etc/uhttpd.crt", "/etc/uhttpd.key":
        router.ask(f"test -s {path}")
    same(router.run("ls /usr/lib/opkg/info").text, "", "what opkg remembers")


def outlives_2038(router):
    """When 32 bits no longer hold the seconds of the epoch, it goes on: dates, TLS, deadlines."""
    # Of the busybox of this machine that cannot be said, so it is the last step. What has words of 64 bits
    # has no such day: there it is the program of 32 that was brought along.
    router.ask("if [ -e /root/server32 ]; then cp /root/server32 /tmp/server; "
               "else gzip -dc /root/ecohttpd.ipk | tar -xOf - ./data.tar.gz | gzip -dc | "
               "tar -xOf - ./usr/sbin/ecohttpd > /tmp/server; fi && chmod +x /tmp/server")
    router.ask("date -s '2038-01-19 03:14:00'")
    router.ask("/tmp/server -f -p 80 -s 443 -C /etc/uhttpd.crt -K /etc/uhttpd.key -T 3 -h /www 2>/tmp/said &")
    router.until(router.answers, "an answer")
    kept = Kept(router, 80)
    late = datetime.datetime(2038, 1, 19, 3, 14, 10, tzinfo=datetime.timezone.utc)

    def is_late():
        time.sleep(1)
        date = kept.get("/index.html")[0].getheader("Date")
        return email.utils.parsedate_to_datetime(date) > late

    try:
        router.until(is_late, "a date after the last of 32 bits")
        check(router.answers(443), "no answer by TLS")
        with socket.create_connection(("127.0.0.1", router.port(80)), 30) as client:
            began = time.monotonic()
            client.sendall(b"GET / HT")
            said = client.recv(100)
        check(said.startswith(b"HTTP/1.1 408 ") and time.monotonic() - began > 2, f"half a request: {said!r}")
    except (OSError, http.client.HTTPException) as trouble:
        said = router.run("cat /tmp/said; pidof server || echo It has ended.").text
        raise Trouble(f"{trouble!r}; the server says: {said}") from None


SHORT = [boots, installs, has_certificate, serves_https, is_small, comes_back, takes_uploads, goes,
         outlives_2038]
LONG = [boots, installs, has_certificate, serves, serves_https, is_small, runs_scripts, comes_back, reloads,
        refuses_mistakes, takes_uploads, is_small, keeps_idle_ones, survives_upgrade, goes, outlives_2038]
STEPS = {"mipsel": LONG, "arm64": SHORT}


def show_log(router):
    """Shows the machine's log; without one there is nothing more to try."""
    try:
        print("the log of the machine:\n" + router.run("logread | tail -n 20").text, flush=True)
    except Trouble as trouble:
        print(trouble, flush=True)
        return False
    return True


def run(model, folder):
    """Runs the steps of a machine, and says how many went well, and how many there are."""
    passed = 0
    router = None
    try:
        for step in STEPS[model]:
            start = time.monotonic()
            try:
                router = router or Router(model, folder)
                step(router)
            except (Trouble, OSError, http.client.HTTPException, subprocess.SubprocessError) as trouble:
                print(f"FAILED {step.__doc__} {type(trouble).__name__}: {trouble}")
                if step is boots or not show_log(router) or step is installs:
                    break
                continue
            passed += 1
            print(f"ok {time.monotonic() - start:6.1f} s  {step.__doc__}", flush=True)
    finally:
        if router:
            router.machine.end()
    return passed, len(STEPS[model])


def main(folder, models):
    passed = steps = 0
    for model in models:
        began = time.monotonic()
        print(f"-- a whole router: {model}", flush=True)
        done = run(model, os.path.join(folder, model))
        passed, steps = passed + done[0], steps + done[1]
        print(f"{model}: {time.monotonic() - began:.0f} s in all", flush=True)
    print(f"{passed} passed, {steps - passed} failed")
    return 0 if passed == steps else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main(os.path.abspath(sys.argv[1]), sys.argv[2:]))

"""Tests the demonstration site in a headless Chromium, served by the launcher and by the upload example.

    python3 browser.py BIN_DIR [unittest's arguments]

BIN_DIR is cargo's directory with `ecohttpd` and `examples/`. Takes the Debian packages chromium and
chromium-driver, and selenium from PyPI. Of a test that fails, a picture of the page is kept.
"""

import os
import re
import sys
import tempfile
import time
import urllib.request

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

sys.dont_write_bytecode = True  # nothing is to be left in the source tree
import servers
from servers import PATIENCE, PKI, WWW, Server, launch, sha256, wait_for

FLAGS = [
    "--headless",
    "--no-sandbox",  # it runs as root in a container
    "--disable-gpu",
    "--disable-dev-shm-usage",  # /dev/shm is small in a container
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en-US",
    "--window-size=1000,1200",
]


class Page(servers.TestCase):
    """A browser for each class, with a profile of its own."""

    trusts_everyone = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in [*FLAGS, f"--user-data-dir={cls.dir / 'profile'}"]:
            options.add_argument(flag)
        options.accept_insecure_certs = cls.trusts_everyone
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService("/usr/bin/chromedriver")
        cls.browser = webdriver.Chrome(options=options, service=service)
        cls.addClassCleanup(cls.browser.quit)
        cls.browser.set_page_load_timeout(PATIENCE)
        cls.browser.set_script_timeout(PATIENCE)

    def setUp(self):
        self.browser.get("about:blank")
        self.browser.get_log("browser")

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            path = tempfile.mktemp(prefix=f"ecohttpd-{self._testMethodName}-", suffix=".png")
            self.browser.save_screenshot(path)
            print(f"{self.id()}: see {path}")

    def open(self, url):
        self.browser.get(url)

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def find_all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.find(selector).text

    def js(self, code, *args):
        return self.browser.execute_script(code, *args)

    def style(self, selector, name):
        return self.find(selector).value_of_css_property(name)

    def wait_text(self, selector, pattern):
        """The text of an element, once all of it is like the pattern."""
        try:
            WebDriverWait(self.browser, PATIENCE, 0.05).until(
                lambda _: re.fullmatch(pattern, self.text(selector))
            )
        except Exception as e:
            raise AssertionError(f"{selector} stays {self.text(selector)!r}, not {pattern}") from e
        return self.text(selector)

    def console(self):
        """What the page has had to complain about since the last time."""
        return [(entry["level"], entry["message"]) for entry in self.browser.get_log("browser")]

    def connections(self, server):
        """The client's ports of the connections that are open to a server."""
        ports = set()
        with open("/proc/net/tcp") as f:
            for line in list(f)[1:]:
                _, local, remote, state = line.split()[:4]
                if int(local.split(":")[1], 16) == server.port and state == "01":
                    ports.add(int(remote.split(":")[1], 16))
        return ports


def files_of(page):
    """What a page in examples/www loads besides itself."""
    return set(re.findall(r'(?:href|src)="([\w.]+\.(?:css|js|svg))"', (WWW / page).read_text()))


class Site(Page):
    """The pages, as the launcher serves them."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.serve(launch("-h", WWW))

    def demo(self, name):
        self.find(f"[data-demo={name}]").click()
        verdict = self.wait_text(f"#{name}-verdict", ".+")
        self.assertEqual(self.find(f"#{name}-verdict").get_attribute("data-state"), "good", verdict)
        return verdict, self.text(f"#{name}-output").splitlines()

    def test_index(self):
        self.open(self.server.url + "/")
        self.assertEqual(self.browser.title, "ecohttpd")
        self.assertEqual(self.text("h1"), "The ecohttpd demo site")
        loaded = self.js(
            "return performance.getEntriesByType('resource').map(e => [new URL(e.name).pathname.slice(1), e.responseStatus])"
        )
        self.assertEqual({name for name, _ in loaded}, files_of("index.html"))
        self.assertEqual({status for _, status in loaded}, {200})
        self.assertEqual(self.console(), [])

    def test_style(self):
        self.open(self.server.url + "/")
        self.assertEqual(self.js("return document.styleSheets.length"), 1)
        self.assertEqual(self.style("header", "display"), "flex")
        self.assertEqual(self.style("body", "max-width"), "736px")  # 46rem
        self.assertEqual(self.style("body", "background-color"), "rgba(247, 246, 242, 1)")  # --page
        self.assertEqual(self.style("pre[hidden]", "display"), "none")
        # The image in the page has been decoded.
        self.assertGreater(self.js("return document.querySelector('.brand img').naturalWidth"), 0)

    def test_conditional(self):
        self.open(self.server.url + "/")
        verdict, log = self.demo("conditional")
        self.assertEqual(verdict, "Not modified: the second answer carried no file, only its headers.")
        self.assertIn("< 200 OK", log)
        self.assertIn("< 304 Not Modified", log)
        tags = [line for line in log if line.startswith("< ETag: ")]
        self.assertEqual(len(tags), 2)
        self.assertEqual(tags[0], tags[1])
        self.assertIn(tags[0].replace("< ETag", "> If-None-Match"), log)
        self.assertEqual(self.console(), [])

    def test_range(self):
        self.open(self.server.url + "/")
        verdict, log = self.demo("range")
        self.assertEqual(verdict, "100 bytes came back, shown below the headers.")
        size = (WWW / "numbers.txt").stat().st_size
        for line in ["< 206 Partial Content", f"< Content-Range: bytes 0-99/{size}", "< Content-Length: 100"]:
            self.assertIn(line, log)
        first = (WWW / "numbers.txt").read_bytes()[:100].decode()
        shown = self.js("return document.getElementById('range-output').textContent")
        self.assertTrue(shown.endswith(first.rstrip()), shown)
        self.assertEqual(self.console(), [])

    def coding(self):
        size = {name: (WWW / name).stat().st_size for name in os.listdir(WWW)}
        css = f"style.css was sent with gzip: {size['style.css.gz']} bytes sent for {size['style.css']}."
        plain = f"numbers.txt was sent as it is, {size['numbers.txt']} bytes, with no Content-Encoding."
        return css, plain

    def test_coding(self):
        self.open(self.server.url + "/")
        verdict, log = self.demo("coding")
        self.assertEqual(verdict, " ".join(self.coding()))
        self.assertEqual(log.count("< Content-Encoding: gzip"), 1)
        self.assertEqual(log.count("< Vary: Accept-Encoding"), 2)
        self.assertEqual(self.console(), [])

    def test_coding_on_the_fly(self):
        server = self.start(launch("-h", WWW, "--gzip"))
        self.open(server.url + "/")
        verdict, log = self.demo("coding")
        self.assertEqual(verdict, f"{self.coding()[0]} numbers.txt was sent with gzip.")
        self.assertEqual(log.count("< Content-Encoding: gzip"), 2)
        self.assertEqual(self.console(), [])

    def test_uploads_are_not_taken(self):
        self.open(self.server.url + "/upload.html")
        self.wait_text(
            "#status",
            "This server takes no uploads. cargo run --release --example upload serves this site with uploads working.",
        )
        self.assertEqual(self.text("#list-note"), "There is no list: the server answered 404 for /uploads/.")
        self.assertFalse(self.find("#file").is_enabled())
        self.assertFalse(self.find("#upload-button").is_enabled())
        # It has to ask to know, and Chromium notes every 404. Nothing else is wrong.
        (level, message), = self.console()
        self.assertEqual(level, "SEVERE")
        self.assertIn(self.server.url + "/uploads/ ", message)
        self.assertIn("404 (Not Found)", message)

    def test_missing_page(self):
        self.open(self.server.url + "/none.html")
        self.assertEqual(self.text("h1"), "404 Not Found")

    def test_second_load_takes_no_new_connection(self):
        server = self.start(launch("--access-log", "stderr", "-h", WWW))
        self.open(server.url + "/")
        before = wait_for("open connections", lambda: self.connections(server))
        # Much shorter than the 30 s for which the server keeps them.
        time.sleep(1.5)
        self.assertEqual(self.connections(server), before)
        lines = len(server.lines)
        self.browser.refresh()
        self.assertEqual(self.text("h1"), "The ecohttpd demo site")
        self.assertTrue(
            any('"GET / HTTP/1.1" 304 -' in line for line in server.lines[lines:]),
            server.lines[lines:],
        )
        for name in ("conditional", "range", "coding"):
            self.demo(name)
        self.assertTrue(
            any('"GET /numbers.txt HTTP/1.1" 206 100' in line for line in server.lines[lines:])
        )
        self.assertLessEqual(self.connections(server), before)
        self.assertEqual(self.console(), [])


class Https(Page):
    """HTTPS: Chromium's own TLS. It is told not to mind who signed the certificate."""

    trusts_everyone = True

    def test_index(self):
        server = self.start(
            Server("ecohttpd", "-f", "-s", "127.0.0.1:0", "-C", PKI / "localhost.pem", "-K", PKI / "localhost.key", "-h", WWW)
        )
        self.open(f"https://localhost:{server.port}/")
        self.assertEqual(self.text("h1"), "The ecohttpd demo site")
        self.assertTrue(self.js("return isSecureContext"))
        self.assertEqual(self.js("return performance.getEntriesByType('navigation')[0].nextHopProtocol"), "http/1.1")
        self.find("[data-demo=range]").click()
        self.wait_text("#range-verdict", "100 bytes came back, shown below the headers.")
        self.browser.refresh()
        self.assertEqual(self.style("header", "display"), "flex")
        self.assertEqual(self.console(), [])


class Uploads(Page):
    """The form, with the upload example behind it."""

    def setUp(self):
        super().setUp()
        self.stored = self.new_dir()
        self.server = self.start(Server("examples/upload", 0, self.stored))
        self.open(self.server.url + "/upload.html")
        self.wait_text("#list-note", "Nothing is stored yet.")
        # All values that the bar takes on, however soon they are gone.
        self.js(
            "window.seen = [];"
            "const bar = document.getElementById('progress');"
            "new MutationObserver(() => seen.push(bar.value)).observe(bar, { attributes: true });"
        )

    def throttle(self, rate):
        """Lets the browser send so many bytes a second; nothing for no limit."""
        self.browser.execute_cdp_cmd("Network.enable", {})
        self.browser.execute_cdp_cmd(
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate or -1},
        )
        self.addCleanup(self.browser.execute_cdp_cmd, "Network.disable", {})

    def file(self, name, size, seed=1):
        path = self.new_dir() / name
        servers.write_noise(path, size, seed)
        return path

    def choose(self, *paths):
        self.find("input#file").send_keys("\n".join(map(str, paths)))

    def shown(self):
        """The names in the list."""
        return [link.text for link in self.find_all("#uploads li a")]

    def assertStored(self, files):
        self.assertNames(self.stored, files)
        self.assertEqual(self.shown(), sorted(files))
        for link in self.find_all("#uploads li a"):
            with urllib.request.urlopen(link.get_attribute("href"), timeout=PATIENCE) as response:
                self.assertEqual(response.headers["Content-Disposition"], "attachment")
                self.assertTrue(response.read() == files[link.text].read_bytes(), link.text)
            self.assertSameFile(self.stored / link.text, files[link.text])

    def assertOnlyNoIcon(self):
        """The example's own page names no icon, so Chromium asks for one that is not there."""
        for level, message in self.console():
            self.assertIn(self.server.url + "/favicon.ico ", message)

    def test_50_mb(self):
        size = 50_000_000
        path = self.file("fifty.bin", size)
        self.choose(path)
        self.assertEqual(self.text("#status"), "Chosen: 1 file, 47.7 MiB.")
        self.find("#upload-button").click()
        self.wait_text("#status", r"Uploaded fifty\.bin, 47\.7 MiB( in \d+\.\d s)?\.")
        seen = self.js("return seen")
        self.assertEqual(seen[-1], 100)
        self.assertTrue(any(0 < value < 100 for value in seen), seen)
        self.assertEqual(seen, sorted(seen))
        self.assertRegex(self.text("#progress-text"), r"100 %, 47\.7 MiB of 47\.7 MiB, ")
        self.assertEqual(self.text("#uploads li"), "fifty.bin\n47.7 MiB")
        self.assertEqual(self.text("#list-note"), "1 file, 47.7 MiB.")
        self.assertStored({"fifty.bin": path})
        self.assertEqual(self.console(), [])

    def test_names_stay_text(self):
        # As in all browsers, a quote in a name travels as %22.
        names = {
            "<b>bold</b>".replace("/", "\N{FRACTION SLASH}"): None,
            "<img src=x onerror=alert(1)>.png": None,
            "a 'quote' & \"two\".txt": "a 'quote' & %22two%22.txt",
            "semi;colon; filename=x.txt": None,
            "naïve ☃ 文件.txt": None,
            "&lt;100%41.txt": None,
        }
        paths = [self.file(name, 1000 + i, seed=i) for i, name in enumerate(names)]
        files = {stored or name: path for (name, stored), path in zip(names.items(), paths)}
        self.choose(*paths)
        self.find("#upload-button").click()
        self.wait_text("#status", r"Uploaded 6 files, 5\.9 KiB( in .*)?\.")
        self.assertEqual(self.find_all("#uploads b, #uploads img, #status b, #status img"), [])
        self.assertStored(files)
        # The example's own page of them.
        self.open(self.server.url + "/uploads/")
        links = self.find_all("li a")
        self.assertEqual([link.text for link in links], sorted(files))
        self.assertEqual(self.find_all("li b, li img"), [])
        self.assertOnlyNoIcon()

    def test_name_in_the_status(self):
        name = "<i>one & only.txt".replace("/", "")
        path = self.file(name, 10)
        self.choose(path)
        self.find("#upload-button").click()
        self.wait_text("#status", re.escape(f"Uploaded {name}, 10 bytes") + r"( in .*)?\.")
        self.assertStored({name: path})

    def test_cancel(self):
        path = self.file("never.bin", 20_000_000)
        self.throttle(2_000_000)
        self.choose(path)
        self.find("#upload-button").click()

        def arriving():
            return [n for n in os.listdir(self.stored) if (self.stored / n).stat().st_size > 0]

        self.assertEqual(wait_for("a file that arrives", arriving), [".incoming-0"])
        wait_for("progress", lambda: self.js("return document.getElementById('progress').value") > 0)
        self.find("#cancel-button").click()
        self.wait_text("#status", r"Cancelled\.")
        wait_for("its end", lambda: os.listdir(self.stored) == [])
        self.assertLess(max(self.js("return seen")), 100)
        self.assertEqual(self.text("#list-note"), "Nothing is stored yet.")
        # The form still works after that.
        self.throttle(None)
        again = self.file("again.bin", 3_000_000)
        self.find("#file").clear()
        self.choose(again)
        self.find("#upload-button").click()
        self.wait_text("#status", r"Uploaded again\.bin, 2\.9 MiB( in .*)?\.")
        self.assertStored({"again.bin": again})
        self.assertEqual(self.console(), [])

    def test_closed_page_leaves_no_file(self):
        path = self.file("never.bin", 20_000_000)
        self.throttle(2_000_000)
        self.choose(path)
        self.find("#upload-button").click()
        wait_for("a file that arrives", lambda: os.listdir(self.stored) == [".incoming-0"])
        # A page that was only left could be kept for the way back, and would go on.
        tab = self.browser.current_window_handle
        self.browser.switch_to.new_window("tab")
        other = self.browser.current_window_handle
        self.browser.switch_to.window(tab)
        self.browser.close()
        self.browser.switch_to.window(other)
        wait_for("its end", lambda: os.listdir(self.stored) == [])

    def test_same_name_twice(self):
        one, two = self.file("same.txt", 100, seed=1), self.file("same.txt", 200, seed=2)
        for path, stored in ((one, "same.txt"), (two, "same-1.txt")):
            self.choose(path)
            self.find("#upload-button").click()
            self.wait_text("#status", rf"Uploaded {re.escape(stored)}, {path.stat().st_size} bytes( in .*)?\.")
        self.assertStored({"same.txt": one, "same-1.txt": two})

    def test_form_without_script(self):
        path = self.file("plain form.txt", 1234)
        self.choose(path)
        # This goes past the script, as it does where there is none.
        self.js("document.getElementById('upload-form').submit()")
        wait_for("the list", lambda: self.browser.current_url == self.server.url + "/uploads/")
        self.assertEqual(self.text("h1"), "Uploads")
        self.assertEqual([li.text for li in self.find_all("li")], ["plain form.txt, 1234 bytes"])
        self.assertEqual(sha256(self.stored / "plain form.txt"), sha256(path))
        self.assertOnlyNoIcon()

    def test_page_stays_usable_during_an_upload(self):
        path = self.file("slow.bin", 4_000_000)
        self.throttle(2_000_000)
        self.choose(path)
        self.find("#upload-button").click()
        wait_for("a file that arrives", lambda: os.listdir(self.stored) == [".incoming-0"])
        status = self.browser.execute_async_script(
            "fetch('/numbers.txt', {cache: 'no-store'}).then(r => r.text()).then(arguments[0])"
        )
        self.assertEqual(status, (WWW / "numbers.txt").read_text())
        self.assertEqual(os.listdir(self.stored), [".incoming-0"])
        self.wait_text("#status", r"Uploaded slow\.bin, 3\.8 MiB in \d+\.\d s\.")
        self.assertStored({"slow.bin": path})


if __name__ == "__main__":
    servers.main()

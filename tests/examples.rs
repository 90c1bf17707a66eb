//! Every example is run, and asked what it promises.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use common::{Client, Dir, LOCAL, Process, Response, example, pattern};
use rustix::process::{Pid, Signal, kill_process};

/// Nothing here takes that long, even where other tests take the processors.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks until there is an answer.
#[track_caller]
fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn end_of(child: &mut Child) -> ExitStatus {
    wait_for("the end of the process", || child.try_wait().unwrap())
}

/// An example that takes a port and does not say when it listens.
struct Quiet {
    addr: SocketAddr,
    child: Child,
}

impl Quiet {
    /// Runs it in `dir`; what it prints goes to the file `output` there.
    fn start(name: &str, dir: &Dir) -> Quiet {
        let free = TcpListener::bind(LOCAL).unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let mut child = example(name)
            .arg(addr.port().to_string())
            .current_dir(&dir.0)
            .stdin(Stdio::null())
            .stdout(File::create(dir.path("output")).unwrap())
            .spawn()
            .unwrap();
        wait_for(name, || {
            assert_eq!(child.try_wait().unwrap(), None, "{name} ended");
            TcpStream::connect(addr).ok()
        });
        Quiet { addr, child }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const BOUNDARY: &str = "----examples-7d1f";
const FORM: &str = "Content-Type: multipart/form-data; boundary=----examples-7d1f\r\n";

/// A form; each part is what its Content-Disposition says after `form-data; `, and its content.
fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (disposition, content) in parts {
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

/// The names in a directory, in their order.
fn names(dir: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| name(e).into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn server_shows_what_it_was_asked() {
    let dir = Dir::new();
    let server = Quiet::start("server", &dir);
    let mut client = Client::connect(server.addr);

    let page = client.get("/test?a=1&b=x+y%3C&a=2", "X-Test: <i>&\r\n");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html"));
    let text = page.text();
    assert!(text.starts_with("<h1>HTTP server test</h1>\n"), "{text}");
    for line in [
        "<h2>remote addr: 127.0.0.1</h2>\n",
        "<h2>method: GET</h2>\n",
        "<h2>raw_path: /test?a=1&amp;b=x+y%3C&amp;a=2</h2>\n",
        "<h2>path: /test</h2>\n",
        "<h2>http version: 1.1</h2>\n",
        "<h2>query_string: a=1&amp;b=x+y%3C&amp;a=2</h2>\n",
        "<h2>query:</h2>\n<p>a: 1</p>\n<p>b: x y&lt;</p>\n<p>a: 2</p>\n",
        "<p>x-test: &lt;i>&amp;</p>\n",
        "<h2>body: </h2>\n",
    ] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }

    let posted = client.request("POST", "/test", "", b"some <content>");
    assert_eq!(posted.status, 200);
    assert!(posted.text().contains("<h2>method: POST</h2>\n"), "{}", posted.text());
    assert!(posted.text().ends_with("<h2>body: some &lt;content></h2>\n"), "{}", posted.text());
}

#[test]
fn server_stores_uploads_below_its_directory() {
    let (dir, content) = (Dir::new(), pattern(300_000));
    let server = Quiet::start("server", &dir);
    let mut client = Client::connect(server.addr);
    let uploads = dir.path("uploads");

    let body = form(&[
        ("name=\"note\"", b"hello"),
        ("name=\"file\"; filename=\"../../etc/up.bin\"", &content),
        ("name=\"file\"; filename=\"C:\\dir\\down.bin\"", b"second"),
        ("name=\"file\"; filename=\"empty.bin\"", b""),
    ]);
    let stored = client.request("POST", "/upload", FORM, &body);
    assert_eq!((stored.status, stored.body.len()), (200, 0));
    let all = ["down.bin", "empty.bin", "up.bin"];
    assert_eq!(names(&uploads), all);
    assert_eq!(names(&dir.0), ["output", "uploads"]);
    assert!(fs::read(uploads.join("up.bin")).unwrap() == content, "up.bin differs");
    assert_eq!(fs::read(uploads.join("down.bin")).unwrap(), b"second");
    assert_eq!(fs::read(uploads.join("empty.bin")).unwrap(), b"");
    assert_eq!(
        fs::read_to_string(dir.path("output")).unwrap(),
        "part name: note\npart data: hello\npart name: file\npart name: file\npart name: file\n"
    );
    let back = client.get("/uploads/up.bin", "");
    assert_eq!(back.status, 200);
    assert!(back.body == content, "up.bin came back differently");

    // The last one is there already, and stays as it is.
    for name in ["..", "a/..", ".", "dir/", "", ".hidden", "a\tb", "down.bin"] {
        let body = form(&[(&file_part(name), b"x")]);
        let refused = Client::connect(server.addr).request("POST", "/upload", FORM, &body);
        assert_eq!(refused.status, 403, "{name:?}");
    }
    for (part, status) in [("title=\"file\"", 403), ("name=\"file\"", 400)] {
        let body = form(&[(part, b"x")]);
        let refused = Client::connect(server.addr).request("POST", "/upload", FORM, &body);
        assert_eq!(refused.status, status, "{part}");
    }
    assert_eq!(names(&uploads), all);
    assert_eq!(fs::read(uploads.join("down.bin")).unwrap(), b"second");
}

#[test]
fn server_keeps_nothing_of_what_was_cut_off() {
    let dir = Dir::new();
    let server = Quiet::start("server", &dir);
    let uploads = dir.path("uploads");
    let mut client = cut_off(server.addr);
    wait_for("a file that arrives", || {
        (uploads.exists() && names(&uploads) == [".part.part", "whole"]).then_some(())
    });
    client.send(b"some more");
    drop(client);
    wait_for("its end", || (names(&uploads) == ["whole"]).then_some(()));
}

#[test]
fn server_serves_the_files_around_it() {
    let dir = Dir::new();
    dir.write("index.html", "<h1>here</h1>\n");
    dir.write("sub/page.txt", "a page\n");
    let server = Quiet::start("server", &dir);
    let mut client = Client::connect(server.addr);

    let index = client.get("/", "");
    assert_eq!((index.status, index.text()), (200, "<h1>here</h1>\n"));
    assert_eq!(index.header("content-type"), Some("text/html; charset=utf-8"));
    let page = client.get("/sub/page.txt", "");
    assert_eq!((page.status, page.text()), (200, "a page\n"));
    let again = format!("If-None-Match: {}\r\n", page.header("etag").unwrap());
    assert_eq!(client.get("/sub/page.txt", &again).status, 304);
    let moved = client.get("/sub", "");
    assert_eq!((moved.status, moved.header("location")), (301, Some("/sub/")));
    assert_eq!(client.get("/nothing", "").status, 404);
}

/// The process that answers, as its page tells.
fn worker(addr: SocketAddr) -> u32 {
    let page = Client::connect(addr).get("/test?a=1", "Connection: close\r\n");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("<p>a: 1</p>\n"), "{}", page.text());
    let line = page.text().lines().find_map(|line| line.strip_prefix("<h2>process: ")).unwrap();
    line.strip_suffix("</h2>").unwrap().parse().unwrap()
}

/// The workers that answer, once that is as many as there should be at least.
fn workers(parent: &Quiet) -> BTreeSet<u32> {
    let most = std::thread::available_parallelism().unwrap().get();
    let mut seen = BTreeSet::new();
    wait_for("several workers", || {
        seen.insert(worker(parent.addr));
        (seen.len() >= most.min(2)).then_some(())
    });
    for _ in 0..100 {
        seen.insert(worker(parent.addr));
    }
    assert!(seen.len() <= most, "{seen:?}");
    for pid in &seen {
        assert_eq!(parent_of(*pid), Some(parent.child.id()), "{seen:?}");
    }
    seen
}

/// The parent of a process that runs.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may have anything in it, a parenthesis as well.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    (state != "Z").then(|| fields.next().unwrap().parse().unwrap())
}

#[track_caller]
fn assert_all_gone(addr: SocketAddr, workers: &BTreeSet<u32>) {
    wait_for("the end of the workers", || {
        workers.iter().all(|pid| parent_of(*pid).is_none()).then_some(())
    });
    assert!(TcpStream::connect(addr).is_err(), "somebody listens still");
}

#[test]
fn multiprocess_serves_by_several_and_ends_as_one() {
    let dir = Dir::new();
    let content = pattern(200_000);
    dir.write("file.bin", &content);
    let mut parent = Quiet::start("multiprocess", &dir);
    let workers = workers(&parent);
    let file = Client::connect(parent.addr).get("/file.bin", "");
    assert_eq!(file.status, 200);
    assert!(file.body == content, "file.bin differs");

    // An idle connection must not keep a worker.
    let _idle = Client::connect(parent.addr);
    kill_process(Pid::from_child(&parent.child), Signal::INT).unwrap();
    assert_eq!(end_of(&mut parent.child).code(), Some(0));
    assert_all_gone(parent.addr, &workers);
    assert_eq!(fs::read_to_string(dir.path("output")).unwrap(), "\nasked to quit\n");
}

#[test]
fn multiprocess_leaves_no_worker_however_it_ends() {
    let dir = Dir::new();
    let mut parent = Quiet::start("multiprocess", &dir);
    let workers = workers(&parent);
    parent.child.kill().unwrap();
    parent.child.wait().unwrap();
    assert_all_gone(parent.addr, &workers);
}

const JSON: &str = "Accept: application/json\r\n";

fn upload_example(dir: &Dir) -> Process {
    let mut command = example("upload");
    command.arg("0").arg(&dir.0);
    Process::start(command)
}

fn upload(addr: SocketAddr, parts: &[(&str, &[u8])]) -> Response {
    Client::connect(addr).request("POST", "/upload", &format!("{JSON}{FORM}"), &form(parts))
}

fn file_part(name: &str) -> String {
    format!("name=\"file\"; filename=\"{name}\"")
}

#[track_caller]
fn assert_json(response: &Response, text: &str) {
    assert_eq!((response.status, response.text()), (200, text));
    assert_eq!(response.header("content-type"), Some("application/json"));
}

#[test]
fn upload_stores_lists_and_returns() {
    let dir = Dir::new();
    let server = upload_example(&dir);
    let mut client = Client::connect(server.addr);
    let empty = client.get("/uploads/", JSON);
    assert_json(&empty, "[]\n");
    assert_eq!(empty.header("cache-control"), Some("no-store"));

    let content = pattern(1_000_000);
    let stored = upload(
        server.addr,
        &[
            ("name=\"note\"", b"no file"),
            (&file_part("one.bin"), &content),
            (&file_part("a \u{fc}\\\"&.txt"), b"two"),
            // What a browser sends where no file was chosen.
            (&file_part(""), b""),
        ],
    );
    let one = "{\"name\":\"one.bin\",\"size\":1000000,\"href\":\"/uploads/one.bin\"}";
    let two =
        "{\"name\":\"a \u{fc}\\\"&.txt\",\"size\":3,\"href\":\"/uploads/a%20%C3%BC%22%26.txt\"}";
    assert_json(&stored, &format!("[{one},\n{two}]\n"));
    assert_eq!(names(&dir.0), ["a \u{fc}\"&.txt", "one.bin"]);
    assert_json(&client.get("/uploads/", JSON), &format!("[{two},\n{one}]\n"));

    let back = client.get("/uploads/one.bin", "");
    assert_eq!(back.status, 200);
    assert!(back.body == content, "one.bin differs");
    assert_eq!(back.header("content-disposition"), Some("attachment"));
    assert_eq!(back.header("x-content-type-options"), Some("nosniff"));
    let back = client.get("/uploads/a%20%C3%BC%22%26.txt", "");
    assert_eq!((back.status, back.text()), (200, "two"));

    let page = client.get("/uploads/", "");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let item = "<li><a href=\"/uploads/a%20%C3%BC%22%26.txt\">a \u{fc}\"&amp;.txt</a>, 3 bytes\n";
    assert!(page.text().contains(item), "{}", page.text());
    let posted = client.request("POST", "/upload", FORM, &form(&[(&file_part("x"), b"x")]));
    assert_eq!((posted.status, posted.header("location")), (303, Some("/uploads/")));
    let form_page = client.get("/upload.html", "");
    assert_eq!(form_page.text(), include_str!("../examples/www/upload.html"));
}

#[test]
fn upload_overwrites_nothing() {
    let dir = Dir::new();
    let server = upload_example(&dir);
    let name = |response: Response| {
        assert_eq!(response.status, 200);
        let text = response.text();
        text.split('"').nth(3).unwrap().to_owned()
    };
    for (sent, stored) in [
        ("a.tar.gz", "a.tar.gz"),
        ("a.tar.gz", "a.tar-1.gz"),
        ("a.tar.gz", "a.tar-2.gz"),
        ("plain", "plain"),
        ("plain", "plain-1"),
    ] {
        let response = upload(server.addr, &[(&file_part(sent), stored.as_bytes())]);
        assert_eq!(name(response), stored);
    }
    let all = ["a.tar-1.gz", "a.tar-2.gz", "a.tar.gz", "plain", "plain-1"];
    assert_eq!(names(&dir.0), all);
    for stored in all {
        assert_eq!(fs::read(dir.path(stored)).unwrap(), stored.as_bytes());
    }
}

#[test]
fn upload_takes_no_bad_name() {
    let around = Dir::new();
    around.write("secret", "secret");
    around.write("uploads/sub/file", "file");
    around.write("uploads/.hidden", "hidden");
    let dir = Dir(around.path("uploads"));
    let server = upload_example(&dir);

    for name in
        ["..", "a/..", "dir/", ".hidden", "../.hidden", "C:\\dir\\\\", "C:\\dir\\", "a\tb", "."]
    {
        let refused = upload(server.addr, &[(&file_part(name), b"x")]);
        assert_eq!((refused.status, refused.text()), (400, "a file needs a name\n"), "{name:?}");
    }
    let long = "n".repeat(201);
    assert_eq!(upload(server.addr, &[(&file_part(&long), b"x")]).status, 400);
    assert_eq!(names(&dir.0), [".hidden", "sub"]);

    for (sent, stored) in [("../../up", "up"), ("/etc/passwd", "passwd"), ("C:\\a\\b.c", "b.c")] {
        let response = upload(server.addr, &[(&file_part(sent), sent.as_bytes())]);
        let json = format!(
            "[{{\"name\":\"{stored}\",\"size\":{},\"href\":\"/uploads/{stored}\"}}]\n",
            sent.len()
        );
        assert_json(&response, &json);
    }
    assert_eq!(names(&dir.0), [".hidden", "b.c", "passwd", "sub", "up"]);
    assert_eq!(names(&around.0), ["secret", "uploads"]);

    for (path, status) in [
        ("/uploads/../secret", 404),
        ("/uploads/%2e%2e/secret", 404),
        ("/uploads/..%2fsecret", 403),
        ("/uploads/%2fsecret", 404),
        ("/uploads/.hidden", 404),
        ("/uploads/sub/file", 404),
    ] {
        let response = Client::connect(server.addr).get(path, "");
        assert_eq!(response.status, status, "{path}");
        assert!(!response.text().contains("secret"), "{path}");
    }
    assert_eq!(Client::connect(server.addr).get("/uploads/none", "").status, 404);
}

/// Sends a form of two files, but of the second only half.
fn cut_off(addr: SocketAddr) -> Client {
    let body = form(&[(&file_part("whole"), b"whole"), (&file_part("part"), &pattern(500_000))]);
    let mut client = Client::connect(addr);
    client.send(format!(
        "POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n{FORM}\r\n",
        body.len()
    ));
    client.send(&body[..300_000]);
    client
}

#[test]
fn upload_keeps_nothing_of_what_was_cut_off() {
    let dir = Dir::new();
    let server = upload_example(&dir);
    let client = cut_off(server.addr);
    let arriving = || names(&dir.0) == [".incoming-0", "whole"];
    wait_for("a file that arrives", || arriving().then_some(()));
    drop(client);
    wait_for("its end", || (names(&dir.0) == ["whole"]).then_some(()));
    let list = Client::connect(server.addr).get("/uploads/", JSON);
    assert_json(&list, "[{\"name\":\"whole\",\"size\":5,\"href\":\"/uploads/whole\"}]\n");
}

#[cfg(feature = "tls")]
mod https {
    use super::*;

    fn pki(name: &str) -> String {
        format!("{}/tests/pki/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    fn run(command: &mut std::process::Command) -> (String, String, bool) {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr), output.status.success())
    }

    /// The common name in the certificate that a new connection gets, which the CA has signed.
    fn subject(addr: SocketAddr) -> String {
        let ca = pki("ca.pem");
        let addr = addr.to_string();
        let (out, err, _) = run(std::process::Command::new("openssl").args([
            "s_client",
            "-connect",
            &addr,
            "-CAfile",
            &ca,
            "-verify_return_error",
        ]));
        let line = out.lines().find_map(|line| line.strip_prefix("subject="));
        let line = line.unwrap_or_else(|| panic!("{out}{err}"));
        line.replace(' ', "").strip_prefix("CN=").unwrap().to_owned()
    }

    #[test]
    fn https_serves_and_renews_its_certificate() {
        let dir = Dir::new();
        let content = pattern(700_000);
        dir.write("file.bin", &content);
        let (cert, key) = (dir.path("cert.pem"), dir.path("key.pem"));
        let put = |name: &str| {
            fs::copy(pki(&format!("{name}.pem")), &cert).unwrap();
            fs::copy(pki(&format!("{name}.key")), &key).unwrap();
        };
        put("localhost");
        let mut command = example("https");
        command.arg("0").arg(&cert).arg(&key).current_dir(&dir.0);
        let mut server = Process::start(command);
        let (addr, port) = (server.addr, server.addr.port());

        let fetched = dir.path("fetched");
        let (out, err, fine) = run(std::process::Command::new("curl")
            .args(["-sS", "--noproxy", "*", "--max-time", "20", "--cacert", &pki("ca.pem")])
            .args(["-w", "%{http_code} %{ssl_verify_result}", "-o", fetched.to_str().unwrap()])
            .arg(format!("https://localhost:{port}/file.bin")));
        assert!(fine, "{err}");
        assert_eq!(out, "200 0");
        assert!(fs::read(&fetched).unwrap() == content, "file.bin differs");
        assert_eq!(subject(addr), "localhost");

        put("guest");
        assert_eq!(subject(addr), "localhost", "before it was asked to look");
        server.signal(Signal::HUP);
        assert_eq!(server.line(), "the certificate was read again");
        assert_eq!(subject(addr), "guest");

        fs::write(&cert, "no certificate\n").unwrap();
        server.signal(Signal::HUP);
        let line = server.line();
        let named = format!("the old certificate stays: {}: ", cert.display());
        assert!(line.starts_with(&named), "{line}");
        assert_eq!(subject(addr), "guest");

        // The right certificate with another's key is no use either.
        put("localhost");
        fs::copy(pki("guest.key"), &key).unwrap();
        server.signal(Signal::HUP);
        let line = server.line();
        let named = format!("the old certificate stays: {}: ", key.display());
        assert!(line.starts_with(&named), "{line}");
        assert_eq!(subject(addr), "guest");

        server.signal(Signal::TERM);
        assert_eq!(end_of(&mut server.child).code(), Some(0));
        assert!(TcpStream::connect(addr).is_err(), "somebody listens still");
    }

    #[test]
    fn https_says_which_file_is_of_no_use() {
        let dir = Dir::new();
        let broken = dir.write("broken.pem", "no certificate\n");
        for (cert, named) in
            [("/nonexistent.pem", "/nonexistent.pem"), (broken.to_str().unwrap(), "broken.pem")]
        {
            let (out, err, fine) =
                run(example("https").args(["0", cert, &pki("localhost.key")]).current_dir(&dir.0));
            assert!(!fine && out.is_empty(), "{cert}: {out}");
            assert!(err.contains(named), "{cert}: {err}");
        }
    }
}

#[test]
fn a_port_that_is_none_is_refused() {
    let all = ["server", "multiprocess", "upload", "https"];
    let all = all.iter().filter(|name| cfg!(feature = "tls") || **name != "https");
    for name in all {
        let mut command = example(name);
        let output = command.arg("80a").stdin(Stdio::null()).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{name}: {err}");
        assert!(err.contains("80a is not a port"), "{name}: {err}");
    }
}

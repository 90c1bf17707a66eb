//! Files as handlers use them: error pages of one's own, headers of one's own; and over HTTPS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use common::{Client, Dir, Driver, LOCAL, Running};
use ecohttpd::{Connection, Options, Request, Result, Server, Status};

async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    let docroot = con.options().docroot.clone();
    match req.path() {
        "/lost" => {
            con.set_status(Status::NOT_FOUND)?;
            con.add_header("Cache-Control", "no-store")?;
            con.serve_path(req, docroot.join("404.html")).await
        }
        "/lost/too" => {
            con.set_status(Status::NOT_FOUND)?;
            con.serve_path(req, docroot.join("no-such.html")).await
        }
        "/own" => {
            con.add_header("Cache-Control", "max-age=60")?;
            con.add_header("Content-Type", "application/x-own")?;
            con.add_header("X-Own", "yes")?;
            con.append_header("Set-Cookie", "a=1")?;
            con.append_header("Set-Cookie", "b=2")?;
            con.serve_path(req, docroot.join("page.html")).await
        }
        _ => con.serve_file(req).await,
    }
}

fn server(driver: Driver, dir: &Dir, error_pages: bool) -> Running {
    let options = Options { docroot: dir.0.clone(), error_pages, ..Options::default() };
    Running::start(
        driver,
        || Server::new(options).bind(LOCAL),
        async |server| server.serve(handler).await,
    )
}

#[test]
fn an_error_page_is_a_file_without_conditions() {
    for driver in Driver::all() {
        let dir = Dir::new();
        dir.write("404.html", "<h1>Lost</h1>");
        let server = server(driver, &dir, true);
        let mut client = Client::connect(server.addr);
        let tag = client.get("/404.html", "").header("etag").unwrap().to_owned();
        for conditions in [
            String::new(),
            format!("If-None-Match: {tag}\r\n"),
            "If-None-Match: *\r\n".into(),
            "If-Match: \"other\"\r\n".into(),
            "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n".into(),
            "If-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT\r\n".into(),
            "Range: bytes=0-3\r\n".into(),
            "Range: bytes=1000-\r\n".into(),
        ] {
            let r = client.get("/lost", &conditions);
            assert_eq!((r.status, r.text()), (404, "<h1>Lost</h1>"), "{conditions}");
            assert_eq!(r.header("content-type"), Some("text/html; charset=utf-8"));
            assert_eq!(r.header("cache-control"), Some("no-store"));
            // What belongs to the page is no property of what was asked for.
            for name in ["etag", "last-modified", "accept-ranges", "content-range"] {
                assert_eq!(r.header(name), None, "{name}");
            }
        }
        let r = client.request("HEAD", "/lost", "", b"");
        assert_eq!((r.status, r.header("content-length")), (404, Some("13")));
        let r = client.get("/lost/too", "");
        assert_eq!(r.status, 404);
        assert!(r.text().contains("404 Not Found"), "{}", r.text());
        server.stop().unwrap();
    }
}

#[test]
fn error_pages_are_an_option() {
    let dir = Dir::new();
    dir.write("a.txt", "a");
    std::fs::create_dir(dir.path("noindex")).unwrap();
    for pages in [false, true] {
        let server = server(Driver::Own, &dir, pages);
        for (method, path, headers, line) in [
            ("GET", "/missing", "", "404 Not Found"),
            ("GET", "/noindex/", "", "403 Forbidden"),
            ("DELETE", "/a.txt", "", "405 Method Not Allowed"),
            ("GET", "/a.txt", "If-Match: \"x\"\r\n", "412 Precondition Failed"),
            ("GET", "/a.txt", "Range: bytes=5-\r\n", "416 Range Not Satisfiable"),
            ("GET", "/a.txt", "Expect: tea\r\n", "417 Expectation Failed"),
            ("GET", "/%zz", "", "400 Bad Request"),
        ] {
            let r = Client::connect(server.addr).request(method, path, headers, b"");
            assert_eq!(format!("{} {}", r.status, r.reason), line, "{path}");
            let kind = pages.then_some("text/html; charset=utf-8");
            assert_eq!(r.header("content-type"), kind, "{line}");
            assert_eq!(r.text().contains(line), pages, "{line}");
            assert_eq!(r.body.is_empty(), !pages, "{line}");
        }
        // No pages for what is no error.
        let r = Client::connect(server.addr).get("/noindex", "");
        assert_eq!((r.status, r.header("content-length"), r.body.len()), (301, Some("0"), 0));
    }
}

#[test]
fn headers_of_the_handler_stay() {
    let dir = Dir::new();
    dir.write("page.html", "<p>0123456789");
    let server = server(Driver::Own, &dir, false);
    let mut client = Client::connect(server.addr);
    let cookies = |r: &common::Response| {
        let all = r.headers.iter().filter(|(name, _)| name == "set-cookie");
        all.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let r = client.get("/own", "");
    assert_eq!((r.status, r.text()), (200, "<p>0123456789"));
    assert_eq!(r.header("content-type"), Some("application/x-own"));
    assert_eq!(r.header("cache-control"), Some("max-age=60"));
    assert_eq!((r.header("x-own"), cookies(&r)), (Some("yes"), vec!["a=1".into(), "b=2".into()]));
    let tag = r.header("etag").unwrap().to_owned();

    // A 304 repeats what a 200 would have said for the cache (RFC 9110, 15.4.5).
    let r = client.get("/own", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((r.status, r.header("etag")), (304, Some(&*tag)));
    assert_eq!(r.header("cache-control"), Some("max-age=60"));
    assert_eq!(r.header("vary"), Some("Accept-Encoding"));
    assert_eq!((r.header("content-length"), r.header("transfer-encoding")), (None, None));

    // So does a 206, and each part has the type of the whole.
    let r = client.get("/own", "Range: bytes=0-2\r\n");
    assert_eq!(
        (r.status, r.text(), r.header("content-type")),
        (206, "<p>", Some("application/x-own"))
    );
    assert_eq!((r.header("cache-control"), cookies(&r).len()), (Some("max-age=60"), 2));
    let r = client.get("/own", "Range: bytes=0-2,-1\r\n");
    assert!(r.header("content-type").unwrap().starts_with("multipart/byteranges; boundary="));
    assert_eq!(r.text().matches("Content-Type: application/x-own\r\n").count(), 2, "{}", r.text());

    // What was said of the content that is not sent after all goes; the rest stays.
    for (condition, status) in [("If-Match: \"x\"\r\n", 412), ("Range: bytes=99-\r\n", 416)] {
        let r = client.get("/own", condition);
        assert_eq!((r.status, r.header("x-own"), r.body.len()), (status, Some("yes"), 0));
        assert_eq!((r.header("content-type"), r.header("cache-control")), (None, None));
    }
}

/// Over TLS a file goes by another way, through a buffer.
#[cfg(feature = "tls")]
#[test]
fn files_come_whole_over_https() {
    use common::{Process, pattern};

    let dir = Dir::new();
    let pki = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pki/localhost");
    let (cert, key) = (format!("{pki}.pem"), format!("{pki}.key"));
    let args = ["-f", "-s", "127.0.0.1:0", "-C", &cert, "-K", &key, "-h", dir.text()];
    let server = Process::launcher(&args);
    let huge = std::fs::File::create(dir.path("huge.bin")).unwrap();
    huge.set_len(5 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&huge, b"above 4G", 4 << 30).unwrap();
    let curl = |path: &str, range: &str| {
        let url = format!("https://{}/{path}", server.addr);
        let args = ["-sk", "--fail", "--max-time", "20", "-r", range, &url];
        let output = std::process::Command::new("curl").args(args).output().unwrap();
        assert!(output.status.success(), "{path}: {output:?}");
        output.stdout
    };
    for size in [1, 8192, 8193, 16_385, 2_000_001] {
        let name = format!("{size}.bin");
        dir.write(&name, pattern(size));
        assert!(curl(&name, "0-") == pattern(size), "{size}");
    }
    assert_eq!(curl("huge.bin", "4294967296-4294967303"), b"above 4G");
    let long = curl("huge.bin", "4294947296-4294987295");
    assert_eq!((long.len(), &long[20_000..20_008]), (40_000, &b"above 4G"[..]));
    assert!(curl("2000001.bin", "1000-1500000") == pattern(2_000_001)[1000..=1_500_000]);
}

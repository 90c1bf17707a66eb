//! Which file a path names, by the library: odd names, what is no file, links, and ways out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::Command;

use common::{Client, Dir, Driver, LOCAL, Process, Response, Running};
use ecohttpd::{Connection, Options, Request, Result, Server};

/// Serves files; with the query `lone`, a directory that the handler names without its slash.
async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    let docroot = con.options().docroot.clone();
    match req.path() {
        _ if req.query_string() == "lone" => con.serve_path(req, docroot.join("dir")).await,
        "/send/fifo" => con.send_file(docroot.join("fifo"), None, 0).await,
        "/send/socket" => con.send_file(docroot.join("socket"), None, 0).await,
        _ => con.serve_file(req).await,
    }
}

fn server(options: Options) -> Running {
    Running::start(
        Driver::Own,
        || Server::new(options).bind(LOCAL),
        async |server| server.serve(handler).await,
    )
}

fn serving(docroot: &str, no_symlinks: bool) -> Running {
    server(Options { docroot: docroot.into(), no_symlinks, ..Options::default() })
}

/// Every byte that need not stay as it is, encoded.
fn encoded(name: &[u8]) -> String {
    let encode = |b: &u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' => char::from(*b).to_string(),
        b => format!("%{b:02X}"),
    };
    name.iter().map(encode).collect()
}

fn get(server: &Running, path: &str) -> Response {
    Client::connect(server.addr).get(path, "")
}

#[test]
fn odd_names_are_found_and_redirected_to() {
    let dir = Dir::new();
    let server = serving(dir.text(), false);
    let long = [b'n'; 255];
    let names: &[&[u8]] = &[
        b"with space.txt",
        b"line\nbreak\r\n.txt",
        b"quote\"'s.txt",
        b"per%cent%20%2e%2E.txt",
        b"back\\slash",
        b"\\..\\x",
        b"..x",
        b"...",
        b"c:",
        b"?query#fragment&a=b;c+d",
        b"\x01\x1b[31m\x7f",
        "gr\u{fc}\u{df}e \u{1f980}.txt".as_bytes(),
        b"not \xff utf-8 \xfe\x80",
        b"<script>",
        &long,
    ];
    for (i, name) in names.iter().enumerate() {
        let content = format!("content of {i}");
        std::fs::write(dir.0.join(OsStr::from_bytes(name)), &content).unwrap();
        let path = format!("/{}", encoded(name));
        let r = get(&server, &path);
        assert_eq!((r.status, r.text()), (200, &*content), "{path}");
        assert_eq!(get(&server, &format!("{path}x")).status, 404, "{path}: and no other");

        // As a directory: the redirect leads back to it, whatever is in its name.
        let under = format!("d{i}");
        let inner = dir.0.join(&under).join(OsStr::from_bytes(name));
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join("index.html"), &content).unwrap();
        let r = get(&server, &format!("/{under}{path}?a=b%0d%0a&c"));
        assert_eq!((r.status, r.body.len()), (301, 0), "{path}");
        let location = r.header("location").unwrap().to_owned();
        assert!(location.bytes().all(|b| b.is_ascii_graphic()), "{location}");
        assert!(location.ends_with("/?a=b%0d%0a&c"), "{location}");
        let r = get(&server, &location);
        assert_eq!((r.status, r.text()), (200, &*content), "{location}");
    }
}

#[test]
fn names_beyond_the_limits_of_file_systems_are_not_found() {
    for gzip in [false, cfg!(feature = "gzip")] {
        let dir = Dir::new();
        dir.write("index.html", "index");
        let options = Options { docroot: dir.0.clone(), gzip, ..Options::default() };
        let server = server(options);
        for path in [
            format!("/{}", "n".repeat(256)),
            format!("/{}", "n".repeat(254)), // with .gz it is too long
            format!("/{}", "n".repeat(5000)),
            format!("/{}", "d/".repeat(2500)),
            format!("/{}/", "n".repeat(250)),
            "/index.html/".into(),
            "/index.html/x".into(),
            "/index.html/index.html".into(),
        ] {
            let r = Client::connect(server.addr).get(&path, "Accept-Encoding: gzip, br\r\n");
            assert_eq!((r.status, r.body.len()), (404, 0), "{} of {}", &path[..9], path.len());
        }
    }
}

#[test]
fn no_redirect_leads_to_another_host() {
    let dir = Dir::new();
    dir.write("evil.example/index.html", "not evil");
    dir.write("\\evil.example/index.html", "not evil either");
    dir.write("dir/index.html", "index");
    let server = serving(dir.text(), false);
    for (path, location) in [
        ("//evil.example", "/evil.example/"),
        ("///evil.example", "/evil.example/"),
        ("/./%2Fevil.example", ""),
        ("/dir/..//evil.example", "/evil.example/"),
        ("/%5Cevil.example", "/%5Cevil.example/"),
        ("/\\evil.example", "/%5Cevil.example/"),
        ("http://evil.example/dir", "/dir/"),
        ("/dir?x=//evil.example", "/dir/?x=//evil.example"),
    ] {
        let r = get(&server, path);
        let expected = if location.is_empty() { (403, None) } else { (301, Some(location)) };
        assert_eq!((r.status, r.header("location")), expected, "{path}");
    }
    // A handler's own directory without its slash, where the request's path has one: there is
    // nowhere to redirect to, and above all not to `//`.
    for path in ["/", "/lone/"] {
        let r = get(&server, &format!("{path}?lone"));
        let location = r.header("location").unwrap_or("");
        assert!(!location.starts_with("//"), "{location:?}");
        assert!(!location.starts_with(&format!("{path}/")), "round and round: {location:?}");
    }
}

#[test]
fn what_is_no_file_is_forbidden_and_holds_nobody_up() {
    let dir = Dir::new();
    assert!(Command::new("mkfifo").arg(dir.path("fifo")).status().unwrap().success());
    let _socket = UnixListener::bind(dir.path("socket")).unwrap();
    symlink("/dev/null", dir.path("null")).unwrap();
    symlink("loop", dir.path("loop")).unwrap();
    std::fs::create_dir_all(dir.path("odd/index.html")).unwrap();
    std::fs::create_dir_all(dir.path("empty.txt")).unwrap();
    dir.write("a.txt", "a");
    let server = serving(dir.text(), false);
    for path in
        ["/fifo", "/send/fifo", "/null", "/loop", "/odd/", "/empty.txt/", "/socket", "/send/socket"]
    {
        let r = get(&server, path);
        assert_eq!((r.status, r.body.len()), (403, 0), "{path}");
    }
    let r = get(&server, "/empty.txt");
    assert_eq!((r.status, r.header("location")), (301, Some("/empty.txt/")));
    // Nor are they taken for somebody's precompressed sibling.
    assert!(Command::new("mkfifo").arg(dir.path("a.txt.gz")).status().unwrap().success());
    std::fs::create_dir(dir.path("a.txt.br")).unwrap();
    let r = Client::connect(server.addr).get("/a.txt", "Accept-Encoding: gzip, br\r\n");
    assert_eq!((r.status, r.text(), r.header("content-encoding")), (200, "a", None));
}

#[test]
fn an_unreadable_file_is_forbidden() {
    let dir = Dir::new();
    let secret = dir.write("secret.txt", "secret");
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o000)).unwrap();
    dir.write("closed/inside.txt", "secret");
    std::fs::set_permissions(dir.path("closed"), PermissionsExt::from_mode(0o000)).unwrap();
    dir.write("open.txt", "open");
    dir.write("open.txt.gz", "secret");
    let sibling = dir.path("open.txt.gz");
    std::fs::set_permissions(&sibling, PermissionsExt::from_mode(0o000)).unwrap();
    // The superuser may read everything, so the server is run as nobody; from a copy, since the
    // way to the binary may be closed to nobody.
    let server = if rustix::process::getuid().is_root() {
        let binary = dir.path("ecohttpd");
        std::fs::copy(env!("CARGO_BIN_EXE_ecohttpd"), &binary).unwrap();
        let mut command = Command::new(binary);
        command.uid(65534).gid(65534).args(["-f", "-p", "127.0.0.1:0", "-h", dir.text()]);
        Process::start(command)
    } else {
        Process::launcher(&["-f", "-p", "127.0.0.1:0", "-h", dir.text()])
    };
    for path in ["/secret.txt", "/closed/inside.txt", "/closed/missing.txt", "/closed/"] {
        let r = Client::connect(server.addr).get(path, "");
        assert_eq!(r.status, 403, "{path}");
        assert!(!r.text().contains("secret"), "{path}: {}", r.text());
    }
    let r = Client::connect(server.addr).get("/open.txt", "Accept-Encoding: gzip\r\n");
    assert_eq!((r.status, r.text()), (200, "open"));
    std::fs::set_permissions(dir.path("closed"), PermissionsExt::from_mode(0o700)).unwrap();
}

#[test]
fn no_spelling_of_a_path_leads_out() {
    let dir = Dir::new();
    dir.write("outside.txt", "outside");
    dir.write("root/in/side.txt", "inside");
    let server = serving(&format!("{}/root", dir.text()), false);
    for path in [
        "/../outside.txt",
        "/in/../../outside.txt",
        "/%2e%2e/outside.txt",
        "/.%2E/outside.txt",
        "/..%2foutside.txt",
        "/%2e%2e%2Foutside.txt",
        "/in%2f..%2f..%2foutside.txt",
        "/in%2Fside.txt",
        "/in/..%2Fin/side.txt",
        "//../outside.txt",
        "/./../outside.txt",
        "/../root/in/side.txt",
        "/..",
        "/../",
        "http://h/../outside.txt",
    ] {
        let r = get(&server, path);
        assert_eq!((r.status, r.body.len()), (403, 0), "{path}");
    }
    let deep = format!("{}outside.txt", "/in/../..".repeat(500).trim_start_matches('/'));
    for path in [format!("/{deep}"), format!("{}/outside.txt", "/..".repeat(2000))] {
        assert_eq!(get(&server, &path).status, 403);
    }
    for path in
        ["/..%5coutside.txt", "/..\\outside.txt", "/%252e%252e/outside.txt", "/..;/outside.txt"]
    {
        assert_eq!(get(&server, path).status, 404, "{path}: a strange name, of no file");
    }
    for path in ["/in/side.txt", "/in/../in/./side.txt", "/x/../in/side.txt", "/%69n/side.txt"] {
        assert_eq!(
            (get(&server, path).status, get(&server, path).text()),
            (200, "inside"),
            "{path}"
        );
    }
}

#[test]
fn links_are_followed_and_with_the_option_not_outside() {
    let dir = Dir::new();
    dir.write("outside/secret.txt", "secret");
    dir.write("outside/index.html", "secret");
    dir.write("rooted/a.txt", "a file beside the docroot, whose name begins with its name");
    dir.write("root/a.txt", "inside");
    dir.write("root/dir/index.html", "index");
    let link = |to: &str, from: &str| symlink(to, dir.path("root").join(from)).unwrap();
    link("a.txt", "in");
    link("dir", "in_dir");
    link("../root/dir/../a.txt", "in_by_way_of_outside");
    link("in", "in_chain");
    link("../outside/secret.txt", "out");
    link(&format!("{}/outside/secret.txt", dir.text()), "out_absolute");
    link("../outside", "out_dir");
    link("out", "out_chain");
    link("../rooted/a.txt", "out_beside");
    link("missing", "dangling");
    dir.write("root/b.txt", "plain b");
    link("../outside/secret.txt", "b.txt.gz");
    symlink("root", dir.path("link")).unwrap();

    let inside = [("/in", "inside"), ("/in_by_way_of_outside", "inside"), ("/in_chain", "inside")];
    let inside = inside.into_iter().chain([("/in_dir/", "index"), ("/a.txt", "inside")]);
    let outside =
        ["/out", "/out_absolute", "/out_chain", "/out_dir/secret.txt", "/out_dir/", "/out_beside"];
    // The docroot itself may be reached by a link.
    for docroot in ["root", "link", "link/../root/dir/.."] {
        let docroot = format!("{}/{docroot}", dir.text());
        for no_symlinks in [false, true] {
            let server = serving(&docroot, no_symlinks);
            for (path, content) in inside.clone() {
                let r = get(&server, path);
                assert_eq!((r.status, r.text()), (200, content), "{docroot} {no_symlinks} {path}");
            }
            assert_eq!(get(&server, "/in_dir").header("location"), Some("/in_dir/"));
            assert_eq!(get(&server, "/dangling").status, 404);
            for path in outside {
                let r = get(&server, path);
                let expected = if no_symlinks { 403 } else { 200 };
                assert_eq!(r.status, expected, "{docroot} {no_symlinks} {path}");
                assert_eq!(r.body.is_empty(), no_symlinks, "{path}");
            }
            assert_eq!(get(&server, "/out_dir").status, if no_symlinks { 403 } else { 301 });
            // A precompressed sibling can be such a link too.
            let r = Client::connect(server.addr).get("/b.txt", "Accept-Encoding: gzip\r\n");
            let expected = if no_symlinks { "plain b" } else { "secret" };
            assert_eq!((r.status, r.text()), (200, expected), "{no_symlinks}");
        }
    }
}

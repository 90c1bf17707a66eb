//! Certificates, versions and sessions of TLS, as curl and OpenSSL see them.
#![cfg(feature = "tls")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

mod common;

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{Dir, Driver, LOCAL, Running, pattern};
use ecohttpd::{Connection, Options, Request, Result, Server, Tls};

fn pki(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/pki", name].iter().collect()
}

fn localhost() -> Tls {
    Tls::load(pki("localhost.pem"), pki("localhost.key")).unwrap()
}

async fn handler(con: &mut Connection, req: &mut Request) -> Result {
    match req.path() {
        "/who" => {
            let name = con.server_name().unwrap_or("nobody").to_owned();
            con.send((if con.is_tls() { "tls " } else { "plain " }, name)).await
        }
        "/count" => {
            let body = con.read_body_to_end(100 << 20).await?;
            con.send(&body.len().to_string()).await
        }
        _ => con.serve_file(req).await,
    }
}

fn start(driver: Driver, options: Options, tls: Tls) -> Running {
    Running::start(
        driver,
        || Server::new(options).bind_tls(LOCAL, tls),
        async |server| server.serve(handler).await,
    )
}

/// What curl prints, or its exit code.
fn curl(server: &Running, path: &str, args: &[&str]) -> std::result::Result<Vec<u8>, i32> {
    let host = if args.contains(&"--resolve") { "guest.lan" } else { "127.0.0.1" };
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--noproxy", "*", "--cacert"])
        .arg(pki("ca.pem"))
        .args(args)
        .arg(format!("https://{host}:{}{path}", server.addr.port()))
        .output()
        .expect("curl");
    match output.status.code() {
        Some(0) => Ok(output.stdout),
        code => Err(code.unwrap()),
    }
}

fn text(bytes: std::result::Result<Vec<u8>, i32>) -> String {
    String::from_utf8(bytes.unwrap()).unwrap()
}

/// What `openssl s_client` says of a connection on which it asks for `/who`.
fn s_client(server: &Running, args: &[&str]) -> String {
    let mut child = Command::new("openssl")
        .args(["s_client", "-ign_eof", "-connect", &server.addr.to_string(), "-CAfile"])
        .arg(pki("ca.pem"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl");
    let mut stdin = child.stdin.take().unwrap();
    // It may have ended by then, where the handshake is refused.
    let _ = stdin.write_all(b"GET /who HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn both_versions_are_spoken() {
    for driver in Driver::all() {
        let server = start(driver, Options::default(), localhost());
        for (most, name) in [("1.2", "TLSv1.2"), ("1.3", "TLSv1.3")] {
            let least = format!("--tlsv{most}");
            let args = [&least, "--tls-max", most, "-w", " %{http_version} %{ssl_verify_result}"];
            assert_eq!(text(curl(&server, "/who", &args)), "tls nobody 1.1 0", "{driver:?}");
            let option = format!("-tls{}", most.replace('.', "_"));
            let said = s_client(&server, &[&option, "-alpn", "h2,http/1.1"]);
            assert!(said.contains(&format!("New, {name}, ")), "{said}");
            assert!(said.contains("ALPN protocol: http/1.1"), "{said}");
            assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
            assert!(said.contains("\r\n\r\ntls nobody"), "{said}");
        }
        // Who speaks none of ours is told so in the handshake.
        let said = s_client(&server, &["-alpn", "h2"]);
        assert!(said.contains("no application protocol"), "{said}");
        let said = s_client(&server, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(said.contains(" alert "), "{said}");
        assert!(!said.contains("HTTP/1.1 200"), "{said}");
    }
}

#[test]
fn sessions_are_resumed() {
    let dir = Dir::new();
    for driver in Driver::all() {
        let server = start(driver, Options::default(), localhost());
        for (option, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let file = dir.path(&format!("{driver:?}{option}"));
            let file = file.to_str().unwrap();
            let first = s_client(&server, &[option, "-sess_out", file]);
            assert!(first.contains(&format!("New, {name}, ")), "{first}");
            for _ in 0..2 {
                let again = s_client(&server, &[option, "-sess_in", file]);
                assert!(again.contains(&format!("Reused, {name}, ")), "{driver:?} {again}");
                assert!(again.contains("HTTP/1.1 200 OK"), "{again}");
            }
        }
    }
}

#[test]
fn the_certificate_is_that_of_the_name_asked_for() {
    for driver in Driver::all() {
        let tls = localhost().and_for("guest.lan", pki("guest.pem"), pki("guest.key")).unwrap();
        let server = start(driver, Options::default(), tls);
        let port = server.addr.port();
        for (args, subject) in [
            (&["-servername", "guest.lan"][..], "CN = guest"),
            (&["-servername", "GUEST.lan"], "CN = guest"),
            (&["-servername", "localhost"], "CN = localhost"),
            (&["-servername", "other.lan"], "CN = localhost"),
            (&["-noservername"], "CN = localhost"),
            // An RSA key, with the older version too.
            (&["-servername", "guest.lan", "-tls1_2"], "CN = guest"),
        ] {
            let said = s_client(&server, args);
            assert!(said.contains(&format!("\nsubject={subject}\n")), "{args:?} {said}");
            assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
        }
        let resolve = format!("guest.lan:{port}:127.0.0.1");
        assert_eq!(text(curl(&server, "/who", &["--resolve", &resolve])), "tls guest.lan");
    }
}

#[test]
fn files_are_pem_or_der() {
    for cert in ["localhost.pem", "localhost.crt.der"] {
        for key in ["localhost.key", "localhost.key.der"] {
            let tls = Tls::load(pki(cert), pki(key)).unwrap();
            let server = start(Driver::Own, Options::default(), tls);
            assert_eq!(text(curl(&server, "/who", &[])), "tls nobody", "{cert} {key}");
        }
    }
    // Both in one file, as some tools write it.
    let dir = Dir::new();
    let both =
        [pki("localhost.key"), pki("localhost.pem")].map(|path| std::fs::read(path).unwrap());
    let both = dir.write("both.pem", both.concat());
    let server = start(Driver::Own, Options::default(), Tls::load(&both, &both).unwrap());
    assert_eq!(text(curl(&server, "/who", &[])), "tls nobody");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let dir = Dir::new();
    let garbage = dir.write("garbage.pem", "no certificate\n");
    let empty = dir.write("empty.pem", "");
    let broken =
        dir.write("broken.pem", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
    let der = dir.write("short.der", b"\x30\x03\x02\x01\x01");
    let missing = dir.path("missing.pem");
    let (cert, key) = (pki("localhost.pem"), pki("localhost.key"));
    let says = |what: &str, result: std::io::Result<Tls>, path: &PathBuf| {
        let e = result.map(|_| ()).expect_err(what);
        assert!(e.to_string().contains(path.to_str().unwrap()), "{what}: {e}");
        e
    };
    for bad in [&garbage, &empty, &broken, &der, &missing, &dir.0] {
        let name = bad.to_str().unwrap();
        says(name, Tls::load(bad, &key), bad);
        says(name, Tls::load(&cert, bad), bad);
        says(name, localhost().and_for("x", bad, &key), bad);
        says(name, localhost().with_client_ca(bad, false), bad);
    }
    let e = says("missing", Tls::load(&missing, &key), &missing);
    assert_eq!(e.kind(), std::io::ErrorKind::NotFound);
    // The two do not belong together; both are named, since either may be the wrong one.
    let guest = pki("guest.key");
    let e = says("mismatch", Tls::load(&cert, &guest), &guest);
    assert!(e.to_string().contains(cert.to_str().unwrap()), "{e}");
    says("mismatch", localhost().and_for("x", &cert, &guest), &guest);
    // Exchanged by mistake.
    says("exchanged", Tls::load(&key, &cert), &key);
    says("a certificate as the key", Tls::load(&cert, &cert), &cert);
}

#[test]
fn clients_have_to_show_a_certificate_where_it_is_asked_for() {
    let (good, good_key) = (pki("client.pem"), pki("client.key"));
    let (bad, bad_key) = (pki("stranger.pem"), pki("stranger.key"));
    let with = |cert: &PathBuf, key: &PathBuf| {
        ["--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()].map(str::to_owned)
    };
    for driver in Driver::all() {
        for insecure in [false, true] {
            let tls = localhost().with_client_ca(pki("ca.pem"), insecure).unwrap();
            let server = start(driver, Options::default(), tls);
            for version in ["1.2", "1.3"] {
                let ask = |cert: &[String]| {
                    let mut args: Vec<&str> = vec!["--tls-max", version];
                    args.extend(cert.iter().map(String::as_str));
                    curl(&server, "/who", &args)
                };
                assert_eq!(text(ask(&with(&good, &good_key))), "tls nobody", "{version}");
                let none = ask(&[]);
                assert_eq!(none.is_ok(), insecure, "{version} {none:?}");
                // One that is shown has to be good in any case.
                let stranger = ask(&with(&bad, &bad_key));
                assert!(stranger.is_err(), "{version} {insecure}");
            }
        }
    }
}

#[test]
fn large_files_and_bodies_arrive_whole() {
    let dir = Dir::new();
    let content = pattern((20 << 20) + 12_345);
    let path = dir.write("large.bin", &content);
    for driver in Driver::all() {
        let options = Options { docroot: dir.0.clone(), ..Options::default() };
        let server = start(driver, options, localhost());
        for version in ["1.2", "1.3"] {
            let got = curl(&server, "/large.bin", &["--tls-max", version]).unwrap();
            assert!(got == content, "{driver:?} {version}");
            let range = curl(&server, "/large.bin", &["-r", "16000000-16999999"]).unwrap();
            assert!(range == content[16_000_000..17_000_000]);
            let body = format!("@{}", path.display());
            let sent = curl(
                &server,
                "/count",
                &["--tls-max", version, "-H", "Expect:", "--data-binary", &body],
            );
            assert_eq!(text(sent), content.len().to_string());
        }
    }
}

#[test]
fn keys_are_of_the_kinds_that_browsers_take() {
    let dir = Dir::new();
    let (cert, key) = (dir.path("cert"), dir.path("key"));
    let make = |kind: &[&str]| {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-subj", "/CN=localhost", "-newkey"])
            .args(kind)
            .args([OsStr::new("-keyout"), key.as_os_str(), OsStr::new("-out"), cert.as_os_str()])
            .output()
            .unwrap();
        assert!(made.status.success(), "{kind:?}: {made:?}");
        Tls::load(&cert, &key)
    };
    for kind in [
        &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] as &[&str],
        &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
        &["rsa:2048"],
    ] {
        let server = start(Driver::Own, Options::default(), make(kind).unwrap());
        assert_eq!(text(curl(&server, "/who", &["--insecure"])), "tls nobody", "{kind:?}");
    }
    for kind in [&["ed25519"] as &[&str], &["ec", "-pkeyopt", "ec_paramgen_curve:P-521"]] {
        let e = make(kind).map(|_| ()).unwrap_err().to_string();
        assert!(e.contains(key.to_str().unwrap()) && e.contains("RSA"), "{kind:?}: {e}");
    }
}

#[test]
fn of_a_file_that_shrinks_comes_what_is_left() {
    let whole = pattern(24 << 20);
    // More than sockets hold, and not much of a record.
    let left = (20 << 20) + 5000;
    for driver in Driver::all() {
        let dir = Dir::new();
        let file = dir.write("f.bin", &whole);
        let options = Options { docroot: dir.0.clone(), ..Options::default() };
        let server = start(driver, options, localhost());
        let mut curl = Command::new("curl")
            .args(["-sS", "--max-time", "20", "--noproxy", "*", "--cacert"])
            .arg(pki("ca.pem"))
            .arg(format!("https://127.0.0.1:{}/f.bin", server.addr.port()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("curl");
        let mut got = vec![0; 100_000];
        let mut stdout = curl.stdout.take().unwrap();
        stdout.read_exact(&mut got).unwrap();
        OpenOptions::new().write(true).open(file).unwrap().set_len(left).unwrap();
        stdout.read_to_end(&mut got).unwrap();
        assert_eq!(got.len() as u64, left, "{driver:?}");
        assert!(whole.starts_with(&got), "{driver:?}: what came is not the file's");
        assert_eq!(curl.wait().unwrap().code(), Some(18), "{driver:?}: a part of it, says curl");
    }
}

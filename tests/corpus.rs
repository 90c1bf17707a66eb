//! Requests and responses byte for byte, against the launcher. See `corpus/README.md`; with
//! `UPDATE_CORPUS=1` in the environment the `.response` files are written and not compared.
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
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::{Client, Process};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");

/// The launcher on the corpus' files, all of them as old as the requests say.
fn launcher() -> Process {
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_067_200);
    let www = format!("{CORPUS}/www");
    for name in ["index.html", "a.txt", "app.js", "app.js.gz", "dir/index.html", "noindex/x.txt"] {
        let file = File::options().append(true).open(format!("{www}/{name}")).unwrap();
        file.set_modified(modified).unwrap();
    }
    Process::launcher(&["-f", "-D", "-p", "127.0.0.1:0", "-h", &www])
}

/// The names of the cases, each of which has both of its files.
fn cases() -> Vec<PathBuf> {
    let (mut requests, mut responses) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(CORPUS).unwrap() {
        let path = entry.unwrap().path();
        match path.extension().and_then(|e| e.to_str()) {
            Some("request") => requests.insert(path.with_extension("")),
            Some("response") => responses.insert(path.with_extension("")),
            _ => false,
        };
    }
    assert!(requests.len() >= 60, "{} requests", requests.len());
    if !updating() {
        let lonely: Vec<_> = requests.symmetric_difference(&responses).collect();
        assert!(lonely.is_empty(), "without request or response: {lonely:?}");
    }
    requests.into_iter().collect()
}

fn updating() -> bool {
    std::env::var("UPDATE_CORPUS").is_ok_and(|value| value == "1")
}

/// All that is answered to `request`, sent in pieces of `piece` bytes and then no more.
fn exchange(addr: SocketAddr, request: &[u8], piece: usize) -> Vec<u8> {
    let stream = Client::connect(addr).stream;
    let mut reading = stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut response = Vec::new();
        let end = reading.read_to_end(&mut response);
        (response, end.map_err(|e| e.kind()))
    });
    for bytes in request.chunks(piece) {
        (&stream).write_all(bytes).unwrap_or_else(|e| panic!("{e} in {}", readable(request)));
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let (response, end) = reader.join().unwrap();
    assert!(end.is_ok(), "{end:?} after {}", readable(&response));
    response
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), bytes);
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// What stands for a value that differs from run to run, if it has the form that it must have.
fn word(name: &[u8], value: &[u8]) -> Option<&'static str> {
    let text = std::str::from_utf8(value).ok()?;
    let date = text.len() == 29 && httpdate::parse_http_date(text).is_ok();
    let tag = text.len() > 2 && text.starts_with('"') && text.ends_with('"');
    match name {
        b"Date" if date => Some("DATE"),
        b"Last-Modified" if date => Some("LAST-MODIFIED"),
        b"ETag" if tag => Some("\"ETAG\""),
        _ => None,
    }
}

/// The response with all that differs from run to run replaced.
fn normal(response: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut boundaries = Vec::new();
    for line in response.split_inclusive(|&b| b == b'\n') {
        let field = line.strip_suffix(b"\r\n").and_then(|line| {
            let colon = line.windows(2).position(|window| window == b": ")?;
            Some((&line[..colon], &line[colon + 2..]))
        });
        match field.and_then(|(name, value)| Some((name, word(name, value)?))) {
            Some((name, word)) => out.extend([name, b": ", word.as_bytes(), b"\r\n"].concat()),
            None => out.extend_from_slice(line),
        }
        let kind = b"Content-Type: multipart/byteranges; boundary=";
        if let Some(boundary) = line.strip_prefix(kind).and_then(|rest| rest.strip_suffix(b"\r\n"))
        {
            boundaries.push(boundary.to_vec());
        }
    }
    for boundary in boundaries {
        out = replace(&out, &boundary, b"BOUNDARY");
    }
    out
}

fn readable(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    text.replace("\\r\\n", "\\r\\n\n").replace("\\\"", "\"")
}

/// The entity tag of `/a.txt`, which requests name.
fn tag(addr: SocketAddr) -> String {
    let response = Client::connect(addr).request("HEAD", "/a.txt", "", b"");
    response.header("etag").unwrap().to_owned()
}

fn request(case: &Path, tag: &str) -> Vec<u8> {
    let request = fs::read(case.with_extension("request")).unwrap();
    replace(&request, b"\"ETAG\"", tag.as_bytes())
}

#[test]
fn every_request_gets_its_golden_response() {
    let server = launcher();
    let tag = tag(server.addr);
    let mut wrong = Vec::new();
    for case in cases() {
        let name = case.file_name().unwrap().to_str().unwrap();
        let got = normal(&exchange(server.addr, &request(&case, &tag), usize::MAX));
        let golden = case.with_extension("response");
        if updating() {
            fs::write(golden, got).unwrap();
            continue;
        }
        let expected = normal(&fs::read(golden).unwrap());
        assert!(expected.starts_with(b"HTTP/1.1 "), "{name}: no golden response");
        assert_eq!(expected.get(9..12), name.as_bytes().get(..3), "{name}: another status");
        if got != expected {
            println!("--- {name}, expected:\n{}", readable(&expected));
            println!("+++ {name}, got:\n{}\n", readable(&got));
            wrong.push(name.to_owned());
        }
    }
    assert!(wrong.is_empty(), "{} differ: {wrong:?}", wrong.len());
}

/// However the bytes of a request are cut on their way, the answer is the same.
#[test]
fn every_request_in_small_pieces_gets_the_same_response() {
    if updating() {
        return;
    }
    let server = launcher();
    let tag = tag(server.addr);
    let mut wrong = Vec::new();
    for case in cases() {
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        // Whether the body is there already when a handler does not read it is a matter of chance;
        // and nobody has to read what comes after the client itself has asked for the end.
        if name.contains("continue-without-waiting") || name.contains("connection-close-ends") {
            continue;
        }
        let request = request(&case, &tag);
        let got = normal(&exchange(server.addr, &request, 1.max(request.len() / 300)));
        let expected = normal(&fs::read(case.with_extension("response")).unwrap());
        if got != expected {
            println!("--- {name}, expected:\n{}", readable(&expected));
            println!("+++ {name}, in pieces:\n{}\n", readable(&got));
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{} differ: {wrong:?}", wrong.len());
}

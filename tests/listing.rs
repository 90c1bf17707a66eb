//! Listings of directories by the launcher: odd names, both forms, and what they take.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use common::{Client, Dir, Process, Response};

const JSON: &str = "Accept: application/json\r\n";

fn serving(dir: &Dir, options: &[&str]) -> Process {
    let mut args = vec!["-f", "-p", "127.0.0.1:0", "-h", dir.text()];
    args.extend(options);
    Process::launcher(&args)
}

fn get(server: &Process, path: &str, headers: &str) -> Response {
    Client::connect(server.addr).get(path, headers)
}

/// What lies between `before` and `after`, wherever that is.
fn between<'a>(text: &'a str, before: &'a str, after: &'a str) -> Vec<&'a str> {
    text.split(before).skip(1).map(|rest| rest.split(after).next().unwrap()).collect()
}

/// The links of a page, each with its text.
fn links(page: &str) -> Vec<(&str, &str)> {
    between(page, "<a href=\"", "</a>").iter().map(|link| link.split_once("\">").unwrap()).collect()
}

fn decoded(href: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = href.bytes();
    while let Some(b) = rest.next() {
        assert!(b.is_ascii_alphanumeric() || b"-._~%/".contains(&b), "{href}");
        out.push(if b == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
        } else {
            b
        });
    }
    out
}

/// As a browser shows it.
fn unescaped(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    text.replace("&#39;", "'").replace("&#xFFFD;", "\u{fffd}").replace("&amp;", "&")
}

/// Takes a JSON string off the front of `text`.
fn json_string<'a>(text: &mut &'a str) -> String {
    let mut rest: &'a str = text.strip_prefix('"').unwrap_or_else(|| panic!("{text}"));
    let mut out = String::new();
    loop {
        let mut chars = rest.chars();
        match chars.next().expect("a quote") {
            '"' => {
                *text = chars.as_str();
                return out;
            }
            '\\' => match chars.next().unwrap() {
                'u' => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let code = u32::from_str_radix(&digits, 16).unwrap();
                    out.push(char::from_u32(code).unwrap());
                }
                c => {
                    assert!("\"\\/".contains(c), "\\{c}");
                    out.push(c);
                }
            },
            c => {
                assert!(c >= ' ', "{c:?}");
                out.push(c);
            }
        }
        rest = chars.as_str();
    }
}

/// The members of an object without arrays and objects in it; numbers and words as they stand.
fn json_object(text: &str) -> BTreeMap<String, String> {
    let mut rest = text.strip_prefix('{').unwrap_or_else(|| panic!("{text}"));
    let mut members = BTreeMap::new();
    loop {
        let name = json_string(&mut rest);
        rest = rest.strip_prefix(':').unwrap();
        let value = if rest.starts_with('"') {
            json_string(&mut rest)
        } else {
            let (word, after) = rest.split_at(rest.find([',', '}']).unwrap());
            rest = after;
            assert!(word == "null" || word.parse::<u64>().is_ok(), "{word}");
            word.to_owned()
        };
        members.insert(name, value);
        match rest.split_at(1) {
            (",", after) => rest = after,
            both => {
                assert_eq!(both, ("}", ""), "{text}");
                return members;
            }
        }
    }
}

/// The entries of a listing in JSON, and whether there are more.
fn json(body: &str, path: &str) -> (Vec<BTreeMap<String, String>>, bool) {
    let mut rest = body.strip_prefix("{\"path\":").unwrap();
    assert_eq!(json_string(&mut rest), path);
    let rest = rest.strip_prefix(",\"entries\":[\n").unwrap();
    let (entries, end) = rest.rsplit_once("\n],\"truncated\":").unwrap();
    (entries.split(",\n").map(json_object).collect(), end == "true}\n")
}

/// Names that are something else to whoever is not careful.
fn odd_names() -> Vec<Vec<u8>> {
    let names: &[&[u8]] = &[
        b"<script>alert(1)<",
        b"\"double\" & 'single'",
        b"two  spaces ",
        b"%41",
        b"%",
        b"line\nbreak\r\t",
        b"\x01\x1b[31m\x7f",
        b"not \xff utf-8 \xfe\x80",
        b"a:b",
        b"?q",
        b"#h",
        b";x=y&amp;",
        b"back\\slash",
        b".dot",
        b"...",
        b"~",
        b"javascript:alert(1)",
        "gr\u{fc}\u{df}e \u{1f980} \u{202e}".as_bytes(),
        b"\"},{\"name\":\"",
    ];
    let mut names: Vec<_> = names.iter().map(|name| name.to_vec()).collect();
    names.push(vec![b'n'; 255]);
    names.push(vec![b'<'; 255]);
    names
}

/// A directory `odd` with a file of each of the names, which holds its name, and with a directory.
fn odd() -> Dir {
    let dir = Dir::new();
    dir.write("odd/sub <&>/in it", "in it");
    for name in odd_names() {
        fs::write(dir.path("odd").join(OsStr::from_bytes(&name)), &name).unwrap();
    }
    dir
}

#[test]
fn every_link_leads_to_its_file() {
    let dir = odd();
    let server = serving(&dir, &[]);
    let page = get(&server, "/odd/", "");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=UTF-8")));
    assert_eq!(page.header("vary"), Some("Accept"));
    let links = links(page.text());
    assert_eq!(links[0], ("../", "../"));
    assert_eq!(links[1], ("sub%20%3C%26%3E/", "sub &lt;&amp;&gt;/"));
    assert_eq!(links.len(), odd_names().len() + 2);
    let inner = get(&server, &format!("/odd/{}", links[1].0), "");
    assert!(inner.text().contains("<h1>Index of /odd/sub &lt;&amp;&gt;/</h1>"), "{}", inner.text());
    assert!(inner.text().contains("<a href=\"in%20it\">in it</a>"), "{}", inner.text());
    let mut found = Vec::new();
    for (href, text) in &links[2..] {
        let name = decoded(href);
        let shown =
            String::from_utf8_lossy(&name).replace(|c: char| c.is_ascii_control(), "\u{fffd}");
        assert_eq!(unescaped(text), shown);
        let file = get(&server, &format!("/odd/{href}"), "");
        assert_eq!((file.status, &file.body), (200, &name), "{href}");
        found.push(name);
    }
    found.sort();
    let mut names = odd_names();
    names.sort();
    assert_eq!(found, names);
    // Each tag is one of ours.
    for tag in between(page.text(), "<", ">") {
        let word = tag.trim_start_matches('/').split(' ').next().unwrap();
        let known = ["!DOCTYPE", "html", "meta", "title", "style", "h1", "ul", "li", "a"];
        assert!(known.contains(&word) || ["span", "time"].contains(&word), "{tag}");
    }
}

#[test]
fn json_says_the_same() {
    let dir = odd();
    symlink("nowhere", dir.path("odd/dangling")).unwrap();
    let server = serving(&dir, &[]);
    let body = get(&server, "/odd/", JSON);
    assert_eq!((body.status, body.header("content-type")), (200, Some("application/json")));
    assert_eq!(body.header("vary"), Some("Accept"));
    let (entries, truncated) = json(body.text(), "/odd/");
    assert!(!truncated);
    assert_eq!(entries.len(), odd_names().len() + 1);
    let page = get(&server, "/odd/", "");
    let links: Vec<_> = links(page.text()).iter().map(|(href, _)| *href).collect();
    let hrefs: Vec<_> = entries.iter().map(|entry| entry["href"].as_str()).collect();
    assert_eq!(hrefs, links[1..]);
    assert_eq!((&*entries[0]["name"], &*entries[0]["type"]), ("sub <&>", "directory"));
    for entry in &entries[1..] {
        let name = decoded(&entry["href"]);
        assert_eq!(entry["name"], String::from_utf8_lossy(&name));
        assert_eq!((&*entry["type"], &entry["size"]), ("file", &name.len().to_string()));
        let file = get(&server, &format!("/odd/{}", entry["href"]), "");
        assert_eq!((file.status, file.body), (200, name));
    }
    let times = between(page.text(), "<time datetime=\"", "\"");
    let modified: Vec<_> = entries.iter().map(|entry| &*entry["modified"]).collect();
    assert_eq!(times, modified);
}

#[test]
fn odd_files_have_their_size_and_time() {
    let dir = Dir::new();
    let big = fs::File::create(dir.path("big")).unwrap();
    big.set_len(5_000_000_000).unwrap();
    for (name, time) in [("big", 1_795_387_151), ("old", -86_400)] {
        let time = rustix::fs::Timespec { tv_sec: time, tv_nsec: 0 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        dir.write("old", "");
        rustix::fs::utimensat(
            rustix::fs::CWD,
            dir.path(name),
            &times,
            rustix::fs::AtFlags::empty(),
        )
        .unwrap();
    }
    let server = serving(&dir, &[]);
    let page = get(&server, "/", "");
    let expected = "<a href=\"big\">big</a><span title=\"5000000000 bytes\">4.7 GiB</span>\
        <time datetime=\"2026-11-22T22:39:11Z\">2026-11-22 22:39</time>";
    assert!(page.text().contains(expected), "{}", page.text());
    assert!(page.text().contains("datetime=\"1970-01-01T00:00:00Z\""), "{}", page.text());
    assert!(!page.text().contains("../"), "{}", page.text());
    let (entries, _) = json(get(&server, "/", JSON).text(), "/");
    assert_eq!(entries[0]["size"], "5000000000");
}

#[test]
fn head_is_get_without_its_content() {
    let dir = odd();
    fs::create_dir(dir.path("empty")).unwrap();
    let server = serving(&dir, &[]);
    for (path, headers) in [("/empty/", ""), ("/empty/", JSON), ("/odd/", ""), ("/odd/", JSON)] {
        let mut client = Client::connect(server.addr);
        let said = |response: &Response| {
            let mut headers = response.headers.clone();
            headers.retain(|(name, _)| name != "date");
            (response.status, headers)
        };
        let head = client.request("HEAD", path, headers, b"");
        // It would take content for the next response.
        let get = client.get(path, headers);
        assert_eq!(said(&head), said(&get), "{path} {headers}");
        assert!(head.body.is_empty() && !get.body.is_empty());
    }
    assert!(get(&server, "/empty/", "").text().contains("nothing here"));
}

#[test]
fn flags_decide_about_listings() {
    let dir = odd();
    dir.write("indexed/index.html", "index");
    let server = serving(&dir, &["-D"]);
    assert_eq!(get(&server, "/odd/", "").status, 403);
    assert_eq!(get(&server, "/odd/", JSON).status, 403);
    assert_eq!(get(&server, "/odd/a%3Ab", "").text(), "a:b");
    let server = serving(&dir, &["-b", "iso-8859-1"]);
    let page = get(&server, "/odd/", "");
    assert_eq!(page.header("content-type"), Some("text/html; charset=iso-8859-1"));
    let has = |bytes: &[u8]| page.body.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(b"<meta charset=\"iso-8859-1\">"));
    assert!(has(b">not \xff utf-8 \xfe\x80</a>"));
    // JSON is UTF-8 whatever names are.
    assert_eq!(get(&server, "/odd/", JSON).header("content-type"), Some("application/json"));
    assert_eq!(get(&server, "/indexed/", "").text(), "index");
    assert_eq!(get(&server, "/none/", "").status, 404);
}

#[test]
fn what_may_not_be_read_is_not_listed() {
    let dir = odd();
    let closed = dir.path("odd");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o311)).unwrap();
    if rustix::process::geteuid().is_root() {
        println!("skipped: root reads every directory");
    } else {
        let server = serving(&dir, &[]);
        assert_eq!(get(&server, "/odd/", "").status, 403);
        assert_eq!(get(&server, "/odd/", JSON).status, 403);
        assert_eq!(get(&server, "/odd/a%3Ab", "").text(), "a:b");
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
}

const MOST_GROWTH: u64 = 8 << 10; // KiB

#[test]
fn a_large_directory_takes_little_memory() {
    let dir = Dir::new();
    for i in 0..20_000 {
        dir.write(&format!("a file whose name is neither short nor very long {i:05}"), "");
    }
    let server = serving(&dir, &[]);
    assert_eq!(get(&server, "/none", "").status, 404);
    let before = server.status("RssAnon:");
    for _ in 0..3 {
        let page = get(&server, "/", "");
        assert_eq!(between(page.text(), "<time ", ">").len(), 10_000);
        assert!(page.text().contains("there are more than 10000 entries"));
        let (entries, truncated) = json(get(&server, "/", JSON).text(), "/");
        assert_eq!((entries.len(), truncated), (10_000, true));
        assert_eq!(Client::connect(server.addr).request("HEAD", "/", "", b"").status, 200);
        let grown = server.status("RssAnon:").saturating_sub(before);
        assert!(grown < MOST_GROWTH, "{grown} KiB");
    }
}

#[test]
fn clients_who_do_not_read_take_little_memory() {
    let dir = Dir::new();
    // Pages of 9 MB, which no socket takes at once.
    let odd = "&".repeat(200);
    for i in 0..5_000 {
        dir.write(&format!("large/{odd}{i:05}"), "");
    }
    dir.write("small/f", "");
    let server = serving(&dir, &[]);
    assert_eq!(get(&server, "/small/", "").status, 200);
    let before = server.status("RssAnon:");
    let mut clients: Vec<_> = (0..20)
        .map(|_| {
            let mut client = Client::connect(server.addr);
            rustix::net::sockopt::set_socket_recv_buffer_size(&client.stream, 16 << 10).unwrap();
            client.send("GET /large/ HTTP/1.1\r\nHost: h\r\n\r\n");
            client
        })
        .collect();
    let mut answers: Vec<_> = clients.iter_mut().map(|client| client.head().status).collect();
    let grown = server.status("RssAnon:").saturating_sub(before);
    assert!(grown < MOST_GROWTH, "{grown} KiB");
    answers.sort_unstable();
    answers.dedup();
    assert_eq!(answers, [200, 503]);
    // Those who are content with less get it.
    assert_eq!(get(&server, "/small/", "").status, 200);
    drop(clients);
    let end = Instant::now() + Duration::from_secs(10);
    while get(&server, "/large/", JSON).status != 200 {
        assert!(Instant::now() < end, "no memory comes back");
        std::thread::sleep(Duration::from_millis(50));
    }
}

//! Passwords for paths where programs answer: for scripts, behind rules, and for error pages.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{Client, Dir, Process, Response};

const SECRET: &str = "only for those who know";

/// `me:it`
const ME: &str = "Authorization: Basic bWU6aXQ=\r\n";

fn serving(dir: &Dir, conf: &str, options: &[&str]) -> (Process, Dir) {
    let beside = Dir::new();
    let conf = beside.write("httpd.conf", conf);
    let mut args = vec!["-f", "-p", "127.0.0.1:0", "-h", dir.text(), "-c", conf.to_str().unwrap()];
    args.extend(options);
    (Process::launcher(&args), beside)
}

fn script(dir: &Dir, name: &str, text: &str) {
    let path = dir.write(name, format!("#!/bin/sh\n{text}"));
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn get(server: &Process, path: &str, headers: &str) -> Response {
    Client::connect(server.addr).get(path, headers)
}

/// A script that leaves a trace of having run, and says who it runs for.
const WHO: &str = "echo x >>\"$DOCUMENT_ROOT/ran\"\nprintf 'Content-Type: text/plain\\n\\n'
echo \"$AUTH_TYPE/$REMOTE_USER/$HTTP_AUTH_USER/$HTTP_AUTH_PASS\"\n";

#[test]
fn a_guarded_script_does_not_run_for_anybody() {
    let dir = Dir::new();
    script(&dir, "cgi-bin/who", WHO);
    script(&dir, "cgi-bin/open", WHO);
    fs::write(dir.path("a.own"), WHO).unwrap();
    let conf = "/cgi-bin/who:me:it\n/a.own:me:it\n";
    let (server, _conf) = serving(&dir, conf, &["-i", ".own=/bin/sh"]);
    for path in ["/cgi-bin/who", "/cgi-bin/who/more", "/cgi-bin/who?x", "/a.own", "/a.own/more"] {
        for method in ["GET", "POST", "HEAD"] {
            let r = Client::connect(server.addr).request(method, path, "", b"a=b");
            assert_eq!(r.status, 401, "{method} {path}");
        }
        assert!(!dir.path("ran").exists(), "{path}: it ran");
    }
    let me = "Basic/me/me/it\n";
    for path in ["/cgi-bin/who", "/cgi-bin/who/more", "/a.own", "/a.own/more"] {
        assert_eq!(get(&server, path, ME).text(), me, "{path}");
    }
    // What nobody has checked is nobody's name.
    for field in [ME, "Auth-User: root\r\nAuth-Pass: x\r\n", "HTTP_AUTH_USER: root\r\n"] {
        assert_eq!(get(&server, "/cgi-bin/open", field).text(), "///\n", "{field}");
    }
    let spoofed = format!("{ME}Auth-User: root\r\nRemote-User: root\r\nHttp-Auth-User: root\r\n");
    assert_eq!(get(&server, "/cgi-bin/who", &spoofed).text(), me);
}

#[test]
fn a_script_cannot_lead_into_a_realm() {
    let dir = Dir::new();
    dir.write("prot/f.txt", SECRET);
    script(&dir, "cgi-bin/lead", "printf 'Location: /prot/f.txt\\n\\n'");
    let (server, _conf) = serving(&dir, "/prot:me:it\n", &[]);
    let r = get(&server, "/cgi-bin/lead", "");
    assert_eq!((r.status, r.text().contains(SECRET)), (401, false));
    assert_eq!(get(&server, "/cgi-bin/lead", ME).text(), SECRET);
}

#[test]
fn rules_lead_neither_into_a_realm_nor_out_of_it() {
    let dir = Dir::new();
    dir.write("prot/f.txt", SECRET);
    dir.write("open/f.txt", SECRET);
    let rules = dir.write(
        "rules.json",
        r#"{"request": [[
            ["if", ["eq", "REQUEST_URI", "/in"], ["rewrite", "/prot/f.txt"]],
            ["if", ["eq", "REQUEST_URI", "/prot/out"], ["rewrite", "/open/f.txt"]]
        ]]}"#,
    );
    let (server, _conf) = serving(&dir, "/prot:me:it\n", &["-H", rules.to_str().unwrap()]);
    for path in ["/in", "/prot/out"] {
        let r = get(&server, path, "");
        assert_eq!((r.status, r.text().contains(SECRET)), (401, false), "{path}");
        assert_eq!(get(&server, path, ME).text(), SECRET, "{path}");
    }
}

#[test]
fn who_is_not_let_in_does_not_learn_what_is_missing() {
    let dir = Dir::new();
    dir.write("prot/f.txt", SECRET);
    dir.write("lost.html", "lost");
    let (server, _conf) = serving(&dir, "/prot:me:it\n", &["-E", "/lost.html"]);
    for path in ["/prot/f.txt", "/prot/none", "/prot/f.txt/none", "/prot/none/"] {
        let r = get(&server, path, "");
        assert_eq!(r.status, 401, "{path}");
        assert!(r.text().contains("401"), "{path}: {}", r.text());
    }
    let r = get(&server, "/prot/none", ME);
    assert_eq!((r.status, r.text()), (404, "lost"));
}

/// A page for what is missing is one that all can have asked for: whoever may not see it gets the
/// plain answer.
#[test]
fn an_error_is_no_way_to_a_page_in_a_realm() {
    let dir = Dir::new();
    dir.write("prot/lost.html", SECRET);
    script(&dir, "cgi-bin/who", WHO);
    let conf = "/prot:me:it\n/cgi-bin:me:it\n";
    for (page, shown) in [("/prot/lost.html", SECRET), ("/cgi-bin/who", "Basic/me/me/it\n")] {
        let (server, _conf) = serving(&dir, conf, &["-E", page]);
        let r = get(&server, "/none", "");
        assert!(matches!(r.status, 401 | 404), "{page}: {}", r.status);
        assert!(!r.text().contains(SECRET), "{page}");
        assert!(!dir.path("ran").exists(), "{page}: it ran for anybody");
        let r = get(&server, "/none", ME);
        assert_eq!((r.status, r.text()), (404, shown), "{page}");
    }
}

//! Side by side with busybox httpd and lighttpd: the same files, scripts and passwords, and the same
//! requests. What the three do alike has to be alike, but for what stands in the table.
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
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Client, Dir, Process, Response, free_addr, pattern};

const BUSYBOX: &str = "busybox";
const LIGHTTPD: &str = "lighttpd";
/// Every request for a script that says what it is told.
const ENV: &str = "";

/// Where we differ from others on purpose: from whom, for which request, in what, and to what end.
/// What we do is held to all the same.
const DIFFERENCES: &[(&str, &str, &str, &str, &str)] = &[
    (BUSYBOX, "GET /dir", "status", "301", "it is the same place for ever; uhttpd has 302, too"),
    (BUSYBOX, "GET /dir?x=y", "status", "301", "likewise"),
    (BUSYBOX, "GET /f.txt since", "status", "304", "busybox looks at If-None-Match only"),
    (LIGHTTPD, "GET /f.txt since", "content-type", "", "the client has it already"),
    (BUSYBOX, "GET /f.txt range", "content-type", "text/plain", "it is what the file is"),
    (BUSYBOX, "GET /f.txt rest", "content-type", "text/plain", "likewise"),
    (BUSYBOX, "GET /plain/", "status", "200", "directories are listed, as in uhttpd"),
    (LIGHTTPD, "GET /plain/", "status", "200", "likewise; lighttpd wants it set"),
    (BUSYBOX, "GET /../f.txt", "status", "403", "it leads out; busybox calls the method unknown"),
    (LIGHTTPD, "GET /../f.txt", "status", "403", "it leads out; lighttpd stops at the docroot"),
    (LIGHTTPD, "GET /%2e%2e/f.txt", "status", "403", "likewise"),
    (BUSYBOX, "GET /%2e%2e/f.txt", "status", "403", "likewise"),
    (BUSYBOX, "POST /f.txt", "status", "405", "the method is known, if not for files (RFC 9110)"),
    (LIGHTTPD, "POST /f.txt", "status", "405", "a file does nothing with a body"),
    (BUSYBOX, "DELETE /f.txt", "status", "405", "likewise"),
    (LIGHTTPD, "DELETE /f.txt", "status", "405", "likewise"),
    (LIGHTTPD, "GET /cgi-bin/status", "reason", "Gone Fishing", "as the script has it"),
    (BUSYBOX, "GET /cgi-bin/locked", "status", "403", "it is there, but not to be run"),
    (
        LIGHTTPD,
        "GET /cgi-bin/locked",
        "status",
        "403",
        "likewise; nothing is wrong with the server",
    ),
    (
        BUSYBOX,
        "GET /cgi-bin/env/a%20b",
        "REQUEST_URI",
        "/cgi-bin/env/a%20b",
        "as it was sent, not decoded",
    ),
    (BUSYBOX, ENV, "SERVER_NAME", "127.0.0.1", "busybox sets none, which RFC 3875 has set"),
    (LIGHTTPD, ENV, "SERVER_NAME", "127.0.0.1", "the address, as uhttpd has it"),
    (LIGHTTPD, ENV, "CONTENT_LENGTH", "", "set where there is a body only (RFC 3875, 4.1.2)"),
    (BUSYBOX, ENV, "DOCUMENT_ROOT", "(docroot)", "busybox sets none"),
    (BUSYBOX, ENV, "PWD", "(docroot)", "the docroot, as uhttpd has it"),
    (LIGHTTPD, ENV, "PWD", "(docroot)", "likewise"),
    (BUSYBOX, ENV, "SECRET", "", "nothing of the server's own environment is for scripts"),
    (LIGHTTPD, ENV, "SECRET", "", "likewise"),
];

/// What scripts are asked for of their environment.
const VARIABLES: &str = "GATEWAY_INTERFACE SERVER_PROTOCOL SERVER_NAME REQUEST_METHOD REQUEST_URI \
    SCRIPT_NAME PATH_INFO QUERY_STRING CONTENT_LENGTH CONTENT_TYPE REMOTE_ADDR REMOTE_USER \
    AUTH_TYPE DOCUMENT_ROOT PWD HTTP_HOST HTTP_COOKIE HTTP_USER_AGENT HTTP_ACCEPT HTTP_REFERER \
    HTTP_X_FORWARDED_FOR SECRET";

/// A server of somebody else's, ended when this goes.
struct Peer {
    name: &'static str,
    addr: SocketAddr,
    child: Child,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    /// Starts the command that `make` makes for an address, and waits until it listens there.
    fn start(name: &'static str, make: impl Fn(SocketAddr) -> Command) -> Peer {
        for _ in 0..5 {
            // None of them can be asked where it listens.
            let addr = free_addr();
            let mut command = make(addr);
            command.env("SECRET", "secret");
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut peer = Peer { name, addr, child: command.spawn().unwrap() };
            let end = Instant::now() + Duration::from_secs(10);
            while peer.child.try_wait().unwrap().is_none() && Instant::now() < end {
                if TcpStream::connect(addr).is_ok() {
                    return peer;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        panic!("{name} does not start");
    }
}

/// All that is served.
struct Site {
    dir: Dir,
}

impl Site {
    fn new() -> Site {
        let dir = Dir::new();
        for (name, content) in [
            ("f.txt", "content"),
            ("a b.txt", "a b"),
            ("index.html", "<h1>home</h1>"),
            ("dir/index.html", "<p>index</p>"),
            ("dir/style.css", "p { color: red }"),
            ("plain/f.txt", "content"),
            ("private/f.txt", "secret"),
            ("hashed/f.txt", "secret"),
            ("run.x", "printf 'X-Script: x\\r\\n\\r\\n%s' \"$QUERY_STRING\""),
            ("cgi-bin/locked", "#!/bin/sh\necho X-A: b; echo; echo run"),
        ] {
            dir.write(&format!("www/{name}"), content);
        }
        dir.write("www/large.bin", pattern(1 << 20));
        for (name, text) in [
            (
                "env",
                &*format!(
                    "printf 'Content-Type: text/plain\\r\\nX-Script: yes\\r\\n\\r\\n'\n\
                     for v in {VARIABLES}; do eval \"printf '%s=%s\\n' $v \\\"\\${{$v-}}\\\"\"; done"
                ),
            ),
            ("echo", "printf 'Content-Type: text/plain\\r\\n\\r\\n%s:' \"$CONTENT_LENGTH\"; cat"),
            ("count", "printf 'Content-Type: text/plain\\r\\n\\r\\n'; wc -c"),
            ("status", "printf 'Status: 404 Gone Fishing\\r\\nX-Script: yes\\r\\n\\r\\nnot here'"),
            (
                "away",
                "printf 'Status: 302 Found\\r\\nLocation: http://elsewhere.lan/x\\r\\n\\r\\n'",
            ),
            ("cookies", "printf 'X-A: b\\r\\nSet-Cookie: a=b\\r\\nSet-Cookie: c=d\\r\\n\\r\\n'"),
        ] {
            let path = dir.write(&format!("www/cgi-bin/{name}"), format!("#!/bin/sh\n{text}\n"));
            fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        fs::copy(dir.path("www/cgi-bin/env"), dir.path("www/cgi-bin/who")).unwrap();
        // One file for two servers.
        dir.write(
            "httpd.conf",
            "# what they have in common\n/private:me:geheim\n/cgi-bin/who:me:geheim\n\
             /hashed:me:$1$abcdefgh$eKehL.s8tG6zTf8hBtmEF.\nI:index.html\n*.x:/bin/sh\n",
        );
        dir.write("users", "me:$1$abcdefgh$eKehL.s8tG6zTf8hBtmEF.\n");
        Site { dir }
    }

    fn text(&self, name: &str) -> String {
        self.dir.path(name).to_str().unwrap().to_owned()
    }

    fn busybox(&self) -> Option<Peer> {
        let list = Command::new(BUSYBOX).arg("--list").output();
        if !list.is_ok_and(|list| list.stdout.split(|&b| b == b'\n').any(|name| name == b"httpd")) {
            println!("skipped: there is no busybox with httpd here");
            return None;
        }
        Some(Peer::start(BUSYBOX, |addr| {
            let mut command = Command::new(BUSYBOX);
            command.args(["httpd", "-f", "-r", "Area", "-p", &addr.to_string()]);
            command.args(["-h", &self.text("www"), "-c", &self.text("httpd.conf")]);
            command
        }))
    }

    fn lighttpd(&self) -> Option<Peer> {
        let place = [LIGHTTPD, "/usr/sbin/lighttpd"].into_iter().find(|place| {
            let version = Command::new(place).arg("-v").stdout(Stdio::null()).status();
            version.is_ok_and(|status| status.success())
        });
        let Some(place) = place else {
            println!("skipped: there is no lighttpd here");
            return None;
        };
        Some(Peer::start(LIGHTTPD, |addr| {
            let (home, users) = (self.text("www"), self.text("users"));
            let require = r#"("method" => "basic", "realm" => "Area", "require" => "valid-user")"#;
            let conf = format!(
                r#"server.modules = ("mod_auth", "mod_authn_file", "mod_cgi")
                server.document-root = "{home}"
                server.bind = "127.0.0.1"
                server.port = {}
                index-file.names = ("index.html")
                mimetype.assign = (".html" => "text/html", ".txt" => "text/plain",
                    ".css" => "text/css", "" => "application/octet-stream")
                static-file.exclude-extensions = (".x")
                cgi.assign = (".x" => "/bin/sh")
                $HTTP["url"] =~ "^/cgi-bin/" {{ cgi.assign = ("" => "") }}
                auth.backend = "htpasswd"
                auth.backend.htpasswd.userfile = "{users}"
                auth.require = ("/private" => {require}, "/hashed" => {require},
                    "/cgi-bin/who" => {require})
                "#,
                addr.port()
            );
            let conf = self.dir.write("lighttpd.conf", conf);
            let mut command = Command::new(place);
            command.arg("-D").arg("-f").arg(conf);
            command
        }))
    }

    fn ours(&self) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ecohttpd"));
        command.args(["-f", "-p", "127.0.0.1:0", "-r", "Area", "-h", &self.text("www")]);
        command.args(["-c", &self.text("httpd.conf")]).env("SECRET", "secret");
        Process::start(command)
    }

    /// What can be said of an answer, each under its name.
    fn facts(&self, r: &Response, method: &str, is_script: bool) -> Vec<(String, String)> {
        let mut facts = vec![("status".to_owned(), r.status.to_string())];
        let mut fact = |name: &str, value: &str| facts.push((name.to_owned(), value.to_owned()));
        fact("reason", &r.reason);
        for name in
            ["location", "last-modified", "content-range", "content-type", "x-script", "set-cookie"]
        {
            let values = r.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str());
            let values: Vec<_> = values.collect();
            // Without its parameters: lighttpd and busybox leave the charset to be guessed.
            let value = values.join(" and ").split(';').next().unwrap().to_owned();
            // What we say and they do not is more than they have.
            fact(name, &value);
        }
        if let Some(challenge) = r.header("www-authenticate") {
            fact("challenge", challenge.split(',').next().unwrap());
        }
        if let (Some(length), false) = (r.header("content-length"), is_script || r.status >= 300) {
            fact("content-length", length);
        }
        // What is said of an error is everybody's own, but not what a script says.
        if method != "HEAD" && (r.status < 300 || r.header("x-script").is_some()) {
            let home = self.text("www");
            let text = String::from_utf8_lossy(&r.body);
            let variables = text.lines().map(|line| line.split_once('=').unwrap_or((line, "")));
            match text.starts_with("GATEWAY_INTERFACE") {
                true => variables.for_each(|(name, value)| {
                    fact(name, &value.replacen(&home, "(docroot)", 1));
                }),
                false => fact("content", &text),
            }
        }
        facts
    }
}

/// The same request to all of them, or to some.
struct Ask {
    method: &'static str,
    path: &'static str,
    /// What tells it from others for the same.
    kind: &'static str,
    headers: String,
    body: Vec<u8>,
}

fn ask(method: &'static str, path: &'static str) -> Ask {
    Ask { method, path, kind: "", headers: String::new(), body: Vec::new() }
}

impl Ask {
    fn with(mut self, kind: &'static str, headers: &str) -> Ask {
        self.kind = kind;
        self.headers.push_str(headers);
        self
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Ask {
        self.body = body.into();
        self
    }

    fn name(&self) -> String {
        format!("{} {} {}", self.method, self.path, self.kind).trim().to_owned()
    }

    fn to(&self, addr: SocketAddr) -> Response {
        let headers = format!("User-Agent: test\r\n{}Connection: close\r\n", self.headers);
        Client::connect(addr).request(self.method, self.path, &headers, &self.body)
    }
}

/// Asks all of them, and says where they are not as one.
fn compare(asks: &[Ask]) {
    let site = Site::new();
    let ours = site.ours();
    let peers: Vec<_> = [site.busybox(), site.lighttpd()].into_iter().flatten().collect();
    let mut wrong = Vec::new();
    for ask in asks {
        let is_script = ask.path.starts_with("/cgi-bin/") || ask.path.contains(".x");
        let name = ask.name();
        let ours = site.facts(&ask.to(ours.addr), ask.method, is_script);
        let fact = |what: &str| {
            ours.iter().find(|(name, _)| name == what).map_or("", |(_, value)| value.as_str())
        };
        for (_, request, what, value, _) in DIFFERENCES {
            let is_asked = *request == name || (*request == ENV && name == "GET /cgi-bin/env");
            if is_asked && fact(what) != *value {
                wrong.push(format!("{name}: {what} is {} and not {value}", fact(what)));
            }
        }
        for peer in &peers {
            let is_known = |what: &str| {
                DIFFERENCES.iter().any(|(from, request, it, _, _)| {
                    let is_asked = *request == name || (*request == ENV && is_script);
                    *from == peer.name && is_asked && (*it == what || *it == "status")
                })
            };
            for (what, theirs) in site.facts(&ask.to(peer.addr), ask.method, is_script) {
                let is_more = theirs.is_empty() && !matches!(&*what, "location" | "content");
                if fact(&what) != theirs && !is_known(&what) && !is_more {
                    let ours = fact(&what);
                    let peer = peer.name;
                    wrong.push(format!("{name}: {what} is {ours:?}, and {theirs:?} by {peer}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// me:geheim, and a wrong one.
const RIGHT: &str = "Authorization: Basic bWU6Z2VoZWlt\r\n";
const WRONG: &str = "Authorization: Basic bWU6d3Jvbmc=\r\n";

#[test]
fn files_are_served_alike() {
    compare(&[
        ask("GET", "/f.txt"),
        ask("HEAD", "/f.txt"),
        ask("GET", "/a%20b.txt"),
        ask("GET", "/large.bin"),
        ask("GET", "/dir/style.css"),
        ask("GET", "/"),
        ask("HEAD", "/"),
        ask("GET", "/dir/"),
        ask("GET", "/dir/index.html"),
        ask("GET", "/dir"),
        ask("GET", "/dir?x=y"),
        ask("GET", "/plain/"),
        ask("GET", "/missing"),
        ask("HEAD", "/missing"),
        ask("GET", "/missing/"),
        ask("GET", "/../f.txt"),
        ask("GET", "/%2e%2e/f.txt"),
        ask("GET", "/f.txt").with("range", "Range: bytes=1-3\r\n"),
        ask("GET", "/f.txt").with("rest", "Range: bytes=3-\r\n"),
        ask("GET", "/f.txt").with("since", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n"),
        ask("GET", "/f.txt").with("changed", "If-None-Match: \"other\"\r\n"),
        ask("POST", "/f.txt"),
        ask("DELETE", "/f.txt"),
    ]);
}

#[test]
fn passwords_are_asked_for_alike() {
    compare(&[
        ask("GET", "/private/f.txt"),
        ask("HEAD", "/private/f.txt"),
        ask("GET", "/private/f.txt").with("wrong", WRONG),
        ask("GET", "/private/f.txt").with("right", RIGHT),
        ask("GET", "/private/missing"),
        ask("GET", "/private/missing").with("right", RIGHT),
        ask("GET", "/hashed/f.txt"),
        ask("GET", "/hashed/f.txt").with("wrong", WRONG),
        ask("GET", "/hashed/f.txt").with("right", RIGHT),
        ask("GET", "/f.txt").with("right", RIGHT),
        ask("GET", "/cgi-bin/who"),
        ask("GET", "/cgi-bin/who").with("wrong", WRONG),
        ask("GET", "/cgi-bin/who").with("right", RIGHT),
    ]);
}

#[test]
fn scripts_are_run_alike() {
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let fields =
        "Cookie: a=b; c=d\r\nReferer: http://h/\r\nAccept: */*\r\nX-Forwarded-For: ::1\r\n";
    compare(&[
        ask("GET", "/cgi-bin/env"),
        ask("HEAD", "/cgi-bin/env"),
        ask("GET", "/cgi-bin/env/info/more?x=y&a=b%20c"),
        ask("GET", "/cgi-bin/env/a%20b"),
        ask("GET", "/cgi-bin/env").with("fields", fields),
        ask("POST", "/cgi-bin/env?x=y").with("", form).body("one=1&two=2"),
        ask("POST", "/cgi-bin/echo").with("", form).body("one=1&two=2"),
        ask("POST", "/cgi-bin/count").body(pattern(300_000)),
        ask("GET", "/cgi-bin/status"),
        ask("GET", "/cgi-bin/away"),
        ask("GET", "/cgi-bin/cookies"),
        ask("GET", "/cgi-bin/missing"),
        ask("GET", "/cgi-bin/locked"),
        ask("GET", "/cgi-bin/"),
        ask("GET", "/run.x?y=z"),
    ]);
}

//! What a script is told: its variables, its arguments, and where it runs.
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
use std::os::unix::net::UnixStream;
use std::process::Command;

use common::{Client, Dir, Process};

/// Answers with the environment that it was given, byte for byte.
const ENVIRONMENT: &str =
    "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\ncat /proc/$$/environ\n";

type Variables = BTreeMap<String, Vec<u8>>;

/// Variables as they lie in /proc/PID/environ.
fn parse(environ: &[u8]) -> Variables {
    let mut variables = Variables::new();
    for variable in environ.split(|&b| b == 0).filter(|variable| !variable.is_empty()) {
        let at = variable.iter().position(|&b| b == b'=').unwrap();
        let name = String::from_utf8(variable[..at].to_vec()).unwrap();
        let before = variables.insert(name, variable[at + 1..].to_vec());
        assert_eq!(before, None, "twice: {}", variable.escape_ascii());
    }
    variables
}

fn ask(client: &mut Client, method: &str, path: &str, headers: &str, body: &[u8]) -> Variables {
    let r = client.request(method, path, headers, body);
    assert_eq!(r.status, 200, "{method} {path}");
    parse(&r.body)
}

/// A launcher over `dir` with /cgi-bin/env there.
fn start(dir: &Dir, args: &[&str]) -> Process {
    dir.script("cgi-bin/env", ENVIRONMENT);
    Process::launcher(&[&["-f", "-p", "127.0.0.1:0", "-h", dir.text()][..], args].concat())
}

fn text<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
    variables.get(name).map(|value| std::str::from_utf8(value).unwrap())
}

#[test]
fn the_environment_is_the_variables_and_nothing_else() {
    let dir = Dir::new();
    dir.script("cgi-bin/env", ENVIRONMENT);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ecohttpd"));
    command.args(["-f", "-p", "127.0.0.1:0", "-h", dir.text()]);
    // The server's own, which would be believed.
    for name in ["SECRET", "HTTPS", "REMOTE_USER", "HTTP_AUTH_USER", "HTTP_PROXY", "PATH_INFO"] {
        command.env(name, "outside");
    }
    let server = Process::start(command);
    let mut client = Client::connect(server.addr);
    let port = client.stream.local_addr().unwrap().port().to_string();
    let own_port = server.addr.port().to_string();
    let root = dir.0.canonicalize().unwrap();
    let root = root.to_str().unwrap();
    let file = format!("{root}/cgi-bin/env");
    let mut expected = Variables::new();
    for (name, value) in [
        ("PATH", "/sbin:/usr/sbin:/bin:/usr/bin"),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("SERVER_SOFTWARE", "ecohttpd"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_NAME", "127.0.0.1"),
        ("SERVER_ADDR", "127.0.0.1"),
        ("SERVER_PORT", &own_port),
        ("REMOTE_HOST", "127.0.0.1"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("REMOTE_PORT", &port),
        ("REQUEST_METHOD", "GET"),
        ("REQUEST_URI", "/cgi-bin/env"),
        ("QUERY_STRING", ""),
        ("SCRIPT_NAME", "/cgi-bin/env"),
        ("SCRIPT_FILENAME", &file),
        ("DOCUMENT_ROOT", root),
        ("REDIRECT_STATUS", "200"),
        ("HTTP_HOST", "test"),
    ] {
        expected.insert(name.into(), value.into());
    }
    assert_eq!(ask(&mut client, "GET", "/cgi-bin/env", "", b""), expected);

    // What follows the script is decoded, the query is not; the target is as it came.
    let target = "/cgi-bin/./env/a%20b//%ff+;x=%3f?q=%20&r=%00&s=a+b?";
    let info = b"/a b/\xff+;x=?";
    for (name, value) in [
        ("REQUEST_URI", target.as_bytes()),
        ("QUERY_STRING", b"q=%20&r=%00&s=a+b?"),
        ("PATH_INFO", info),
        ("PATH_TRANSLATED", &[root.as_bytes(), info].concat()),
    ] {
        expected.insert(name.into(), value.to_vec());
    }
    assert_eq!(ask(&mut client, "GET", target, "", b""), expected);
    let variables = ask(&mut client, "GET", "/cgi-bin/env/", "", b"");
    assert_eq!(text(&variables, "PATH_INFO"), Some("/"));
    assert_eq!(text(&variables, "SCRIPT_NAME"), Some("/cgi-bin/env"));
}

#[test]
fn a_body_is_announced() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = Client::connect(server.addr);
    let path = "/cgi-bin/env";
    for method in ["POST", "PUT", "PATCH", "DELETE", "GET", "OPTIONS", "PROPFIND"] {
        let variables = ask(&mut client, method, path, "content-TYPE: a/b; c=\"d\"\r\n", b"12345");
        assert_eq!(text(&variables, "REQUEST_METHOD"), Some(method));
        assert_eq!(text(&variables, "CONTENT_LENGTH"), Some("5"), "{method}");
        assert_eq!(text(&variables, "CONTENT_TYPE"), Some("a/b; c=\"d\""), "{method}");
        assert_eq!(text(&variables, "HTTP_CONTENT_TYPE"), None, "{method}");
        assert_eq!(text(&variables, "HTTP_CONTENT_LENGTH"), None, "{method}");
    }
    let variables = ask(&mut client, "POST", path, "Content-Length: 0\r\n", b"");
    assert_eq!(text(&variables, "CONTENT_LENGTH"), Some("0"));
    for method in ["GET", "POST"] {
        let variables = ask(&mut client, method, path, "", b"");
        assert_eq!(text(&variables, "CONTENT_LENGTH"), None, "{method}");
        assert_eq!(text(&variables, "CONTENT_TYPE"), None, "{method}");
    }
}

#[test]
fn old_clients_need_name_no_host() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = Client::connect(server.addr);
    client.send("GET /cgi-bin/env HTTP/1.0\r\n\r\n");
    let variables = parse(&client.response("GET").body);
    assert_eq!(text(&variables, "SERVER_PROTOCOL"), Some("HTTP/1.0"));
    assert_eq!(text(&variables, "HTTP_HOST"), None);
    assert_eq!(text(&variables, "SERVER_NAME"), Some("127.0.0.1"));
    assert!(client.is_closed());
}

#[test]
fn a_whole_address_outranks_the_host() {
    // RFC 9112, 3.2.2: the Host field must then be ignored.
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = Client::connect(server.addr);
    let variables = ask(&mut client, "GET", "http://real:81/cgi-bin/env/x?y", "", b"");
    assert_eq!(text(&variables, "PATH_INFO"), Some("/x"));
    assert_eq!(text(&variables, "QUERY_STRING"), Some("y"));
    assert_eq!(text(&variables, "HTTP_HOST"), Some("real:81"));
}

#[test]
fn fields_of_the_header_are_passed_on() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = Client::connect(server.addr);
    let fields = [
        ("Accept", "text/html, */*;q=0.1"),
        ("accept-language", "de"),
        ("ACCEPT-ENCODING", "gzip"),
        ("Authorization", "Bearer x"),
        ("Connection", "keep-alive"),
        ("Origin", "http://o"),
        ("Referer", "http://r/?a=b"),
        ("User-Agent", "me (x; \"y\")"),
        ("X-HTTP-Method-Override", "PUT"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "outside"),
        ("Forwarded", "for=192.0.2.1"),
        ("X-Empty", ""),
        ("X-1", "$(touch /tmp/x) `id` \\"),
    ];
    let header: String =
        fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let variables = ask(&mut client, "GET", "/cgi-bin/env", &header, b"");
    for (name, value) in fields {
        let variable = format!("HTTP_{}", name.to_uppercase().replace('-', "_"));
        assert_eq!(text(&variables, &variable), Some(value), "{name}");
    }
    // What a proxy says about the client is not what we know about it.
    assert_eq!(text(&variables, "REMOTE_ADDR"), Some("127.0.0.1"));
    assert_eq!(text(&variables, "HTTPS"), None);
}

#[test]
fn repeated_fields_are_one_variable() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = Client::connect(server.addr);
    let header = "X-A: 1\r\nCookie: a=1; b=2\r\nx-a: 2\r\nX-B: only\r\ncookie: c=3\r\nX-A: 3\r\n";
    let variables = ask(&mut client, "GET", "/cgi-bin/env", header, b"");
    assert_eq!(text(&variables, "HTTP_X_A"), Some("1, 2, 3"));
    assert_eq!(text(&variables, "HTTP_X_B"), Some("only"));
    assert_eq!(text(&variables, "HTTP_COOKIE"), Some("a=1; b=2; c=3"));
}

#[test]
fn values_keep_their_bytes() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = Client::connect(server.addr);
    let odd: Vec<u8> = (0x80..=0xff).chain(b"\tx".iter().copied()).collect();
    let mut request = b"GET /cgi-bin/env HTTP/1.1\r\nHost: test\r\nX-Odd: ".to_vec();
    request.extend(&odd);
    request.extend(b"\r\nX-Odd: \xc3\xa9\xff\r\nCookie: \xe9\r\nContent-Type: \xff/x\r\n\r\n");
    client.send(request);
    let variables = parse(&client.response("GET").body);
    assert_eq!(variables["HTTP_X_ODD"], [&odd[..], b", \xc3\xa9\xff"].concat());
    assert_eq!(variables["HTTP_COOKIE"], b"\xe9");
    assert_eq!(variables["CONTENT_TYPE"], b"\xff/x");
}

#[test]
fn nobody_poses_as_what_only_we_say() {
    let dir = Dir::new();
    let server = start(&dir, &[]);
    let mut client = Client::connect(server.addr);
    for name in [
        "Auth-User",
        "Auth_User",
        "AUTH-PASS",
        "auth_pass",
        "HTTP-AUTH-USER",
        "http_auth_user",
        "Auth.User",
        "Auth~User",
        "Remote-User",
        "REMOTE_USER",
        "Auth_Type",
        "Proxy",
        "PROXY",
        "HTTP_PROXY",
        "X_Good",
        "X_Forwarded_For",
        "User_Agent",
        "Content_Length",
        "Content_Type",
        "Path_Info",
        "HTTPS",
        "SCRIPT-FILENAME",
    ] {
        let header = format!("X-Good: good\r\n{name}: evil\r\nX-Forwarded-For: 192.0.2.1\r\n");
        let variables = ask(&mut client, "GET", "/cgi-bin/env", &header, b"");
        for (variable, value) in &variables {
            if value.windows(4).any(|part| part == b"evil") {
                // Out of harm's way, where nobody looks for it.
                let own = format!("HTTP_{}", name.to_uppercase().replace('-', "_"));
                assert_eq!(*variable, own, "{name}");
                let known = ["HTTP_AUTH_USER", "HTTP_AUTH_PASS", "HTTP_PROXY"];
                assert!(!known.contains(&variable.as_str()) && !name.contains('_'), "{name}");
            }
        }
        assert_eq!(text(&variables, "HTTP_X_GOOD"), Some("good"), "{name}");
        assert_eq!(text(&variables, "HTTP_X_FORWARDED_FOR"), Some("192.0.2.1"), "{name}");
    }
}

#[test]
fn whoever_gave_a_password_has_a_name() {
    let dir = Dir::new();
    let conf = Dir::new();
    let conf = conf.write("httpd.conf", "/cgi-bin/env:u:p:q\n");
    dir.script("cgi-bin/open", ENVIRONMENT);
    dir.script("cgi-bin/env2", ENVIRONMENT);
    let server = start(&dir, &["-c", conf.to_str().unwrap()]);
    let mut client = Client::connect(server.addr);
    let names = ["REMOTE_USER", "AUTH_TYPE", "HTTP_AUTH_USER", "HTTP_AUTH_PASS"];
    // u:p:q
    let known = "Authorization: Basic dTpwOnE=\r\n";
    let posing = "Auth-User: root\r\nAuth-Pass: x\r\nAuth_User: root\r\nhttp_auth_user: root\r\n";
    for header in [known.to_owned(), format!("{known}{posing}"), format!("{posing}{known}")] {
        let variables = ask(&mut client, "GET", "/cgi-bin/env/x", &header, b"");
        let values = names.map(|name| text(&variables, name).unwrap_or("none"));
        assert_eq!(values, ["u", "Basic", "u", "p:q"]);
    }
    // Where nobody was asked, nobody was let in, whatever is said.
    for path in ["/cgi-bin/open", "/cgi-bin/env2"] {
        let variables = ask(&mut client, "GET", path, &format!("{known}{posing}"), b"");
        assert!(names.iter().all(|name| !variables.contains_key(*name)), "{path} {variables:?}");
        assert_eq!(text(&variables, "HTTP_AUTHORIZATION"), Some("Basic dTpwOnE="));
    }
    for header in ["", posing, "Authorization: Basic dTp4\r\n", "Authorization: Bearer u:p:q\r\n"] {
        let r = client.get("/cgi-bin/env", header);
        assert_eq!(r.status, 401, "{header}");
        assert!(!r.text().contains("GATEWAY_INTERFACE"), "{header}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn https_is_on() {
    let dir = Dir::new();
    dir.script("cgi-bin/env", ENVIRONMENT);
    let pki = |name: &str| format!("{}/tests/pki/{name}", env!("CARGO_MANIFEST_DIR"));
    let (cert, key, ca) = (pki("localhost.pem"), pki("localhost.key"), pki("ca.pem"));
    let args = ["-f", "-s", "127.0.0.1:0", "-C", &cert, "-K", &key, "-h", dir.text()];
    let server = Process::launcher(&args);
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--noproxy", "*", "--cacert", &ca, "-d", "12345"])
        .arg(format!("https://{}/cgi-bin/env", server.addr))
        .output()
        .expect("curl");
    let variables = parse(&output.stdout);
    assert_eq!(text(&variables, "HTTPS"), Some("on"));
    assert_eq!(text(&variables, "CONTENT_LENGTH"), Some("5"));
    assert_eq!(text(&variables, "SERVER_PORT"), Some(server.addr.port().to_string().as_str()));
}

#[test]
fn a_unix_socket_has_a_name_all_the_same() {
    let dir = Dir::new();
    let beside = Dir::new();
    let path = beside.path("socket");
    let server = start(&dir, &["-p", &format!("unix:{}", path.display())]);
    // Until then the other address may be the only one.
    assert_eq!(Client::connect(server.addr).get("/cgi-bin/env", "").status, 200);
    for (host, name) in [("h", "h"), ("h:81", "h"), ("[fe80::1]", "[fe80::1]"), ("", "localhost")] {
        let mut client = Client { stream: UnixStream::connect(&path).unwrap() };
        client.send(format!("GET /cgi-bin/env HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let variables = parse(&client.response("GET").body);
        assert_eq!(text(&variables, "SERVER_NAME"), Some(name), "{host}");
        assert_eq!(text(&variables, "REMOTE_ADDR"), Some(""), "{host}");
        assert!(variables.contains_key("SERVER_PORT"), "{host}");
    }
}

#[test]
fn scripts_run_in_the_docroot_with_nothing_to_read() {
    let dir = Dir::new();
    // With a body that is empty, or that nobody sent, `cat` has nothing to wait for.
    let path = dir.script(
        "cgi-bin/where",
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n\
         [ -t 0 ] && echo a terminal\n\
         printf '%s|%s|%s|<%s>' \"$0\" $# \"$(pwd -P)\" \"$(cat)\"\n",
    );
    let server = start(&dir, &[]);
    let mut client = Client::connect(server.addr);
    let root = dir.0.canonicalize().unwrap();
    let expected = format!("{}|0|{}|<>", path.canonicalize().unwrap().display(), root.display());
    // A query without = would be arguments, were it 1995 still.
    for (method, path, header) in [
        ("GET", "/cgi-bin/where", ""),
        ("GET", "/cgi-bin/where?a+b", ""),
        ("GET", "/cgi-bin/where/x", ""),
        ("POST", "/cgi-bin/where", ""),
        ("POST", "/cgi-bin/where", "Content-Length: 0\r\n"),
        ("POST", "/cgi-bin/where", "Content-Length: 0\r\nExpect: 100-continue\r\n"),
    ] {
        let r = client.request(method, path, header, b"");
        assert_eq!((r.status, r.text()), (200, &*expected), "{method} {path} {header}");
    }
}

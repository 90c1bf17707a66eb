//! The variables of CGI/1.1 (RFC 3875, 4.1), as uhttpd sets them.

use std::ffi::CString;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

use ecohttpd::{Connection, Request};

use crate::serve::Visit;
use crate::site::{Script, Site};

/// Where scripts look for programs; nothing of our own environment is theirs.
const PATH: &str = "/sbin:/usr/sbin:/bin:/usr/bin";

/// The environment of a script, each variable as `NAME=value`.
#[derive(Debug, Default)]
pub(crate) struct Environment(Vec<Vec<u8>>);

impl Environment {
    fn set(&mut self, name: &str, value: &[u8]) {
        self.0.push([name.as_bytes(), b"=", value].concat());
    }

    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    }

    /// What `execve(2)` takes.
    ///
    /// # Errors
    ///
    /// If there is a NUL in it.
    pub(crate) fn into_lines(self) -> io::Result<Vec<CString>> {
        let mut lines = Vec::with_capacity(self.0.len());
        for line in self.0 {
            lines.push(CString::new(line)?);
        }
        Ok(lines)
    }

    /// The variables for a request that `script` answers; `length` is that of its body.
    pub(crate) fn of(
        site: &Site,
        con: &Connection,
        req: &Request,
        visit: &Visit,
        script: &Script,
        length: Option<u64>,
    ) -> Environment {
        let mut env = Environment::default();
        env.set("PATH", PATH.as_bytes());
        env.set("GATEWAY_INTERFACE", b"CGI/1.1");
        env.set("SERVER_SOFTWARE", b"ecohttpd");
        env.set("SERVER_PROTOCOL", if req.version() == (1, 0) { b"HTTP/1.0" } else { b"HTTP/1.1" });
        env.set("REQUEST_METHOD", req.method().as_bytes());
        env.set("REQUEST_URI", visit.uri.as_deref().unwrap_or(req.raw_path()).as_bytes());
        env.set("QUERY_STRING", req.query_string().as_bytes());
        env.set("SCRIPT_NAME", &script.name);
        env.set("SCRIPT_FILENAME", script.path.as_os_str().as_bytes());
        env.set("DOCUMENT_ROOT", site.docroot.as_os_str().as_bytes());
        env.set("REDIRECT_STATUS", visit.redirect_status.to_string().as_bytes());
        if !script.info.is_empty() {
            env.set("PATH_INFO", &script.info);
            let docroot = site.docroot.as_os_str().as_bytes();
            env.set("PATH_TRANSLATED", &[docroot, &script.info].concat());
        }
        if con.is_tls() {
            env.set("HTTPS", b"on");
        }
        env.ends(con.local_addr(), con.remote_addr(), req);
        if let Some((user, password)) = &visit.credentials {
            env.set("AUTH_TYPE", b"Basic");
            env.set("REMOTE_USER", user.as_bytes());
            // uhttpd's own, by which LuCI logs in whoever has given a password already.
            env.set("HTTP_AUTH_USER", user.as_bytes());
            env.set("HTTP_AUTH_PASS", password.as_bytes());
        }
        if let Some(kind) = req.header_bytes("content-type").filter(|_| !visit.bodiless) {
            env.set("CONTENT_TYPE", kind);
        }
        if let Some(length) = length.filter(|_| has_body(req)) {
            env.set("CONTENT_LENGTH", length.to_string().as_bytes());
        }
        env.fields(req);
        env
    }

    fn ends(&mut self, local: SocketAddr, remote: SocketAddr, req: &Request) {
        // A Unix socket has no addresses; a name there has to be all the same.
        if local.port() == 0 {
            let host = req.host().unwrap_or("");
            let host = match host.rsplit_once(':') {
                Some((name, port)) if !port.ends_with(']') => name,
                _ => host,
            };
            self.set("SERVER_NAME", if host.is_empty() { b"localhost" } else { host.as_bytes() });
            self.set("SERVER_PORT", b"80");
            self.set("REMOTE_ADDR", b"");
            return;
        }
        let local_ip = local.ip().to_canonical().to_string();
        let remote_ip = remote.ip().to_canonical().to_string();
        self.set("SERVER_NAME", local_ip.as_bytes());
        self.set("SERVER_ADDR", local_ip.as_bytes());
        self.set("SERVER_PORT", local.port().to_string().as_bytes());
        self.set("REMOTE_HOST", remote_ip.as_bytes());
        self.set("REMOTE_ADDR", remote_ip.as_bytes());
        self.set("REMOTE_PORT", remote.port().to_string().as_bytes());
    }

    /// The header as `HTTP_*`, those of a name in one variable (RFC 3875, 4.1.18).
    fn fields(&mut self, req: &Request) {
        // That of the request target comes before that of the header (RFC 9112, 3.2.2).
        if let Some(host) = req.host() {
            self.set("HTTP_HOST", host.as_bytes());
        }
        for (name, value) in req.headers_bytes() {
            if !is_passed_on(name) {
                continue;
            }
            let mut line = b"HTTP_".to_vec();
            line.extend(
                name.bytes().map(|b| if b == b'-' { b'_' } else { b.to_ascii_uppercase() }),
            );
            line.push(b'=');
            match self.0.iter_mut().find(|before| before.starts_with(&line)) {
                Some(before) => {
                    before.extend_from_slice(if name == "cookie" { b"; " } else { b", " });
                    before.extend_from_slice(value);
                }
                None => {
                    line.extend_from_slice(value);
                    self.0.push(line);
                }
            }
        }
    }
}

fn has_body(req: &Request) -> bool {
    req.content_length() != Some(0) || req.header("content-length").is_some()
}

/// Whether a script gets to see a header field. Not what has a variable of its own or frames the
/// message; nor `Proxy`, which programs take for the setting of that name; nor what would pose as
/// uhttpd's HTTP_AUTH_USER; nor a name with an underscore, which would pose as one with a hyphen.
fn is_passed_on(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let taken = [
        "proxy",
        "auth-user",
        "auth-pass",
        "host",
        "content-type",
        "content-length",
        "transfer-encoding",
        "te",
        "trailer",
    ];
    plain && !taken.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangerous_names_stay_outside() {
        for name in ["accept", "x-forwarded-for", "cookie", "authorization", "x-1"] {
            assert!(is_passed_on(name), "{name}");
        }
        for name in [
            "proxy",
            "auth-user",
            "auth-pass",
            "auth_user",
            "user_agent",
            "content-length",
            "x.y",
            "x'y",
        ] {
            assert!(!is_passed_on(name), "{name}");
        }
    }
}

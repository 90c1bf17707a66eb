//! The variables of CGI/1.1 (RFC 3875, 4.1), as uhttpd sets them.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use ecohttpd::{Connection, Request};

use crate::serve::Visit;
use crate::site::{Script, Site};

/// Where scripts look for programs; nothing of our own environment is theirs.
const PATH: &str = "/sbin:/usr/sbin:/bin:/usr/bin";

/// The environment of a script.
#[derive(Debug, Default)]
pub(crate) struct Environment(Vec<(String, OsString)>);

impl Environment {
    fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.0.push((name.to_owned(), value.as_ref().to_owned()));
    }

    fn set_bytes(&mut self, name: &str, value: &[u8]) {
        self.set(name, OsStr::from_bytes(value));
    }

    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_os_str())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_os_str()))
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
        env.set("PATH", PATH);
        env.set("GATEWAY_INTERFACE", "CGI/1.1");
        env.set("SERVER_SOFTWARE", "ecohttpd");
        env.set("SERVER_PROTOCOL", if req.version() == (1, 0) { "HTTP/1.0" } else { "HTTP/1.1" });
        env.set("REQUEST_METHOD", req.method());
        env.set("REQUEST_URI", visit.uri.as_deref().unwrap_or(req.raw_path()));
        env.set("QUERY_STRING", req.query_string());
        env.set_bytes("SCRIPT_NAME", &script.name);
        env.set("SCRIPT_FILENAME", &script.path);
        env.set("DOCUMENT_ROOT", &site.docroot);
        env.set("REDIRECT_STATUS", visit.redirect_status.to_string());
        if !script.info.is_empty() {
            env.set_bytes("PATH_INFO", &script.info);
            let docroot = site.docroot.as_os_str().as_bytes();
            env.set_bytes("PATH_TRANSLATED", &[docroot, &script.info].concat());
        }
        if con.is_tls() {
            env.set("HTTPS", "on");
        }
        env.ends(con.local_addr(), con.remote_addr(), req);
        if let Some((user, password)) = &visit.credentials {
            env.set("AUTH_TYPE", "Basic");
            env.set("REMOTE_USER", user);
            // uhttpd's own, by which LuCI logs in whoever has given a password already.
            env.set("HTTP_AUTH_USER", user);
            env.set("HTTP_AUTH_PASS", password);
        }
        if let Some(kind) = req.header_bytes("content-type").filter(|_| !visit.bodiless) {
            env.set_bytes("CONTENT_TYPE", kind);
        }
        if let Some(length) = length.filter(|_| has_body(req)) {
            env.set("CONTENT_LENGTH", length.to_string());
        }
        env.fields(req);
        env
    }

    fn ends(&mut self, local: SocketAddr, remote: SocketAddr, req: &Request) {
        let (local_ip, remote_ip) = (local.ip().to_canonical(), remote.ip().to_canonical());
        // A Unix socket has no addresses; a name there has to be all the same.
        if local.port() == 0 {
            let host = req.host().unwrap_or("");
            let host = match host.rsplit_once(':') {
                Some((name, port)) if !port.ends_with(']') => name,
                _ => host,
            };
            self.set("SERVER_NAME", if host.is_empty() { "localhost" } else { host });
            self.set("SERVER_PORT", "80");
            self.set("REMOTE_ADDR", "");
            return;
        }
        self.set("SERVER_NAME", local_ip.to_string());
        self.set("SERVER_ADDR", local_ip.to_string());
        self.set("SERVER_PORT", local.port().to_string());
        self.set("REMOTE_HOST", remote_ip.to_string());
        self.set("REMOTE_ADDR", remote_ip.to_string());
        self.set("REMOTE_PORT", remote.port().to_string());
    }

    /// The header as `HTTP_*`, those of a name in one variable (RFC 3875, 4.1.18).
    fn fields(&mut self, req: &Request) {
        // That of the request target comes before that of the header (RFC 9112, 3.2.2).
        if let Some(host) = req.host() {
            self.set("HTTP_HOST", host);
        }
        for (name, value) in req.headers_bytes() {
            if !is_passed_on(name) {
                continue;
            }
            let variable = format!("HTTP_{}", name.to_ascii_uppercase().replace('-', "_"));
            let known = self.0.iter_mut().find(|(n, _)| *n == variable);
            let Some((_, old)) = known else {
                self.set_bytes(&variable, value);
                continue;
            };
            let between: &[u8] = if name == "cookie" { b"; " } else { b", " };
            *old = OsString::from_vec([old.as_bytes(), between, value].concat());
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

//! To where a request is sent before anything is looked up: HTTPS (`-q`), another host (`-Q`).

use std::borrow::Cow;

use ecohttpd::{Connection, Request};

use crate::address::Address;
use crate::site::Site;

/// Below this path certificate authorities look for an answer that they take over plain HTTP only.
const ACME: &str = "/.well-known/acme-challenge/";

/// Where HTTPS is, for those that come by HTTP.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Https {
    /// The ports for IPv4 and for IPv6.
    ports: Option<(u16, u16)>,
}

impl Https {
    /// `listeners` are those that were bound for HTTPS.
    pub(crate) fn at<'a>(listeners: impl Iterator<Item = &'a Address> + Clone) -> Https {
        let of = |v4: bool| {
            let is = |a: &&Address| matches!(a, Address::Tcp { at, .. } if at.is_ipv4() == v4);
            listeners.clone().find(is).and_then(Address::port)
        };
        let any = listeners.clone().next().map(|a| a.port().unwrap_or(443));
        let ports = any.map(|any| (of(true).unwrap_or(any), of(false).unwrap_or(any)));
        Https { ports }
    }

    /// To where a request over plain HTTP is sent.
    pub(crate) fn location(&self, con: &Connection, req: &Request) -> Option<String> {
        let (v4, v6) = self.ports.filter(|_| !con.is_tls())?;
        if req.path().starts_with(ACME) {
            return None;
        }
        let port = if con.local_addr().ip().to_canonical().is_ipv4() { v4 } else { v6 };
        let host = without_port(req.host().filter(|host| !host.is_empty())?);
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        Some(format!("https://{host}{port}{}", origin_form(req.raw_path())))
    }
}

/// To where those are sent that asked the TLS session for a host that is elsewhere.
pub(crate) fn elsewhere(site: &Site, con: &Connection, req: &Request) -> Option<String> {
    let asked = con.server_name()?;
    let (_, url) = site.redirect_hosts.iter().find(|(host, _)| host.eq_ignore_ascii_case(asked))?;
    let (_, path) = behind_scheme(url).unwrap_or(url).split_once('/').unwrap_or_default();
    // A URL that names a host only stands for all that is on it.
    Some(match path {
        "" => format!("{}{}", url.trim_end_matches('/'), origin_form(req.raw_path())),
        _ => url.clone(),
    })
}

/// A host that may have a port behind it, and brackets around it.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// What follows `://`.
fn behind_scheme(url: &str) -> Option<&str> {
    let end = url.as_bytes().windows(3).position(|it| it == b"://")?;
    url.get(end + 3..)
}

/// The path and query of a request target, which may be a whole URL.
fn origin_form(target: &str) -> Cow<'_, str> {
    if target.starts_with('/') {
        return target.into();
    }
    let rest = behind_scheme(target).unwrap_or_default();
    match rest.find(['/', '?']).and_then(|i| rest.get(i..)) {
        Some(rest) if rest.starts_with('/') => rest.into(),
        Some(query) => format!("/{query}").into(),
        None => "/".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lose_their_port() {
        for (host, name) in [
            ("router.lan", "router.lan"),
            ("router.lan:8080", "router.lan"),
            ("192.168.1.1:80", "192.168.1.1"),
            ("[fd00::1]:80", "[fd00::1]"),
            ("[fd00::1]", "[fd00::1]"),
            ("router.lan:", "router.lan"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }

    #[test]
    fn a_target_is_told_by_its_path_and_query() {
        assert_eq!(origin_form("/a?b"), "/a?b");
        assert_eq!(origin_form("http://h:1/a?b"), "/a?b");
        assert_eq!(origin_form("http://h"), "/");
        assert_eq!(origin_form("http://h?a=/b"), "/?a=/b");
        assert_eq!(origin_form("*"), "/");
    }

    #[test]
    fn ports_are_those_of_the_family() {
        let at = |listeners: &[Address]| Https::at(listeners.iter());
        let tcp = |text: &str| Address::parse(text).unwrap();
        assert_eq!(at(&[]).ports, None);
        assert_eq!(at(&tcp("443")).ports, Some((443, 443)));
        let both = [tcp("[::1]:8443"), tcp("127.0.0.1:9443")].concat();
        assert_eq!(at(&both).ports, Some((9443, 8443)));
        assert_eq!(at(&tcp("[::1]:8443")).ports, Some((8443, 8443)));
        assert_eq!(at(&tcp("unix:/s")).ports, Some((443, 443)));
    }
}

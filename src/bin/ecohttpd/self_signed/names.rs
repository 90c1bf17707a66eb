//! The names that a certificate is for.

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::str::FromStr;

/// More names than a router has.
const MOST: usize = 32;

/// What clients may call a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// In lower case.
    Host(String),
    Address(IpAddr),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Host(name) => f.write_str(name),
            Name::Address(address) => address.fmt(f),
        }
    }
}

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Name, &'static str> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        match bare.unwrap_or(text).parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() => {
                return Err("no address that anybody connects to");
            }
            Ok(address) if bare.is_none() || address.is_ipv6() => {
                return Ok(Name::Address(address));
            }
            _ => {}
        }
        // Letters, digits and hyphens: RFC 1123, 2.1. A name that ends in a number is read as an
        // IPv4 address by browsers.
        let name = text.to_ascii_lowercase();
        let host = name.strip_prefix("*.").unwrap_or(&name);
        let label = |label: &str| {
            let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            plain
                && !label.starts_with('-')
                && !label.ends_with('-')
                && (1..64).contains(&label.len())
        };
        let last = host.rsplit_once('.').map_or(host, |(_, last)| last);
        if text.is_empty() {
            Err("an empty name")
        } else if !text.is_ascii() {
            Err("a host name takes the form of IDNA, which begins with xn--")
        } else if !host.split('.').all(label)
            || name.len() > 253
            || last.bytes().all(|b| b.is_ascii_digit())
        {
            Err("neither a host name nor an IP address")
        } else if host.len() < name.len() && !host.contains('.') {
            Err("no client takes an asterisk for all of a top-level domain")
        } else {
            Ok(Name::Host(name))
        }
    }
}

/// At least one, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names(Vec<Name>);

impl FromStr for Names {
    type Err = String;

    /// Reads them between commas.
    fn from_str(text: &str) -> Result<Names, String> {
        let mut names = Vec::new();
        for text in text.split(',') {
            let name = text.parse().map_err(|why| format!("'{text}': {why}"))?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.len() > MOST {
            return Err(format!("more than {MOST} names"));
        }
        Ok(Names(names))
    }
}

impl Deref for Names {
    type Target = [Name];

    fn deref(&self) -> &[Name] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_hosts_and_addresses() {
        for (text, shown) in [
            ("openwrt", "openwrt"),
            ("OpenWrt.LAN", "openwrt.lan"),
            ("a-b.c--d.e", "a-b.c--d.e"),
            ("1.2.3.x", "1.2.3.x"),
            ("3com.com", "3com.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("*.router.lan", "*.router.lan"),
            ("192.168.1.1", "192.168.1.1"),
            ("FD00::1", "fd00::1"),
            ("[fd00:0::1]", "fd00::1"),
            ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
            ("a,b,A,1.2.3.4,1.2.3.4,fd00::1,[fd00::1]", "a b 1.2.3.4 fd00::1"),
        ] {
            let names: Names = text.parse().unwrap();
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            assert_eq!(names.join(" "), shown, "{text}");
        }
        let long = format!("{}{}", format!("{}.", "a".repeat(63)).repeat(3), "b".repeat(61));
        assert_eq!((long.len(), long.parse::<Names>().is_ok()), (253, true));
    }

    #[test]
    fn what_is_neither_is_named() {
        let long = "a".repeat(64);
        let longer = ["a"; 127].join(".") + ".b";
        let neither = "neither a host name nor an IP address";
        for (text, bad, why) in [
            ("", "", "an empty name"),
            ("a,,b", "", "an empty name"),
            ("a,", "", "an empty name"),
            ("a, b", " b", neither),
            ("a,b_c.lan,d", "b_c.lan", neither),
            ("-a", "-a", neither),
            ("a-.b", "a-.b", neither),
            ("a..b", "a..b", neither),
            ("a.", "a.", neither),
            (".a", ".a", neither),
            ("a:443", "a:443", neither),
            ("a\0b", "a\0b", neither),
            ("https://a", "https://a", neither),
            ("192.168.1.256", "192.168.1.256", neither),
            ("192.168.1", "192.168.1", neither),
            ("192.168.1.1/24", "192.168.1.1/24", neither),
            ("[192.168.1.1]", "[192.168.1.1]", neither),
            ("fd00::1%eth0", "fd00::1%eth0", neither),
            ("[fd00::1", "[fd00::1", neither),
            ("fd00:::1", "fd00:::1", neither),
            ("*", "*", neither),
            ("a.*.b", "a.*.b", neither),
            ("*a.b", "*a.b", neither),
            ("*.*.b", "*.*.b", neither),
            (&long, &long, neither),
            (&longer, &longer, neither),
            ("*.lan", "*.lan", "no client takes an asterisk for all of a top-level domain"),
            ("0.0.0.0", "0.0.0.0", "no address that anybody connects to"),
            ("[::]", "[::]", "no address that anybody connects to"),
            (
                "b\u{fc}cher",
                "b\u{fc}cher",
                "a host name takes the form of IDNA, which begins with xn--",
            ),
        ] {
            assert_eq!(text.parse::<Names>(), Err(format!("'{bad}': {why}")));
        }
        let many = |n: u8| (0..n).map(|i| format!("a{i}")).collect::<Vec<_>>().join(",");
        assert_eq!(many(32).parse::<Names>().unwrap().len(), 32);
        assert_eq!(many(33).parse::<Names>(), Err("more than 32 names".into()));
    }

    proptest! {
        #[test]
        fn addresses_are_what_they_are(address: IpAddr) {
            prop_assume!(!address.is_unspecified());
            prop_assert_eq!(address.to_string().parse(), Ok(Name::Address(address)));
        }

        #[test]
        fn nothing_but_names_gets_through(text in "\\PC{0,40}") {
            for name in text.parse::<Names>().iter().flat_map(|names| names.iter()) {
                let shown = name.to_string();
                prop_assert!(shown.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:*".contains(&b)));
                prop_assert_eq!(shown.parse(), Ok(name.clone()));
            }
        }
    }
}

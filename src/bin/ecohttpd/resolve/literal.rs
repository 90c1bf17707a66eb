//! Addresses that are numbers.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::accounts;
use crate::number::number32;
use crate::parts::{cut, parts};

/// The address that `text` is, be it one with a scope.
pub(crate) fn address(text: &[u8], port: u16) -> Option<SocketAddr> {
    if let Some(ip) = ipv4(text) {
        return Some(SocketAddr::new(ip.into(), port));
    }
    let (ip, scope) = cut(text, b'%');
    let ip = ipv6(ip)?;
    let scope = match scope {
        Some(scope) => scope_id(scope)?,
        None => 0,
    };
    Some(SocketAddrV6::new(ip, port, 0, scope).into())
}

/// The number of a network interface, by which link-local addresses are told apart.
pub(crate) fn scope_id(scope: &[u8]) -> Option<u32> {
    number32(scope).or_else(|| interface(scope))
}

fn interface(name: &[u8]) -> Option<u32> {
    if matches!(name, [] | [b'.', ..]) || name.contains(&b'/') {
        return None;
    }
    let file = Path::new("/sys/class/net").join(OsStr::from_bytes(name)).join("ifindex");
    number32(accounts::read(&file).ok()?.trim_ascii())
}

/// `1.2.3.4`, or what inet_aton(3) takes for such a one: numbers that begin with 0 or 0x, and a last
/// one that stands for several bytes.
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut address, mut room) = (0, 32);
    let mut rest = text;
    loop {
        let (part, after) = cut(rest, b'.');
        let number = any_base(part)?;
        let Some(after) = after else {
            let fits = room == 32 || number >> room == 0;
            return fits.then(|| Ipv4Addr::from(address | number));
        };
        if number > 255 || room == 8 {
            return None;
        }
        room -= 8;
        address |= number << room;
        rest = after;
    }
}

/// A number as in C.
fn any_base(text: &[u8]) -> Option<u32> {
    let (digits, base) = match text {
        [b'0', b'x' | b'X', digits @ ..] => (digits, 16),
        [b'0', _, ..] => (text, 8),
        _ => (text, 10),
    };
    in_base(digits, base)
}

fn in_base(digits: &[u8], base: u32) -> Option<u32> {
    let mut number: u32 = 0;
    for digit in digits {
        number = number.checked_mul(base)?.checked_add(char::from(*digit).to_digit(base)?)?;
    }
    (!digits.is_empty()).then_some(number)
}

/// `1:2::3`, perhaps with the last two groups in the form `1.2.3.4`.
pub(crate) fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    let mut bytes = Vec::new();
    let mut gap = None;
    let mut rest = Some(text);
    if let Some(after) = text.strip_prefix(b"::") {
        (gap, rest) = (Some(0), Some(after).filter(|after| !after.is_empty()));
    }
    while let Some(text) = rest {
        let group;
        (group, rest) = cut(text, b':');
        if rest.is_none() && group.contains(&b'.') {
            let ip = ipv4(group).filter(|_| is_plain(group))?;
            bytes.extend_from_slice(&ip.octets());
            break;
        }
        let number = in_base(group, 16).filter(|_| group.len() <= 4)?;
        bytes.extend_from_slice(&[(number >> 8) as u8, number as u8]);
        if let Some([b':', after @ ..]) = rest {
            if gap.replace(bytes.len()).is_some() {
                return None;
            }
            rest = Some(after).filter(|after| !after.is_empty());
        }
    }
    if let Some(gap) = gap {
        if bytes.len() == 16 {
            return None; // it stands for one group at least
        }
        while bytes.len() < 16 {
            bytes.insert(gap, 0);
        }
    }
    <[u8; 16]>::try_from(bytes).ok().map(Ipv6Addr::from)
}

/// Whether there are four numbers, without a 0 before them.
fn is_plain(ipv4: &[u8]) -> bool {
    parts(ipv4, b'.').count() == 4 && !parts(ipv4, b'.').any(|part| matches!(part, [b'0', _, ..]))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms_of_inet_aton_are_understood() {
        for (text, ip) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("1.2.3", "1.2.0.3"),
            ("1.2.65535", "1.2.255.255"),
            ("0x7f.1", "127.0.0.1"),
            ("010.0.0.010", "8.0.0.8"),
            ("4294967295", "255.255.255.255"),
            ("0", "0.0.0.0"),
        ] {
            assert_eq!(ipv4(text.as_bytes()), ip.parse().ok(), "{text}");
        }
        for text in [
            "",
            ".",
            "1.",
            ".1",
            "1..2",
            "256.1",
            "1.2.3.256",
            "1.2.65536",
            "1.16777216",
            "08",
            "4294967296",
            "0x",
            "1.2.3.4.5",
            "+1",
            "1.2.3.4 ",
            "localhost",
            "0xg",
        ] {
            assert_eq!(ipv4(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn addresses_have_scopes() {
        let at = address(b"fe80::1%7", 80).unwrap();
        assert_eq!(at.to_string(), "[fe80::1%7]:80");
        let lo = interface(b"lo").unwrap();
        assert_eq!(address(b"fe80::1%lo", 80), address(format!("fe80::1%{lo}").as_bytes(), 80));
        for text in [
            "fe80::1%",
            "fe80::1%nosuch0",
            "fe80::1%../net/lo",
            "127.0.0.1%lo",
            "%lo",
            "::1%4294967296",
        ] {
            assert_eq!(address(text.as_bytes(), 80), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn addresses_are_those_of_std(
            text in "[0-9a-fA-F:.]{0,12}|([0-9a-f]{0,5}:{1,2}){0,9}([0-9]{1,3}[.]){0,4}[0-9]{0,3}",
            four: Ipv4Addr,
            six: Ipv6Addr,
            gap in 0..8_usize,
            wide in 0..8_usize,
        ) {
            let mut groups = six.segments();
            groups.iter_mut().skip(gap).take(wide).for_each(|group| *group = 0);
            let gapped = Ipv6Addr::from(groups).to_string();
            let six = six.to_string();
            let mapped = format!("::ffff:{four}");
            for text in [text, six, gapped, mapped, format!("1:2::{four}"), four.to_string()] {
                prop_assert_eq!(ipv6(text.as_bytes()), text.parse().ok(), "{}", text);
                if let Ok(ip) = text.parse::<IpAddr>() {
                    let at = address(text.as_bytes(), 7);
                    prop_assert_eq!(at, Some(SocketAddr::new(ip, 7)), "{}", text);
                }
            }
        }
    }
}

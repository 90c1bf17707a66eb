//! Which content coding a client prefers (RFC 9110, 12.5.3).

use super::field;

/// A content coding we can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

impl Coding {
    /// All of them, what compresses best first.
    pub(crate) const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

    /// The set of all of them.
    pub(crate) const SET: Codings = 0b111;

    /// The set of it alone.
    pub(crate) fn bit(self) -> Codings {
        1 << self as u8
    }

    /// Its name in Content-Encoding.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
        }
    }

    /// The suffix of a file that holds it.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Coding::Brotli => ".br",
            Coding::Zstd => ".zst",
            Coding::Gzip => ".gz",
        }
    }
}

/// A set of codings, a bit for each.
pub(crate) type Codings = u8;

/// What an Accept-Encoding field says; weights are in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepted {
    weights: [Option<u16>; 3],
    identity: Option<u16>,
    any: Option<u16>,
}

impl Accepted {
    /// Adds a field line.
    pub(crate) fn add(&mut self, value: &str) {
        for member in field::list(value) {
            let mut words = member.split(';');
            let name = words.next().unwrap_or("").trim_ascii();
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            let place = match () {
                () if is("br") => &mut self.weights[0],
                () if is("zstd") => &mut self.weights[1],
                () if is("gzip") || is("x-gzip") => &mut self.weights[2],
                () if is("identity") => &mut self.identity,
                () if is("*") => &mut self.any,
                () => continue,
            };
            // Something we do not understand about it is no reason to send it.
            *place = Some(words.try_fold(1000, |_, word| weight(word)).unwrap_or(0));
        }
    }

    /// The weight of a coding, 0 where it is not wanted.
    pub(crate) fn weight(&self, coding: Coding) -> u16 {
        let own = self.weights.get(coding as usize).copied().flatten();
        own.or(self.any).unwrap_or(0)
    }

    /// Whether `coding` is wanted, and not less than no coding at all.
    pub(crate) fn prefers(&self, coding: Coding) -> bool {
        let weight = self.weight(coding);
        weight > 0 && weight >= self.identity.unwrap_or(0)
    }

    /// The codings that are wanted, in no order.
    pub(crate) fn set(&self) -> Codings {
        let mut set = 0;
        for coding in Coding::ALL {
            if self.prefers(coding) {
                set |= coding.bit();
            }
        }
        set
    }

    /// The codings that are wanted, the most wanted first.
    pub(crate) fn preferred(&self) -> impl Iterator<Item = Coding> {
        let [mut first, mut second, mut third] = Coding::ALL;
        let sort = |a: &mut Coding, b: &mut Coding| {
            if self.weight(*a) < self.weight(*b) {
                std::mem::swap(a, b);
            }
        };
        // Neighbours only, so that those of one weight stay in their order.
        sort(&mut first, &mut second);
        sort(&mut second, &mut third);
        sort(&mut first, &mut second);
        let wanted = self.set();
        [first, second, third].into_iter().filter(move |coding| wanted & coding.bit() != 0)
    }
}

/// `q=0.5`, in thousandths.
fn weight(word: &str) -> Option<u16> {
    let (name, value) = word.split_once('=')?;
    if !name.trim_ascii().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, part) = value.trim_ascii().split_once('.').unwrap_or((value.trim_ascii(), ""));
    if part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = part.bytes().zip([100, 10, 1]);
    let part = digits.map(|(digit, place)| u16::from(digit - b'0') * place).sum();
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_is_of_all() {
        let all = Accepted { any: Some(1000), ..Accepted::default() };
        assert_eq!(all.set(), Coding::SET);
        assert_eq!(Coding::ALL.map(Coding::bit).iter().sum::<Codings>(), Coding::SET);
    }

    fn order(lines: &[&str]) -> String {
        let mut accepted = Accepted::default();
        lines.iter().for_each(|line| accepted.add(line));
        accepted.preferred().map(Coding::name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn weights_decide() {
        for (value, expected) in [
            ("", ""),
            ("identity", ""),
            ("gzip", "gzip"),
            ("GZIP", "gzip"),
            (" \tgzip\t ;\tq=1 ", "gzip"),
            ("gzip\u{a0}", ""),
            ("x-gzip", "gzip"),
            ("gzip;q=0", ""),
            ("gzip;q=0.000", ""),
            ("gzip;q=0.001", "gzip"),
            ("gzip ; q=1", "gzip"),
            ("br, gzip;q=0.5", "br gzip"),
            ("gzip, br;q=0.5", "gzip br"),
            ("deflate, gzip, br, zstd", "br zstd gzip"),
            ("*", "br zstd gzip"),
            ("gzip;q=0, *", "br zstd"),
            ("*;q=0, identity", ""),
            ("gzip;q=0.5, identity", ""),
            ("gzip;q=0.5, identity;q=0.5", "gzip"),
            ("br;x=gzip", ""),
            ("gzip;q=2", ""),
            ("gzip;q=1.5", ""),
            ("gzip;q=0.1234", ""),
            ("gzip;q=", ""),
            ("x-gzipx", ""),
        ] {
            assert_eq!(order(&[value]), expected, "{value}");
        }
        assert_eq!(order(&["br;q=0.1", "gzip"]), "gzip br");
    }
}

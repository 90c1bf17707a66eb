//! The options: what each is called, and what it sets.

use std::path::PathBuf;

use super::given::Given;
use super::{Args, Reading, special};
use crate::report::Said;
use Takes::{Handler, Path, Print, Seconds, Several, Special, Switch, Ubus, UbusSwitch};

/// An option: its letter, its long name, and what it takes.
pub(super) struct Opt(u8, &'static str, Takes);

/// The letter of those that have only a long name.
const NONE: u8 = 0;

/// What an option takes, and where that goes.
pub(super) enum Takes {
    /// Nothing.
    Switch(fn(&mut Args) -> &mut bool),
    Path(fn(&mut Args) -> &mut Option<PathBuf>),
    Seconds(fn(&mut Args) -> &mut u32),
    /// A number that is not 0.
    Several(fn(&mut Args) -> &mut usize),
    /// A value that is followed in its own way.
    Special(fn(&mut Reading, &mut Given<'_>) -> Result<(), Said>),
    /// A text, which is to be printed in another form, and nothing else done.
    Print(fn(&mut Given<'_>) -> Result<String, Said>),
    /// What handles scripts, which is done in another way here.
    Handler,
    /// A text that is for /ubus, which is not here.
    Ubus,
    /// Nothing, but for /ubus as well.
    UbusSwitch,
    /// Nothing, and takes another build.
    #[cfg(not(feature = "gzip"))]
    Gzip,
}

static OPTIONS: [Opt; 49] = [
    Opt(b'p', "listen-http", Special(special::listen_http)),
    Opt(b's', "listen-https", Special(special::listen_https)),
    Opt(b'C', "cert", Path(|args| &mut args.cert)),
    Opt(b'K', "key", Path(|args| &mut args.key)),
    Opt(b'P', "ciphers", Special(special::ciphers)),
    Opt(b'q', "redirect-https", Switch(|args| &mut args.redirect_https)),
    Opt(NONE, "redirect-status", Special(special::redirect_status)),
    Opt(b'Q', "redirect-host", Special(special::redirect_host)),
    Opt(b'A', "tcp-keepalive", Special(special::tcp_keepalive)),
    Opt(b'h', "home", Special(special::home)),
    Opt(b'I', "index-page", Special(special::index_page)),
    Opt(b'E', "error-page", Special(special::error_page)),
    Opt(b'S', "no-symlinks", Switch(|args| &mut args.no_symlinks)),
    Opt(b'D', "no-dirlists", Switch(|args| &mut args.no_dirlists)),
    Opt(b'b', "charset", Special(special::charset)),
    Opt(b'H', "json-script", Special(special::json_script)),
    Opt(b'z', "header", Special(special::header)),
    #[cfg(feature = "gzip")]
    Opt(NONE, "gzip", Switch(|args| &mut args.gzip)),
    #[cfg(not(feature = "gzip"))]
    Opt(NONE, "gzip", Takes::Gzip),
    Opt(b'x', "cgi-prefix", Special(special::cgi_prefix)),
    Opt(b'i', "interpreter", Special(special::interpreter)),
    Opt(b'y', "alias", Special(special::alias)),
    Opt(b't', "script-timeout", Seconds(|args| &mut args.script_timeout)),
    Opt(b'n', "max-requests", Several(|args| &mut args.max_requests)),
    Opt(NONE, "spool-limit", Special(special::spool_limit)),
    Opt(NONE, "file-cache", Special(special::file_cache)),
    Opt(b'c', "config", Path(|args| &mut args.config)),
    Opt(b'r', "realm", Special(special::realm)),
    Opt(b'R', "rfc1918-filter", Switch(|args| &mut args.rfc1918_filter)),
    Opt(b'N', "max-connections", Several(|args| &mut args.max_connections)),
    Opt(b'T', "network-timeout", Special(special::network_timeout)),
    Opt(b'k', "http-keepalive", Seconds(|args| &mut args.http_keepalive)),
    Opt(b'Z', "user", Special(special::user)),
    Opt(b'f', "foreground", Switch(|args| &mut args.foreground)),
    Opt(NONE, "access-log", Special(special::access_log)),
    Opt(NONE, "log-format", Special(special::log_format)),
    Opt(NONE, "options", Special(special::options)),
    Opt(NONE, "check", Switch(|args| &mut args.check)),
    Opt(b'd', "url-decode", Print(special::decoded)),
    Opt(b'm', "md5", Print(special::md5)),
    Opt(b'l', "lua-prefix", Handler),
    Opt(b'L', "lua-handler", Handler),
    Opt(b'o', "ucode-prefix", Handler),
    Opt(b'O', "ucode-handler", Handler),
    Opt(b'u', "ubus-prefix", Ubus),
    Opt(b'U', "ubus-socket", Ubus),
    Opt(b'e', "events-retry", Ubus),
    Opt(b'a', "no-ubusauth", UbusSwitch),
    Opt(b'X', "ubus-cors", UbusSwitch),
    Opt(b'Y', "", Special(special::proxy)),
];

/// The option that messages name so: `-p`, `--listen-http`.
pub(super) fn named(name: &str) -> Option<&'static Opt> {
    let is_it = |Opt(letter, long, _): &&Opt| match name.strip_prefix("--") {
        Some(name) => name == *long && !name.is_empty(),
        None => name.as_bytes() == [b'-', *letter],
    };
    OPTIONS.iter().find(is_it)
}

impl Opt {
    /// Whether what follows is its value.
    pub(super) fn takes_value(&self) -> bool {
        match self.2 {
            Switch(_) | UbusSwitch => false,
            #[cfg(not(feature = "gzip"))]
            Takes::Gzip => false,
            _ => true,
        }
    }
}

impl Reading {
    /// Follows one option, if there is such a one. What it returns is to be printed, and nothing else
    /// done.
    pub(super) fn follow(
        &mut self,
        option: Option<&Opt>,
        value: &mut Given<'_>,
    ) -> Result<Option<String>, Said> {
        let args = &mut self.args;
        let Some(Opt(_, _, takes)) = option else {
            return Err(value.wrong("there is no such option"));
        };
        match takes {
            Switch(place) => *place(args) = true,
            Path(place) => *place(args) = Some(value.path()?),
            Seconds(place) => *place(args) = value.seconds()?,
            Several(place) => *place(args) = value.at_least_one()?,
            Special(follow) => follow(self, value)?,
            Print(print) => return print(value).map(Some),
            Handler => {
                value.text()?;
                self.seen.handlers.push(value.shown.clone());
            }
            Ubus => {
                value.text()?;
                no_ubus(value);
            }
            UbusSwitch => no_ubus(value),
            #[cfg(not(feature = "gzip"))]
            Takes::Gzip => return Err(value.wrong("it takes a build with the feature gzip")),
        }
        Ok(None)
    }
}

fn no_ubus(value: &mut Given<'_>) {
    let why = "this build has no /ubus; LuCI goes by way of its CGI script instead";
    value.report.note(format!("{}: {why}", value.shown));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::HELP;

    #[test]
    fn help_names_every_option() {
        let named = |name: &str| {
            let shown = |end: &str| HELP.contains(&format!(" {name}{end}"));
            assert!(shown(" ") || shown(",") || shown("\n"), "{name}");
        };
        for Opt(letter, long, _) in &OPTIONS {
            if !long.is_empty() {
                named(&format!("--{long}"));
                if *letter != NONE {
                    named(&format!("-{}", char::from(*letter)));
                }
            }
        }
        assert!(HELP.lines().all(|line| line.len() <= 80));
    }

    #[test]
    fn every_option_has_names_of_its_own() {
        for option in &OPTIONS {
            let Opt(letter, long, _) = option;
            if *letter != NONE {
                let found = named(&format!("-{}", char::from(*letter))).unwrap();
                assert!(std::ptr::eq(found, option), "{letter}");
            }
            if !long.is_empty() {
                assert!(std::ptr::eq(named(&format!("--{long}")).unwrap(), option), "{long}");
            }
        }
        for name in ["", "-", "--", "---p", "-listen-http", "--p", "p", "-pp", "-é", "--listen"] {
            assert!(named(name).is_none(), "{name}");
        }
    }
}

//! The launcher: uhttpd's command line over the public API of the library.

#![cfg_attr(not(test), no_main)]

mod access;
mod accounts;
mod address;
mod append;
mod args;
mod auth;
mod basic;
mod bound;
mod certificate;
mod cgi;
mod conf;
#[path = "../../failure.rs"]
mod failure;
mod filter;
mod json;
mod line;
mod listing;
mod log;
mod number;
mod open;
mod parts;
mod redirect;
mod regex;
mod reload;
mod report;
mod resolve;
mod rules;
mod run;
#[cfg(feature = "tls")]
mod self_signed;
mod serve;
mod sink;
mod site;
mod slots;
mod sys;
mod text;
mod turn;
mod unix;
mod url;
mod user;

use std::ffi::OsString;

use rustix::io::retry_on_intr;

use crate::args::{Action, CommandLine};
use crate::log::Log;
use crate::report::{Report, Said};
use crate::site::Site;

#[cfg(feature = "tlsf")]
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();

/// The exit code of what has been done.
const SUCCESS: u8 = 0;

/// That of what could not be done.
const FAILURE: u8 = 1;

/// That of what cannot be followed.
const USAGE: u8 = 2;

/// Follows the words behind its name that it was started with; the exit code.
fn begin(words: Vec<OsString>) -> u8 {
    let log = Log::stderr();
    let mut report = Report::default();
    let line = CommandLine::new(words);
    let args = match line.parse(&mut report) {
        Action::Serve(args) => args,
        Action::Print(text) => return print(&text),
        #[cfg(feature = "tls")]
        Action::SelfSigned => return self_signed::run(&line.words, &log),
        #[cfg(not(feature = "tls"))]
        Action::SelfSigned => {
            log.line("--self-signed: it takes a build with the feature tls");
            return USAGE;
        }
    };
    let site = Site::load(&args, &mut report);
    // Without plain HTTP there is nothing to serve without it.
    if args.check || args.http.is_empty() {
        certificate::check(&args, &mut report);
    }
    report.say(&log);
    if !report.mistakes.is_empty() {
        log.line("Try 'ecohttpd --help'.");
        return USAGE;
    }
    if args.check {
        return SUCCESS;
    }
    match run::run(line, args, site, log) {
        Ok(()) => SUCCESS,
        Err(Said) => FAILURE,
    }
}

fn print(text: &str) -> u8 {
    let mut left = text.as_bytes();
    while !left.is_empty() {
        match retry_on_intr(|| rustix::io::write(rustix::stdio::stdout(), left)) {
            Ok(n) => left = left.get(n..).unwrap_or_default(),
            Err(_) => return FAILURE,
        }
    }
    SUCCESS
}

//! The launcher: uhttpd's command line over the public API of the library.

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
mod filter;
mod json;
mod listing;
mod log;
mod redirect;
mod regex;
mod reload;
mod report;
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
mod url;
mod user;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::args::{Action, CommandLine};
use crate::log::Log;
use crate::report::Report;
use crate::site::Site;

/// The exit code for what cannot be followed.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    sys::say_where_it_dies();
    let log = Log::stderr();
    let mut report = Report::default();
    let line = CommandLine::new(env::args_os().skip(1));
    let args = match line.parse(&mut report) {
        Action::Serve(args) => args,
        Action::Print(text) => return print(&text),
        #[cfg(feature = "tls")]
        Action::SelfSigned => return self_signed::run(env::args_os().skip(1), &log),
        #[cfg(not(feature = "tls"))]
        Action::SelfSigned => {
            log.line("--self-signed: it takes a build with the feature tls");
            return USAGE.into();
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
        return USAGE.into();
    }
    if args.check {
        return ExitCode::SUCCESS;
    }
    match run::run(line, *args, site, log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(run::Said) => ExitCode::FAILURE,
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

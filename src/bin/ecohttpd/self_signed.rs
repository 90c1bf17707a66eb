//! `--self-signed`: a certificate for a router that nobody else signs one for.

mod der;
mod names;
mod pair;
mod x509;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use lexopt::prelude::*;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

use crate::log::Log;
use crate::report::Report;
use names::{Name, Names};
use pair::{Pair, Place};
use x509::{Certificate, Validity};

/// Browsers take no certificate that is valid for longer than 398 days, and advise one less.
const MOST_DAYS: u32 = 397;

/// What is to be made.
#[derive(Debug)]
struct Order {
    names: Names,
    cert: Place,
    key: Place,
    days: u32,
}

/// Follows a command line that has `--self-signed` in it.
pub(crate) fn run(words: impl IntoIterator<Item = OsString>, log: &Log) -> ExitCode {
    let mut report = Report::default();
    let Some(order) = parse(words, &mut report) else {
        report.mistakes.iter().for_each(|line| log.line(line));
        log.line("Try 'ecohttpd --help'.");
        return crate::USAGE.into();
    };
    match make(&order) {
        Ok(said) => crate::print(&said),
        Err(e) => {
            log.line(&e.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Nothing if there is a mistake, which stands in the report.
fn parse(words: impl IntoIterator<Item = OsString>, report: &mut Report) -> Option<Order> {
    let mut parser = lexopt::Parser::from_args(words);
    let (mut names, mut cert, mut key, mut days) = (None, None, None, MOST_DAYS);
    loop {
        let name = match parser.next() {
            Ok(None) => break,
            Ok(Some(Short(letter))) => format!("-{letter}"),
            Ok(Some(Long(name))) => format!("--{name}"),
            Ok(Some(Value(value))) => {
                report.mistake(format!("{}: it belongs to no option", value.to_string_lossy()));
                continue;
            }
            Err(e) => {
                report.mistake(e.to_string());
                continue;
            }
        };
        if !matches!(&*name, "--self-signed" | "-C" | "--cert" | "-K" | "--key" | "--days") {
            report.mistake(format!("{name}: it does not go with --self-signed"));
            break; // nobody knows whether a value follows
        }
        let Ok(value) = parser.value() else {
            report.mistake(format!("{name}: its value is missing"));
            continue;
        };
        let shown = value.to_string_lossy();
        let followed = match &*name {
            "--self-signed" => shown.parse().map(|those| names = Some(those)),
            "--days" => number(&shown).map(|number| days = number),
            "-C" | "--cert" => Place::of(&PathBuf::from(&value)).map(|at| cert = Some(at)),
            _ => Place::of(&PathBuf::from(&value)).map(|at| key = Some(at)),
        };
        if let Err(why) = followed {
            report.mistake(format!("{name} {shown}: {why}"));
        }
    }
    // What is wrong is not missing.
    if report.mistakes.is_empty() {
        for (flag, given) in [("-C", &cert), ("-K", &key)] {
            match given {
                None => report.mistake(format!("{flag} is missing: --self-signed writes it")),
                Some(at) if flag == "-K" && cert.as_ref() == Some(at) => {
                    report.mistake(format!("-K {at}: the certificate goes there"));
                }
                Some(_) => {}
            }
        }
    }
    let (Some(names), Some(cert), Some(key), true) = (names, cert, key, report.mistakes.is_empty())
    else {
        return None;
    };
    Some(Order { names, cert, key, days })
}

fn number(text: &str) -> Result<u32, String> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(days @ 1..=MOST_DAYS) if digits => Ok(days),
        _ => Err(format!("no number from 1 to {MOST_DAYS}, which is the most that browsers take")),
    }
}

/// Makes it, and says what it is.
fn make(order: &Order) -> io::Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let validity = Validity::of(now.map_or(0, |now| now.as_secs()), order.days);
    let failed = |_| io::Error::other("no randomness from the system");
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let private = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(failed)?;
    let signer = EcdsaKeyPair::from_pkcs8(algorithm, private.as_ref(), &random);
    let signer = signer.map_err(|e| io::Error::other(e.to_string()))?;
    let mut serial = [0; x509::SERIAL];
    random.fill(&mut serial).map_err(failed)?;
    let public = signer.public_key().as_ref();
    let certificate = Certificate { serial, names: &order.names, validity, public };
    let signed =
        certificate.signed(|tbs| Ok(signer.sign(&random, tbs).map_err(failed)?.as_ref().into()));
    let pair = Pair {
        cert: (&order.cert, der::pem("CERTIFICATE", &signed?)),
        key: (&order.key, der::pem("PRIVATE KEY", private.as_ref())),
    };
    pair.write()?;
    let names: Vec<_> = order.names.iter().map(Name::to_string).collect();
    Ok(format!("{}: for {}, until {}\n", order.cert, names.join(", "), validity.last_day()))
}

//! `--self-signed`: a certificate for a router that nobody else signs one for.

mod der;
mod names;
mod pair;
mod x509;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

use crate::FAILURE;
use crate::args::{Word, Words};
use crate::failure::failure;
use crate::log::Log;
use crate::report::Report;
use names::Names;
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
pub(crate) fn run(words: &[OsString], log: &Log) -> u8 {
    let mut report = Report::default();
    let Some(order) = parse(words, &mut report) else {
        report.mistakes.iter().for_each(|line| log.line(line));
        log.line("Try 'ecohttpd --help'.");
        return crate::USAGE;
    };
    match make(&order) {
        Ok(said) => crate::print(&said),
        Err(e) => {
            log.line(&e.to_string());
            FAILURE
        }
    }
}

/// Nothing if there is a mistake, which stands in the report.
fn parse(words: &[OsString], report: &mut Report) -> Option<Order> {
    let mut words = Words::new(words);
    let (mut names, mut cert, mut key, mut days) = (None, None, None, MOST_DAYS);
    while let Some(word) = words.next() {
        let name = match word {
            Word::Option(name) => name,
            Word::Stray(value) => {
                wrong(report, &value.to_string_lossy(), "it belongs to no option");
                continue;
            }
            Word::Mistake(why) => {
                wrong(report, "the command line", &why);
                continue;
            }
        };
        if !matches!(&*name, "--self-signed" | "-C" | "--cert" | "-K" | "--key" | "--days") {
            wrong(report, &name, "it does not go with --self-signed");
            return None; // nobody knows whether a value follows
        }
        let Some(value) = words.value() else {
            wrong(report, &name, "its value is missing");
            continue;
        };
        let shown = value.to_string_lossy();
        let followed = match &*name {
            "--self-signed" => shown.parse().map(|those| names = Some(those)),
            "--days" => number(&shown).map(|number| days = number),
            _ => Place::of(Path::new(value)).map(|at| {
                let is_cert = matches!(&*name, "-C" | "--cert");
                *(if is_cert { &mut cert } else { &mut key }) = Some(at);
            }),
        };
        if let Err(why) = followed {
            wrong(report, &format!("{name} {shown}"), &why);
        }
    }
    // What is wrong is not missing.
    if report.mistakes.is_empty() {
        for (what, missing) in [("-C", cert.is_none()), ("-K", key.is_none())] {
            if missing {
                wrong(report, what, "it is missing: --self-signed writes that file");
            }
        }
    }
    let (Some(names), Some(cert), Some(key), []) = (names, cert, key, &*report.mistakes) else {
        return None;
    };
    if cert == key {
        wrong(report, &format!("-K {key}"), "the certificate goes there");
        return None;
    }
    Some(Order { names, cert, key, days })
}

fn wrong(report: &mut Report, what: &str, why: &str) {
    report.mistake(format!("{what}: {why}"));
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
    let Some((cert, key)) = sign(&order.names, validity) else {
        return Err(failure(
            io::ErrorKind::Other,
            "no key could be made: the system has no random numbers",
        ));
    };
    Pair { cert: (&order.cert, cert), key: (&order.key, key) }.write()?;
    let mut said = format!("{}: for ", order.cert);
    for name in order.names.iter() {
        said += &format!("{name}, ");
    }
    Ok(said + &format!("until {}\n", validity.last_day()))
}

/// A new key and its certificate, the certificate first.
fn sign(names: &Names, validity: Validity) -> Option<(String, String)> {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let private = EcdsaKeyPair::generate_pkcs8(algorithm, &random).ok()?;
    let signer = EcdsaKeyPair::from_pkcs8(algorithm, private.as_ref(), &random).ok()?;
    let mut serial = [0; x509::SERIAL];
    random.fill(&mut serial).ok()?;
    let certificate = Certificate { serial, names, validity, public: signer.public_key().as_ref() };
    let signed = certificate.signed(|tbs| signer.sign(&random, tbs).ok())?;
    Some((der::pem("CERTIFICATE", signed.bytes()), der::pem("PRIVATE KEY", private.as_ref())))
}

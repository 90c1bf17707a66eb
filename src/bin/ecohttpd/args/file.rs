//! More options, from a file with one in each line.

use std::path::Path;

use super::Reading;
use super::option::{Given, Source};
use crate::accounts;

/// Whoever has more mistakes has given the wrong file.
const MOST_MISTAKES: usize = 100;

/// What makes no sense there.
const NOT_HERE: [&str; 7] =
    ["options", "check", "help", "version", "foreground", "url-decode", "md5"];

/// Follows the options in the file at `path`, in the place of the one that names it.
pub(super) fn follow(reading: &mut Reading<'_>, path: &Path) -> Result<(), String> {
    let text = accounts::read_options(path).map_err(|e| {
        reading.seen.http = true; // as far as anybody knows
        e.to_string()
    })?;
    // FNV-1a
    reading.args.options_sum = text
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, b| (sum ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    let before = reading.report.mistakes.len();
    for (line, at) in text.split(|&b| b == b'\n').zip(1_u32..) {
        let line = line.trim_ascii();
        if matches!(line.first(), None | Some(b'#')) {
            continue;
        }
        let place = format!("{}:{at}", path.display());
        if reading.report.mistakes.len() - before >= MOST_MISTAKES {
            let why = format!("{place}: the lines from here on were not looked at");
            reading.report.mistake(why);
            break;
        }
        let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let (name, value) = line.split_at_checked(end).unwrap_or((line, &[]));
        let name = String::from_utf8_lossy(name);
        let value = Some(value.trim_ascii_start()).filter(|value| !value.is_empty());
        let mut value = Given::new(format!("{place}: {name}"), Source::File(value), reading.dir);
        if let Err(why) = one(reading, &name.replace('_', "-"), &mut value) {
            reading.report.mistake(format!("{}: {why}", value.shown()));
        }
    }
    Ok(())
}

fn one(reading: &mut Reading<'_>, name: &str, value: &mut Given<'_>) -> Result<(), String> {
    if NOT_HERE.contains(&name) {
        return Err("it is for the command line only".into());
    }
    reading.follow(&format!("--{name}"), value)?;
    match value.source {
        Source::File(Some(_)) => Err("it takes no value".into()),
        _ => Ok(()),
    }
}

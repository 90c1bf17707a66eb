//! More options, from a file with one in each line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::given::Given;
use super::{Reading, option};
use crate::accounts;
use crate::parts::parts;
use crate::report::Said;

/// Whoever has more mistakes has given the wrong file.
const MOST_MISTAKES: usize = 100;

/// What makes no sense there.
const NOT_HERE: [&str; 7] =
    ["options", "check", "help", "version", "foreground", "url-decode", "md5"];

/// Follows the options in the file at `path`, in the place of `named`, the one that names it.
pub(super) fn follow(
    reading: &mut Reading,
    path: &Path,
    named: &mut Given<'_>,
) -> Result<(), Said> {
    let text = accounts::read_options(path).map_err(|e| {
        reading.seen.http = true; // as far as anybody knows
        named.failed(&e)
    })?;
    // FNV-1a
    reading.args.options_sum = text
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, b| (sum ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    let before = named.report.mistakes.len();
    for (line, at) in parts(&text, b'\n').zip(1_u32..) {
        let line = line.trim_ascii();
        if matches!(line.first(), None | Some(b'#')) {
            continue;
        }
        let place = format!("{}:{at}", path.display());
        if named.report.mistakes.len() - before >= MOST_MISTAKES {
            let why = format!("{place}: the lines from here on were not looked at");
            named.report.mistake(why);
            break;
        }
        let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let (name, value) = line.split_at_checked(end).unwrap_or((line, &[]));
        let name = String::from_utf8_lossy(name);
        let value = Some(value.trim_ascii_start()).filter(|value| !value.is_empty());
        let mut given = Given {
            shown: format!("{place}: {name}"),
            value: value.map(OsStr::from_bytes),
            dir: named.dir,
            report: &mut *named.report,
        };
        // What is wrong with it has been reported.
        let _ = one(reading, &name.replace('_', "-"), &mut given);
    }
    Ok(())
}

fn one(reading: &mut Reading, name: &str, given: &mut Given<'_>) -> Result<(), Said> {
    if NOT_HERE.contains(&name) {
        return Err(given.wrong("it is for the command line only"));
    }
    let option = option::named(&format!("--{name}"));
    reading.follow(option, given)?;
    match given.value.is_some() && !option.is_some_and(|option| option.takes_value()) {
        true => Err(given.wrong("it takes no value")),
        false => Ok(()),
    }
}

//! The options whose values are followed in a way of their own.

use super::given::Given;
use super::{Reading, file};
use crate::access::{Destination, Format};
use crate::report::Said;
use crate::site::check_interpreter;
use crate::url;
use crate::user::User;

type Done = Result<(), Said>;

pub(super) fn listen_http(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    reading.seen.http = true;
    reading.args.http.extend(value.addresses()?);
    Ok(())
}

pub(super) fn listen_https(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    reading.seen.https = true;
    reading.args.https.extend(value.addresses()?);
    Ok(())
}

pub(super) fn ciphers(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    let list = value.text()?;
    #[cfg(feature = "tls")]
    ecohttpd::Tls::check_ciphers(list).map_err(|e| value.failed(&e))?;
    reading.args.ciphers = Some(list.to_owned());
    Ok(())
}

pub(super) fn redirect_status(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    match value.number(u16::MAX.into())? {
        code @ (301 | 302 | 307 | 308) => reading.args.redirect_status = code as u16,
        _ => return Err(value.wrong("it is none of 301, 302, 307 and 308")),
    }
    Ok(())
}

pub(super) fn redirect_host(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    let (host, url) = value.pair()?;
    let plain = |text: &str| text.bytes().all(|b| matches!(b, b'!'..=b'~'));
    if host.is_empty() || !plain(value.text()?) {
        return Err(value.wrong("the host is missing, or what follows is no URL"));
    }
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(value.wrong("the URL does not begin with https:// or http://"));
    }
    reading.args.redirect_hosts.push((host.to_owned(), url.to_owned()));
    Ok(())
}

pub(super) fn tcp_keepalive(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    match value.seconds()? {
        secs @ 0..=32767 => reading.args.tcp_keepalive = secs,
        _ => return Err(value.wrong("the system takes at most 32767")),
    }
    Ok(())
}

pub(super) fn home(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    let home = value.path()?.canonicalize().map_err(|e| value.failed(&e))?;
    let is_dir = home.is_dir();
    reading.args.home = home;
    if is_dir { Ok(()) } else { Err(value.wrong("not a directory")) }
}

pub(super) fn index_page(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    let index = value.text()?;
    if index.ends_with('/') || url::check_path(&["/", index].concat()).is_err() {
        return Err(value.wrong("not the name of a file in every directory"));
    }
    reading.args.index.push(index.to_owned());
    Ok(())
}

pub(super) fn error_page(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    let page = value.text()?;
    value.check(url::check_target(page))?;
    reading.args.error_page = Some(page.to_owned());
    Ok(())
}

pub(super) fn charset(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    let charset = value.text()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:+".contains(&b);
    if charset.is_empty() || !charset.bytes().all(plain) {
        return Err(value.wrong("not the name of a charset"));
    }
    reading.args.charset = charset.to_owned();
    Ok(())
}

pub(super) fn json_script(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    reading.args.json_scripts.push(value.path()?);
    Ok(())
}

/// `Name: value`
pub(super) fn header(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    let found = value.text()?.split_once(':');
    let (name, text) = found.ok_or_else(|| value.wrong("it has no colon"))?;
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(value.wrong("the name before the colon is not one of a header"));
    }
    if ["content-length", "transfer-encoding", "connection", "keep-alive", "upgrade"]
        .iter()
        .any(|framing| name.eq_ignore_ascii_case(framing))
    {
        return Err(value.wrong("how messages are framed is for the server to say"));
    }
    if name.eq_ignore_ascii_case("date") {
        return Err(value.wrong("the server knows the date"));
    }
    reading.args.headers.push((name.to_owned(), text.trim().to_owned()));
    Ok(())
}

pub(super) fn cgi_prefix(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    reading.args.cgi_prefix = trimmed(value.url_path()?);
    Ok(())
}

/// `.ext=/path/to/interpreter`
pub(super) fn interpreter(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    let (extension, path) = value.pair()?;
    if extension.len() < 2 || !extension.starts_with('.') || extension.contains('/') {
        return Err(value.wrong("the extension does not begin with a dot"));
    }
    let path = value.absolute(path.as_ref())?;
    check_interpreter(&path).map_err(|why| value.wrong(&why))?;
    reading.args.interpreters.push((extension.to_owned(), path));
    Ok(())
}

/// `/path=/to`, or a path for the prefix of scripts alone.
pub(super) fn alias(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    let text = value.text()?;
    let (alias, to) = match text.split_once('=') {
        Some((alias, to)) => (alias, Some(to)),
        None => (text, None),
    };
    value.check(url::check_path(alias))?;
    value.check(to.map_or(Ok(()), url::check_path))?;
    // The last one that fits counts, as in uhttpd.
    reading.args.aliases.insert(0, (trimmed(alias), to.map(trimmed)));
    Ok(())
}

fn trimmed(mut path: &str) -> String {
    while let Some(shorter) = path.strip_suffix('/') {
        path = shorter;
    }
    path.to_owned()
}

pub(super) fn spool_limit(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    reading.args.spool_limit = value.number(u64::MAX)?;
    Ok(())
}

pub(super) fn file_cache(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    reading.args.file_cache = value.count()?;
    Ok(())
}

pub(super) fn realm(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    reading.args.realm = value.text()?.to_owned();
    Ok(())
}

pub(super) fn network_timeout(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    let secs = value.at_least_one()?.try_into();
    reading.args.network_timeout = secs.map_err(|_| value.wrong("too large a number"))?;
    Ok(())
}

pub(super) fn user(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    let user = User::named(value.text()?).map_err(|why| value.wrong(&why))?;
    reading.args.user = Some(user);
    Ok(())
}

pub(super) fn access_log(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    reading.args.access_log = Some(match Destination::parse(value.os()?) {
        Destination::File(path) => Destination::File(value.absolute(&path)?),
        other => other,
    });
    Ok(())
}

pub(super) fn log_format(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    let format = Format::parse(value.text()?);
    let wrong = || value.wrong("it is neither common nor combined");
    reading.args.log_format = format.ok_or_else(wrong)?;
    Ok(())
}

pub(super) fn options(reading: &mut Reading, value: &mut Given<'_>) -> Done {
    let path = value.path()?;
    if reading.args.options.is_some() {
        return Err(value.wrong("there is one such file only"));
    }
    reading.args.options = Some(path.clone());
    file::follow(reading, &path, value)
}

/// What later versions of uhttpd have, in a way that is not known yet.
pub(super) fn proxy(_: &mut Reading, value: &mut Given<'_>) -> Done {
    Err(value.wrong("it is kept for the proxy of later versions of uhttpd"))
}

/// A password's hash.
pub(super) fn md5(value: &mut Given<'_>) -> Result<String, Said> {
    let hash = crate::auth::hash_md5(value.text()?);
    Ok(hash.ok_or_else(|| value.wrong("this system has no MD5"))? + "\n")
}

/// Percent-decoded, a plus being a space, as `uhttpd -d` does it for scripts.
pub(super) fn decoded(value: &mut Given<'_>) -> Result<String, Said> {
    let mut bytes = value.os()?.as_encoded_bytes().iter().copied();
    let mut out = Vec::new();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'+' => b' ',
            b'%' => {
                let mut digit = || (bytes.next()? as char).to_digit(16);
                match (digit(), digit()) {
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    _ => return Err(value.wrong("a percent sign without two digits behind it")),
                }
            }
            b => b,
        });
    }
    String::from_utf8(out).map_err(|_| value.wrong("what it encodes is no UTF-8"))
}

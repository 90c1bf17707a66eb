//! CGI/1.1 (RFC 3875): requests that a program answers.

mod env;
mod head;
mod process;
mod relay;
mod spool;

use std::future::pending;
use std::io;

use ecohttpd::{Connection, Error, Request, Result, Status};
use smol::future::or;

pub(crate) use env::Environment;
pub(crate) use process::Orphans;
pub(crate) use relay::Outcome;

use crate::serve::{App, Visit};
use crate::site::{Script, Site};
use crate::slots::{Slot, Slots};
use process::{Input, Process};
use relay::Relay;

/// Runs `script` and makes its answer the response.
///
/// # Errors
///
/// What the script did wrong, as the status that says so, and those of the connection.
pub(crate) async fn answer(
    app: &App,
    site: &Site,
    con: &mut Connection,
    req: &Request,
    visit: &Visit,
    script: &Script,
) -> Result<Outcome> {
    let mut body_open = false;
    let mut spooled = None;
    let (input, length) = match req.content_length() {
        _ if visit.bodiless => (Input::None, None),
        Some(0) => (Input::None, Some(0)),
        Some(n) => {
            body_open = true;
            (Input::Pipe, Some(n))
        }
        None => {
            // No more files at once than scripts that read them.
            spooled = Some(place(&app.spools, con, site).await?);
            let stored = spool::store(con, site.spool_limit).await;
            let (file, length) = stored.map_err(|e| not_stored(app, e))?;
            (Input::File(file), Some(length))
        }
    };
    let _slot = place(&app.scripts, con, site).await?;
    let env = Environment::of(site, con, req, visit, script, length);
    let process = match Process::spawn(script, &site.docroot, env, input, &app.orphans) {
        Ok(process) => process,
        Err(e) => {
            app.log.line(&format!("{}: cannot be run: {e}", script.path.display()));
            return Err(not_run(&e));
        }
    };
    let mut relay =
        Relay::new(con, req, visit.redirect_status, patience(site), body_open, &app.scripts);
    let outcome = Box::pin(relay.run(process)).await;
    if !relay.why.is_empty() {
        app.log.line(&format!("{}: {}", script.path.display(), relay.why));
    }
    drop(spooled);
    outcome
}

/// Seconds for which a script may be silent; none is for ever.
fn patience(site: &Site) -> u32 {
    match site.script_timeout {
        0 => u32::MAX,
        secs => secs,
    }
}

/// Waits for a place among those that run at once.
async fn place<'a>(slots: &'a Slots, con: &Connection, site: &Site) -> Result<Slot<'a>> {
    let timer = con.timer();
    let turn = async { Ok(slots.take().await) };
    let gone = async {
        con.hung_up().await;
        // It may only have ended its side, and wait for the answer.
        let _ = con.timer().within(1, pending::<()>()).await;
        Err(Error::Closed)
    };
    match timer.within(patience(site), or(turn, gone)).await {
        Ok(place) => place,
        Err(_) => Err(Error::Status(Status::SERVICE_UNAVAILABLE, "too many scripts")),
    }
}

/// That there is no room for a body is not the client's fault, nor does it look for that file.
fn not_stored(app: &App, e: Error) -> Error {
    let Error::Io(e) = e else {
        return e;
    };
    app.log.line(&format!("a chunked body cannot be stored in {}: {e}", spool::dir()));
    match Error::Io(e).status() {
        Some(status @ (Status::INSUFFICIENT_STORAGE | Status::SERVICE_UNAVAILABLE)) => {
            Error::Status(status, "chunked request body")
        }
        _ => Error::Status(Status::INTERNAL_SERVER_ERROR, "chunked request body"),
    }
}

/// A lack of something passes; other reasons do not.
fn not_run(e: &io::Error) -> Error {
    match e.raw_os_error() {
        Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE) => {
            Error::Status(Status::SERVICE_UNAVAILABLE, "no script can be run")
        }
        _ => Error::Status(Status::INTERNAL_SERVER_ERROR, "script cannot be run"),
    }
}

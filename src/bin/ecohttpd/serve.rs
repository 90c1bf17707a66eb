//! What is done about a request, from first to last.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ecohttpd::{Connection, Error, OpenFile, Request, Result, Status};

use crate::auth::Verdict;
use crate::cgi::{self, Environment, Orphans, Outcome};
use crate::filter;
use crate::listing;
use crate::log::Log;
use crate::redirect::{self, Https};
use crate::rules::{End, Stage};
use crate::site::{Script, Site, Target};
use crate::slots::Slots;

/// Local redirects before one is taken for a circle.
const MOST_REDIRECTS: u32 = 10;

/// What all requests have in common.
pub(crate) struct App {
    pub(crate) site: RefCell<Rc<Site>>,
    pub(crate) https: Cell<Https>,
    pub(crate) scripts: Slots,
    pub(crate) spools: Slots,
    pub(crate) listings: Slots,
    pub(crate) orphans: Rc<Orphans>,
    pub(crate) log: Log,
}

/// One request on its way to its answer.
#[derive(Debug)]
pub(crate) struct Visit {
    /// 200, or the status of the error whose page is served.
    pub(crate) redirect_status: u16,
    /// Who it is, and by which password.
    pub(crate) credentials: Option<(String, String)>,
    /// The body was for somebody else.
    pub(crate) bodiless: bool,
    /// The target that a rule has made of the request's own.
    pub(crate) uri: Option<String>,
    /// Rules for what is missing have had their say.
    fell_back: bool,
}

/// Where a step has led.
enum Next {
    Done,
    /// The request is for something else now.
    Again,
}

/// Answers a request.
pub(crate) async fn serve(app: &App, con: &mut Connection, req: &mut Request) -> Result {
    let site = app.site.borrow().clone();
    if site.rfc1918_filter && filter::is_rebound(con.remote_addr().ip(), con.local_addr().ip()) {
        return Box::pin(con.answer(Status::FORBIDDEN)).await;
    }
    if let Some(location) = redirect::elsewhere(&site, con, req) {
        return Box::pin(con.redirect(Status::MOVED_PERMANENTLY, &location)).await;
    }
    if let Some(location) = app.https.get().location(con, req) {
        return Box::pin(con.redirect(site.redirect_status, &location)).await;
    }
    let mut visit = Visit {
        redirect_status: 200,
        credentials: None,
        bodiless: false,
        uri: None,
        fell_back: false,
    };
    // Whatever a path is changed to, the one that was asked for stays guarded.
    if !site.is_open(req.path_bytes())
        && !Box::pin(admit(&site, con, req, req.path_bytes(), &mut visit)).await?
    {
        return Ok(());
    }
    if let Some(path) = site.alias(req.path_bytes()) {
        let target = with_query(&path, req.query_string());
        req.rewrite(&target)?;
    }
    if !site.rules.is_empty() {
        if let Next::Done = Box::pin(apply(&site, con, req, &mut visit, Stage::Request)).await? {
            return Ok(());
        }
    }
    for _ in 0..MOST_REDIRECTS {
        match step(app, &site, con, req, &mut visit).await? {
            Next::Done => return Ok(()),
            Next::Again => {}
        }
    }
    app.log.line(&format!("{}: it leads to itself", req.raw_path()));
    Err(Error::Status(Status::BAD_GATEWAY, "local redirects"))
}

/// Answers a request, or finds out what it is for instead.
///
/// What is rare is on the heap, here and above, so that what every request takes is small.
async fn step(
    app: &App,
    site: &Site,
    con: &mut Connection,
    req: &mut Request,
    visit: &mut Visit,
) -> Result<Next> {
    let status = 'refused: {
        if req.climbs() {
            break 'refused Status::FORBIDDEN;
        }
        if !req.path_bytes().starts_with(b"/") {
            Box::pin(con.serve_file(req)).await?; // OPTIONS *
            return Ok(Next::Done);
        }
        if !site.is_open(req.path_bytes())
            && !Box::pin(admit(site, con, req, req.path_bytes(), visit)).await?
        {
            return Ok(Next::Done);
        }
        let target = site.resolve(con, req.path_bytes()).await;
        let target = target.map_err(Error::Io)?;
        // What stands for a directory may be guarded by itself.
        if req.path_bytes().ends_with(b"/") {
            if let Some(path) = site.own_path(&target) {
                if !site.is_open(&path) && !Box::pin(admit(site, con, req, &path, visit)).await? {
                    return Ok(Next::Done);
                }
            }
        }
        match target {
            Target::Script(script) => {
                return Box::pin(run(app, site, con, req, visit, script)).await;
            }
            // A program may make something of a slash that was encoded, but it separates no files.
            Target::File(_) | Target::Directory(_) if req.hides_slash() => Status::FORBIDDEN,
            Target::File(file) => {
                con.serve_open(req, file).await?;
                return Ok(Next::Done);
            }
            Target::Directory(_) if site.no_dirlists => Status::FORBIDDEN,
            Target::Directory(dir) => {
                if matches!(req.method(), "GET" | "HEAD") {
                    Box::pin(listing::answer(con, req, dir, &site.charset, &app.listings)).await?;
                } else {
                    con.add_header("Allow", "GET, HEAD")?;
                    Box::pin(con.answer(Status::METHOD_NOT_ALLOWED)).await?;
                }
                return Ok(Next::Done);
            }
            Target::Forbidden => Status::FORBIDDEN,
            Target::Missing => {
                if !std::mem::replace(&mut visit.fell_back, true) {
                    let before = req.path_bytes().to_owned();
                    let next = Box::pin(apply(site, con, req, visit, Stage::Fallback)).await?;
                    if matches!(next, Next::Done) || req.path_bytes() != before {
                        return Ok(next);
                    }
                }
                Status::NOT_FOUND
            }
        }
    };
    Box::pin(refuse(app, site, con, req, visit, status)).await
}

/// Whether the client may go on to `path`; if not, it has been asked who it is.
async fn admit(
    site: &Site,
    con: &mut Connection,
    req: &Request,
    path: &[u8],
    visit: &mut Visit,
) -> Result<bool> {
    if is_admitted(site, con, req, path, visit).await? {
        return Ok(true);
    }
    let realm = site.realm.replace('\\', "\\\\").replace('"', "\\\"");
    let challenge = format!("Basic realm=\"{realm}\", charset=\"UTF-8\"");
    con.add_header("WWW-Authenticate", &challenge)?;
    con.answer(Status::UNAUTHORIZED).await?;
    Ok(false)
}

/// Whether the client may see `path`, and who it is if so.
async fn is_admitted(
    site: &Site,
    con: &mut Connection,
    req: &Request,
    path: &[u8],
    visit: &mut Visit,
) -> Result<bool> {
    let Some(path) = site.guarded(path) else {
        return Ok(true);
    };
    let given = req.header_bytes("authorization");
    match Box::pin(site.realms.admits(path, given)).await? {
        Verdict::Open => Ok(true),
        Verdict::Admitted { user, password } => {
            con.set_user(&user);
            visit.credentials = Some((user, password));
            Ok(true)
        }
        Verdict::Refused => Ok(false),
    }
}

async fn run(
    app: &App,
    site: &Site,
    con: &mut Connection,
    req: &mut Request,
    visit: &mut Visit,
    script: Box<Script>,
) -> Result<Next> {
    match Box::pin(cgi::answer(app, site, con, req, visit, &script)).await? {
        Outcome::Answered => Ok(Next::Done),
        Outcome::Redirected(target) => {
            let to = req.rewrite_as_get(&target);
            to.map_err(|_| Error::Status(Status::BAD_GATEWAY, "local redirect"))?;
            visit.bodiless = true;
            Ok(Next::Again)
        }
    }
}

/// Answers with the page for errors, if there is one.
async fn refuse(
    app: &App,
    site: &Site,
    con: &mut Connection,
    req: &mut Request,
    visit: &mut Visit,
    status: Status,
) -> Result<Next> {
    let page = site.error_page.as_deref().filter(|_| visit.redirect_status == 200);
    // A page that not everybody may see is no page for those who may not.
    if page.is_some_and(|page| req.rewrite(page).is_ok())
        && !req.climbs()
        && is_admitted(site, con, req, req.path_bytes(), visit).await?
    {
        visit.redirect_status = status.code();
        match Box::pin(site.resolve(con, req.path_bytes())).await {
            Ok(Target::File(file)) if OpenFile::is_file(&file) => {
                con.set_status(status)?;
                con.serve_open(req, file).await?;
                return Ok(Next::Done);
            }
            Ok(Target::Script(script)) => return run(app, site, con, req, visit, script).await,
            _ => {}
        }
    }
    con.answer(status).await?;
    Ok(Next::Done)
}

/// Applies the rules of `-H`. If they have not answered the request, it may be for another path.
async fn apply(
    site: &Site,
    con: &mut Connection,
    req: &mut Request,
    visit: &mut Visit,
    stage: Stage,
) -> Result<Next> {
    if site.rules.is_empty() {
        return Ok(Next::Again);
    }
    let mut env = None;
    let mut var = |name: &str| {
        let env = env.get_or_insert_with(|| {
            let script = Script {
                path: site.docroot.clone(),
                name: req.path_bytes().to_owned(),
                info: Vec::new(),
                interpreter: None,
            };
            Environment::of(site, con, req, visit, &script, req.content_length())
        });
        env.get(name).map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let outcome = site.rules.run(stage, &mut var).await;
    for (name, value) in &outcome.headers {
        con.append_header(name, value)?;
    }
    if outcome.no_cache {
        con.add_header("Cache-Control", "no-cache")?;
    }
    match outcome.end {
        None => Ok(Next::Again),
        Some(End::Redirect { location, status, reason }) => {
            con.set_status_reason(Status::new(status)?, reason.as_deref().unwrap_or(""))?;
            con.add_header("Location", &location)?;
            Ok(Next::Done)
        }
        Some(End::Rewrite(target)) => {
            let to = req.rewrite(&target);
            to.map_err(|_| Error::Status(Status::INTERNAL_SERVER_ERROR, "rewriting rule"))?;
            visit.uri = Some(target);
            if stage == Stage::Fallback {
                return Box::pin(apply(site, con, req, visit, Stage::Request)).await;
            }
            Ok(Next::Again)
        }
    }
}

/// A request target of these parts.
fn with_query(path: &[u8], query: &str) -> String {
    let mut target = String::new();
    for &b in path {
        if b.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=:@".contains(&b) {
            target.push(b.into());
        } else {
            target.push_str(&format!("%{b:02X}"));
        }
    }
    if !query.is_empty() {
        target.push('?');
        target.push_str(query);
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_encoded() {
        assert_eq!(with_query(b"/a b/%\xff?", "x=%20"), "/a%20b/%25%FF%3F?x=%20");
        assert_eq!(with_query(b"/a", ""), "/a");
    }
}

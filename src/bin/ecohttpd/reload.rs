//! What is read again while the server runs, and counts from then on if nothing is wrong with it.

use std::io;
use std::rc::Rc;

use ecohttpd::Server;

use crate::access::AccessLog;
use crate::address::Address;
use crate::args::{Action, Args};
use crate::bound::{Bound, bind};
use crate::certificate::{self, Files, Tls};
use crate::report::Report;
use crate::run::{Running, https, logging, open_log, options};
use crate::serve::App;
use crate::site::Site;

/// What is said of a certificate.
const READ: &str = "certificate read";

/// What a server that runs is about to become. If it does not, files of sockets go before those.
pub(crate) struct Change {
    pub(crate) args: Rc<Args>,
    pub(crate) bound: Vec<Bound>,
    pub(crate) server: Server,
    pub(crate) access_log: Option<Rc<AccessLog>>,
    /// What is to be said of addresses.
    pub(crate) said: Vec<String>,
}

impl Running {
    /// Reads everything again that is in files. What is wrong leaves what was there before.
    pub(crate) fn reload(&mut self, app: &App) {
        let mut report = Report::default();
        let other = self.other_args(&mut report);
        let args = other.as_ref().unwrap_or(&self.args).clone();
        let site = Site::load(&args, &mut report);
        // To guard nothing any more is too much for a file that has gone, be it for a moment.
        if let (Some(path), None, None) =
            (&app.site.borrow().config, &site.config, &self.args.config)
        {
            report.mistake(format!("{}: it is not there any more", path.display()));
        }
        // Before they are read, so that nothing is missed that comes while they are.
        let files = Files::of(&args);
        let change = other.map(|args| self.other(args, &mut report));
        report.say(&app.log);
        let mut changed = false;
        if report.mistakes.is_empty() {
            if let Some(change) = change {
                changed = true;
                self.become_it(app, change);
            }
            app.site.replace(Rc::new(site));
            app.log.line("reloaded");
        } else {
            drop(change);
            app.log.line("not reloaded: what was read before stays");
        }
        if changed {
            self.files = files;
            if self.has_https() {
                app.log.line(READ);
            }
            return;
        }
        self.files.have_changed();
        self.renew(app);
        if let Some(Err(e)) = self.access_log.as_ref().map(|log| log.reopen()) {
            app.log.line(&format!("{e}; the old one stays"));
        }
    }

    /// Reads the certificate again.
    pub(crate) fn renew(&mut self, app: &App) {
        if self.is_draining {
            return;
        }
        let read = match certificate::load(&self.args) {
            #[cfg(feature = "tls")]
            (Some(tls), _) if self.has_https() => self.handle.set_tls(&tls),
            (Some(tls), _) => return self.begin_https(app, &tls),
            (None, Some(e)) => Err(e),
            (None, None) => return,
        };
        match read {
            Ok(()) => app.log.line(READ),
            Err(e) if self.has_https() => {
                app.log.line(&format!("{e}; the old certificate stays"));
            }
            Err(e) => app.log.line(&format!("no HTTPS: {e}")),
        }
    }

    /// Serves HTTPS, for which there was no certificate so far.
    fn begin_https(&mut self, app: &App, tls: &Tls) {
        let mut report = Report::default();
        let change = self.change(self.args.clone(), Some(tls), &mut report);
        report.say(&app.log);
        if report.mistakes.is_empty() && change.bound.iter().any(|it| it.secure) {
            self.become_it(app, change);
            app.log.line(READ);
        } else {
            change.said.iter().for_each(|line| app.log.line(line));
        }
    }

    fn has_https(&self) -> bool {
        self.bound.iter().any(|it| it.secure)
    }

    /// What the command line and its file of options say by now, if that is something else.
    fn other_args(&self, report: &mut Report) -> Option<Rc<Args>> {
        if self.args.options.is_none() || self.is_draining {
            return None;
        }
        let Action::Serve(mut args) = self.line.parse(report) else {
            return None;
        };
        if args.user != self.args.user {
            report.note("-Z: another user takes a restart");
            if let Some(args) = Rc::get_mut(&mut args) {
                args.user.clone_from(&self.args.user);
            }
        }
        (report.mistakes.is_empty() && !args.is_same(&self.args)).then_some(args)
    }

    /// Gets everything ready that `args` ask for. With mistakes it is not to be used.
    pub(crate) fn other(&mut self, args: Rc<Args>, report: &mut Report) -> Change {
        let (tls, no_https) = certificate::load(&args);
        if let Some(e) = no_https {
            let why = format!("no HTTPS: {e}");
            match self.has_https() || args.http.is_empty() {
                true => report.mistake(why),
                false => report.note(why),
            }
        }
        self.change(args, tls.as_ref(), report)
    }

    /// Likewise, with this certificate.
    fn change(&mut self, args: Rc<Args>, tls: Option<&Tls>, report: &mut Report) -> Change {
        let access_log = open_log(&args).unwrap_or_else(|e| {
            report.mistake(e.to_string());
            None
        });
        let mut server = self.handle.successor(options(&args));
        let (old, before, mut said) = (&self.bound, &self.args, Vec::new());
        let had = |at: &Address| before.http.iter().chain(&before.https).any(|it| it.is_same(at));
        let mut hear = |at: &Address, done: io::Result<&Bound>| match (done, at) {
            (Ok(new), _) => said.push(format!("listening on {}", new.at)),
            (Err(e), Address::Unknown { .. }) => said.push(e.to_string()),
            // It could not be had before, either.
            (Err(e), _) if old.is_empty() || had(at) => said.push(e.to_string()),
            (Err(_), Address::Descriptor(_)) => {
                report.mistake(format!("{at}: descriptors are handed over at the start only"));
            }
            (Err(e), _) => report.mistake(e.to_string()),
        };
        let bound = bind(&mut server, &args, tls, old, &mut self.inherited, &mut hear);
        if bound.is_empty() && report.mistakes.is_empty() {
            report.mistake("there is no address left to listen at");
        }
        let server = logging(server, access_log.as_ref());
        Change { args, bound, server, access_log, said }
    }

    fn become_it(&mut self, app: &App, change: Change) {
        let Change { args, bound, server, access_log, said } = change;
        for old in &self.bound {
            if !bound.iter().any(|it| it.kept == Some(old.n)) {
                app.log.line(&format!("not listening on {} any more", old.at));
            }
        }
        said.iter().for_each(|line| app.log.line(line));
        // Files of sockets go while those are open still.
        self.bound = bound;
        if let Err(e) = self.handle.replace(server) {
            app.log.line(&e.to_string()); // can't happen: it listens somewhere
        }
        app.https.set(https(&args, &self.bound));
        app.scripts.resize(args.max_requests);
        app.spools.resize(args.max_requests);
        self.args = args;
        if let Some(old) = std::mem::replace(&mut self.access_log, access_log) {
            old.flush();
        }
    }
}

//! Between a client and a script: the body of the request goes one way while the answer comes the
//! other.
//!
//! Neither waits for the other longer than it has to. The client's bytes are taken no faster than
//! the script reads them, and the script's no faster than the client does.

use std::future::pending;
use std::io::{self, ErrorKind};
use std::pin::pin;

use ecohttpd::{Connection, Error, Request, Result, Status, Timer};
use rustix::process::WaitStatus;
use smol::future::or;

use super::head::{self, Head};
use super::process::{Process, Running, was_killed};
use crate::slots::Slots;

/// What is read from a script at once.
const BLOCK: usize = 8192;

/// Reads in a row before the others get their turn.
const TURNS: u32 = 16;

/// What of a body has to come while a script is patient, where others wait for its place: whoever
/// sends a byte now and then must not keep them from it for ever.
const LEAST: usize = 1 << 14;

/// Seconds for which a script goes on whose client has ended its side: it may still listen, and
/// what is quick may as well be finished. Also for which the end of a script is waited for that
/// has said all.
const GRACE: u32 = 1;

/// What a script has come to.
pub(crate) enum Outcome {
    Answered,
    /// The answer is to be taken from this path of the server.
    Redirected(String),
}

/// What can happen next.
enum Event {
    /// The script has said something, or all.
    Output(io::Result<usize>),
    Ended(io::Result<WaitStatus>),
    /// There is some more of the request's body, or no more.
    Body(Result<usize>),
    /// The script has read some of it.
    Taken(io::Result<usize>),
    /// The client has ended its side.
    Gone,
    /// The script has ended, and nobody else says anything.
    Silence,
}

/// One request on its way through a script.
pub(crate) struct Relay<'a> {
    con: &'a mut Connection,
    head_only: bool,
    /// What is answered with if the script does not say.
    default_status: u16,
    timer: Timer,
    /// The deadline for some more of the body, which counts only where somebody else waits.
    pace: Timer,
    least_pace: u32,
    received: usize,
    queue: &'a Slots,
    /// Seconds for which the script may be silent.
    patience: u32,
    /// The body of the request has not come to its end.
    body_open: bool,
    /// What of it the script has not taken.
    untaken: Vec<u8>,
    /// The head of the answer until it is whole.
    head: Option<Vec<u8>>,
    /// What the script has still to send, if it has said how much that is.
    left: Option<u64>,
    /// It has said so of a body that is not sent.
    unsent: bool,
    pub(crate) why: String,
}

impl<'a> Relay<'a> {
    pub(crate) fn new(
        con: &'a mut Connection,
        req: &Request,
        default_status: u16,
        patience: u32,
        body_open: bool,
        queue: &'a Slots,
    ) -> Self {
        Relay {
            timer: con.timer(),
            pace: con.timer(),
            least_pace: patience,
            received: 0,
            queue,
            con,
            head_only: req.method() == "HEAD",
            default_status,
            patience,
            body_open,
            untaken: Vec::new(),
            head: Some(Vec::new()),
            left: None,
            unsent: false,
            why: String::new(),
        }
    }

    /// Carries everything both ways until the script has said all.
    ///
    /// # Errors
    ///
    /// 502 for a script that does not answer as it should, 504 for one that is silent for too long;
    /// those of the connection. The script is then killed, with whatever it has started.
    #[allow(clippy::large_futures, reason = "all of it is on the heap")]
    pub(crate) async fn run(&mut self, mut process: Process) -> Result<Outcome> {
        let mut block = vec![0; BLOCK];
        let mut client_ended = false;
        let mut exit = None;
        self.timer.set(self.patience);
        self.pace.set(self.least_pace);
        loop {
            let next = self.next(&mut process, &mut block, client_ended, exit.is_some()).await?;
            match next {
                Event::Output(Ok(0)) | Event::Silence => break,
                Event::Output(Ok(n)) => {
                    let (redirect, more) = self.take_all(&process, &mut block, n, TURNS).await?;
                    if let Some(target) = redirect {
                        process.release();
                        return Ok(Outcome::Redirected(target));
                    }
                    if !more {
                        break;
                    }
                }
                Event::Output(Err(e)) => return Err(self.bad(format!("its output: {e}"))),
                Event::Ended(status) => {
                    process.child = None;
                    exit = status.ok();
                    // What it has started may still write, or hold the pipe open for ever; be it
                    // talkative or silent, that has an end.
                    self.pace.set(self.least_pace);
                    self.untaken.clear();
                    process.stdin = None;
                    self.patience = GRACE;
                    self.timer.set(self.patience);
                }
                Event::Body(piece) => {
                    let n = piece?;
                    self.body_open = n > 0;
                    self.received += n;
                    if self.received >= LEAST {
                        self.received = 0;
                        self.pace.set(self.least_pace);
                    }
                    if process.stdin.is_none() {
                        self.untaken.clear(); // the script does not want it
                        continue;
                    }
                    if !self.body_open && self.untaken.is_empty() {
                        process.stdin = None; // the end of it, for the script
                    }
                    self.timer.set(self.patience);
                }
                Event::Taken(Ok(n)) => {
                    self.untaken.drain(..n.min(self.untaken.len()));
                    if self.untaken.is_empty() && !self.body_open {
                        process.stdin = None;
                    }
                    self.timer.set(self.patience);
                }
                // It does not want the rest, which has to go somewhere all the same.
                Event::Taken(Err(_)) => {
                    self.untaken.clear();
                    process.stdin = None;
                }
                Event::Gone => {
                    client_ended = true;
                    self.patience = GRACE;
                    self.timer.set(self.patience);
                }
            }
        }
        self.finish(process, exit).await
    }

    /// Waits for the next thing to happen.
    #[allow(clippy::large_futures, reason = "all of it is on the heap")]
    async fn next(
        &mut self,
        process: &mut Process,
        block: &mut [u8],
        client_ended: bool,
        has_ended: bool,
    ) -> Result<Event> {
        let Relay { con, untaken, body_open, timer, pace, least_pace, queue, .. } = self;
        let Process { child, stdin, stdout, .. } = process;
        // While it is the client who is waited for, the script may be silent; the connection has a
        // deadline of its own for that.
        let clients_turn = *body_open && untaken.is_empty() && stdin.is_some();
        let output = async { Event::Output(stdout.read(block).await) };
        let ended = async {
            match child {
                Some(running) => Event::Ended(Running::ended(running).await),
                None => pending().await,
            }
        };
        let input = async {
            if let (Some(stdin), false) = (&*stdin, untaken.is_empty()) {
                let taken = async { Event::Taken(stdin.write(untaken).await) };
                return or(taken, gone(con, client_ended)).await;
            }
            if *body_open {
                return Event::Body(con.read_body().await.map(|piece| {
                    untaken.extend_from_slice(piece);
                    piece.len()
                }));
            }
            gone(con, client_ended).await
        };
        let event = or(output, or(input, ended));
        if clients_turn {
            let mut event = pin!(event);
            loop {
                match pace.until(event.as_mut()).await {
                    Ok(event) => return Ok(event),
                    Err(e) if queue.is_waited_for() => return Err(e),
                    Err(_) => pace.set((*least_pace).min(1)), // somebody may come
                }
            }
        }
        let bounded = async {
            match has_ended {
                true => pace.until(event).await,
                false => Ok(event.await),
            }
        };
        match timer.until(bounded).await {
            Ok(Ok(event)) => Ok(event),
            Ok(Err(_)) => Err(self.bad("what it has left behind does not end".into())),
            Err(_) if has_ended => Ok(Event::Silence),
            Err(_) if client_ended => Err(Error::Closed),
            Err(_) => {
                self.why = "it was silent for too long".into();
                Err(Error::Status(Status::GATEWAY_TIMEOUT, "silent script"))
            }
        }
    }

    /// Takes what is in `block` and what is there behind it. Also whether there may be more.
    async fn take_all(
        &mut self,
        process: &Process,
        block: &mut [u8],
        mut n: usize,
        turns: u32,
    ) -> Result<(Option<String>, bool)> {
        for _ in 0..turns {
            let redirect = self.take(block.get(..n).unwrap_or(&[])).await?;
            if redirect.is_some() {
                return Ok((redirect, true));
            }
            if self.wants_more() {
                self.timer.set(self.patience);
            }
            match process.stdout.read_now(block) {
                Ok(0) => return Ok((None, false)),
                Ok(more) => n = more,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    // The client gets what there is while the script thinks.
                    if self.head.is_none() {
                        self.con.flush().await?;
                        if self.wants_more() {
                            self.timer.set(self.patience);
                        }
                    }
                    return Ok((None, true));
                }
                Err(e) => return Err(self.bad(format!("its output: {e}"))),
            }
        }
        self.take(block.get(..n).unwrap_or(&[])).await.map(|redirect| (redirect, true))
    }

    /// Whether anybody waits for what the script says. It would not be noticed that they have gone
    /// where nothing is sent, so that has to come to an end.
    fn wants_more(&self) -> bool {
        self.head.is_some() || !(self.head_only || self.unsent || self.left == Some(0))
    }

    /// Takes some of the answer; a local redirect if that is what its head says.
    async fn take(&mut self, bytes: &[u8]) -> Result<Option<String>> {
        let Some(gathered) = &mut self.head else {
            self.send(bytes).await?;
            return Ok(None);
        };
        gathered.extend_from_slice(bytes);
        let end = head::end(gathered);
        if end.unwrap_or(gathered.len()) > head::MOST {
            return Err(self.bad("its header is too long".into()));
        }
        let Some(end) = end else {
            return Ok(None);
        };
        let mut gathered = std::mem::take(gathered);
        let body = gathered.split_off(end);
        let head = Head::parse(&gathered).map_err(|why| self.bad(why))?;
        if let Some(target) = head.local_redirect() {
            return Ok(Some(target.to_owned()));
        }
        self.begin(head)?;
        self.head = None;
        self.send(&body).await?;
        Ok(None)
    }

    /// Makes the script's head that of the response.
    fn begin(&mut self, head: Head) -> Result {
        let (status, reason) = match &head.status {
            Some((status, reason)) => (*status, reason.as_str()),
            None if head.field("location").is_some() => (Status::FOUND, ""),
            None => (Status::new(self.default_status)?, ""),
        };
        self.con.set_status_reason(status, reason)?;
        for (name, value) in &head.fields {
            self.con.append_header_bytes(name, value)?;
        }
        if head.closes {
            self.con.add_header("Connection", "close")?;
        }
        if let Some(length) = head.length {
            self.con.add_header("Content-Length", &length.to_string())?;
        }
        let has_content = !self.head_only && !matches!(status.code(), 204 | 205 | 304);
        self.left = head.length.filter(|_| has_content);
        self.unsent = head.length.is_some() && !has_content;
        Ok(())
    }

    /// Sends some of the body, but no more than the script said there would be.
    async fn send(&mut self, bytes: &[u8]) -> Result {
        let Some(left) = &mut self.left else {
            // Where nothing has been said, HEAD is told the length of what GET would get.
            return match self.unsent {
                true => Ok(()),
                false => self.con.send(bytes).await,
            };
        };
        let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
        *left -= n as u64;
        self.con.send(bytes.get(..n).unwrap_or(bytes)).await
    }

    /// Ends the answer, if it was one.
    async fn finish(
        &mut self,
        mut process: Process,
        mut exit: Option<WaitStatus>,
    ) -> Result<Outcome> {
        if let Some(running) = &mut process.child {
            // It has closed its output, and so is about to end, or else has gone to the background.
            let ended = self.timer.within(GRACE, running.ended()).await;
            if let Ok(Ok(status)) = ended {
                process.child = None;
                exit = Some(status);
            }
        }
        if let Some(signal) = exit.and_then(was_killed) {
            return Err(self.bad(format!("it was killed by signal {signal}")));
        }
        if let Some(gathered) = &self.head {
            let why = match gathered.len() {
                0 => "it said nothing".to_owned(),
                _ => "its header has no end".to_owned(),
            };
            return Err(self.bad(why));
        }
        if let Some(left @ 1..) = self.left {
            return Err(self.bad(format!("{left} bytes less than its Content-Length")));
        }
        process.release();
        Ok(Outcome::Answered)
    }

    fn bad(&mut self, why: String) -> Error {
        self.why = why;
        Error::Status(Status::BAD_GATEWAY, "script")
    }
}

/// Waits until the client has ended its side, unless that is known.
async fn gone(con: &Connection, is_known: bool) -> Event {
    if is_known {
        return pending().await;
    }
    con.hung_up().await;
    Event::Gone
}

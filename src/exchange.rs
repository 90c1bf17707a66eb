//! Requests and their responses, one after the other.

use std::future::poll_fn;
use std::net::SocketAddr;

use crate::{Connection, Error, Request, Result, Status};

/// A request that was answered, for an access log.
#[derive(Debug)]
#[non_exhaustive]
pub struct Access<'a> {
    /// The client.
    pub remote_addr: SocketAddr,
    /// Who it is, if the handler said so with [`set_user`](Connection::set_user).
    pub user: Option<&'a str>,
    /// The request; none if its head was refused.
    pub request: Option<&'a Request>,
    /// The status it was answered with; none if the connection ended before that.
    pub status: Option<Status>,
    /// Bytes of content that were sent.
    pub sent: u64,
}

/// One connection's life: it opens, and then a request, its response, and again.
///
/// All of an idle connection is in this one future.
#[allow(clippy::manual_async_fn, reason = "would keep its arguments twice")]
pub(crate) fn converse<H>(
    opening: impl Future<Output = Result<Connection>>,
    handler: &H,
) -> impl Future<Output = ()>
where
    H: AsyncFn(&mut Connection, &mut Request) -> Result,
{
    async move {
        let Ok(mut con) = opening.await else {
            return;
        };
        loop {
            // Nothing of the outcome is kept while something else is waited for.
            let waits = con.begin_idle().ok();
            let goes_on = match waits {
                Some(false) => true,
                Some(true) => match poll_fn(|cx| con.poll_idle(cx)).await {
                    Ok(n) => n > 0,
                    Err(Error::Closed | Error::Timeout) => false,
                    Err(_) => return,
                },
                None => false,
            };
            if !goes_on {
                return Box::pin(con.end_idle()).await;
            }
            // On the heap for as long as it lasts, so that an idle connection is small.
            match Box::pin(exchange(&mut con, handler)).await {
                Ok(true) => {}
                Ok(false) => return Box::pin(con.close()).await,
                Err(_) => return con.abort(),
            }
        }
    }
}

/// One request and its response; whether another may follow.
async fn exchange<H>(con: &mut Connection, handler: &H) -> Result<bool>
where
    H: AsyncFn(&mut Connection, &mut Request) -> Result,
{
    let mut request: Option<Box<Request>> = None;
    let outcome = match con.read_head().await {
        Ok(req) => handler(con, request.insert(req)).await,
        Err(e) => Err(e),
    };
    let outcome = match outcome {
        Ok(()) => con.finish().await,
        Err(e) => Err(e),
    };
    let outcome = match outcome {
        Err(e) => Box::pin(con.fail(e)).await,
        done => done,
    };
    con.log(request.as_deref());
    // The next request of any connection can be made of it.
    con.shared.over.set(request.filter(|req| req.is_small()));
    outcome
}

impl Connection {
    fn log(&self, request: Option<&Request>) {
        let log = self.shared.log.borrow().clone();
        if let Some(log) = log {
            let answered = self.response.head_sent;
            if answered || request.is_some() {
                log(&Access {
                    remote_addr: self.remote_addr(),
                    user: self.user.get(),
                    request,
                    status: answered.then_some(self.response.status),
                    sent: self.response.sent,
                });
            }
        }
    }
}

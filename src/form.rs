//! Forms with files, read in place.

use crate::wire::multipart::{Limits, Step};
use crate::{Connection, Error, Request, Result};

/// What [`Connection::read_formdata`] came upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormEvent<'a> {
    /// A header of the part that begins here.
    Header {
        /// Its name, in lower case.
        name: &'a str,
        /// Its value; see [`param`](crate::param) for what is in it.
        value: &'a str,
    },
    /// Some of the part's content.
    Body {
        /// The bytes, in place in the receive buffer: at most 8192, and none if the part is empty.
        data: &'a [u8],
        /// Whether the part ends with them.
        last: bool,
    },
    /// The form is over.
    End,
}

impl Connection {
    /// The next event of the `multipart/form-data` in the request body.
    ///
    /// For each part there are its headers and then its content, in at least one piece, of which
    /// only the very last is marked so: a part that was cut off is never taken for finished. The
    /// event's bytes stay where they were received, so it has to be let go of before the next one
    /// can be asked for. After [`FormEvent::End`] the connection goes on with its next request.
    ///
    /// ```
    /// # use ecohttpd::{Connection, FormEvent, Request, Result, param};
    /// async fn upload(con: &mut Connection, req: &mut Request) -> Result {
    ///     let mut bytes = 0;
    ///     loop {
    ///         match con.read_formdata(req).await? {
    ///             FormEvent::Header { name: "content-disposition", value } => {
    ///                 println!("{:?}", param(value, "name"));
    ///             }
    ///             FormEvent::Header { .. } => {}
    ///             FormEvent::Body { data, .. } => bytes += data.len(),
    ///             FormEvent::End => return con.send(&format!("{bytes} bytes\n")).await,
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if the form ends, or the client hangs up, before the closing delimiter;
    /// [`Error::Malformed`] if it is no form; [`Error::TooLarge`] beyond
    /// [`Options::max_form_parts`](crate::Options::max_form_parts) and
    /// [`Options::max_part_head`](crate::Options::max_part_head); a status of 415 for another
    /// content type; and those of [`read_body`](Self::read_body).
    pub async fn read_formdata(&mut self, req: &mut Request) -> Result<FormEvent<'_>> {
        if !req.form.begun() {
            let kind = req.header("content-type").unwrap_or("").to_owned();
            req.form.begin(&kind)?;
        }
        let options = &self.options;
        let limits = Limits { parts: options.max_form_parts, part_head: options.max_part_head };
        self.settle();
        let step = loop {
            match req.form.step(self.received.content(), limits)? {
                Step::More { used: 0 } => {
                    let before = self.received.content().len();
                    self.receive().await?;
                    if self.received.content().len() == before {
                        return Err(Error::Truncated);
                    }
                }
                Step::More { used } => self.received.consume(used),
                step => break step,
            }
        };
        // The borrow is made here, after the loop, where it can be returned.
        match step {
            Step::Header { name, value, used } => {
                self.lent = used as u16;
                self.received.content_mut(name.range()).make_ascii_lowercase();
                let window = self.received.content();
                Ok(FormEvent::Header { name: name.text(window), value: value.text(window) })
            }
            Step::Body { data, last, used } => {
                self.lent = used as u16;
                Ok(FormEvent::Body { data: data.bytes(self.received.content()), last })
            }
            Step::More { .. } | Step::End => Ok(FormEvent::End),
        }
    }
}

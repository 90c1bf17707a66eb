//! Status codes and their reason phrases.

use std::fmt;

use crate::{Error, Result};

/// An HTTP status code, 100 to 599 (RFC 9110, 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(u16);

macro_rules! statuses {
    ($($code:literal $name:ident $reason:literal)*) => {
        impl Status {
            $(
                #[doc = concat!("`", $code, " ", $reason, "`")]
                pub const $name: Status = Status($code);
            )*
        }

        /// The codes, and how long their reason phrases are, which are one behind the other: jumps to
        /// so many texts would take three times as much room.
        const CODES: &[(u16, u8)] = &[$(($code, $reason.len() as u8)),*];
        const REASONS: &str = concat!($($reason),*);
    };
}

statuses! {
    100 CONTINUE "Continue"
    101 SWITCHING_PROTOCOLS "Switching Protocols"
    102 PROCESSING "Processing"
    200 OK "OK"
    201 CREATED "Created"
    202 ACCEPTED "Accepted"
    203 NON_AUTHORITATIVE_INFORMATION "Non-Authoritative Information"
    204 NO_CONTENT "No Content"
    205 RESET_CONTENT "Reset Content"
    206 PARTIAL_CONTENT "Partial Content"
    207 MULTI_STATUS "Multi-Status"
    208 ALREADY_REPORTED "Already Reported"
    226 IM_USED "IM Used"
    300 MULTIPLE_CHOICES "Multiple Choices"
    301 MOVED_PERMANENTLY "Moved Permanently"
    302 FOUND "Found"
    303 SEE_OTHER "See Other"
    304 NOT_MODIFIED "Not Modified"
    305 USE_PROXY "Use Proxy"
    307 TEMPORARY_REDIRECT "Temporary Redirect"
    308 PERMANENT_REDIRECT "Permanent Redirect"
    400 BAD_REQUEST "Bad Request"
    401 UNAUTHORIZED "Unauthorized"
    402 PAYMENT_REQUIRED "Payment Required"
    403 FORBIDDEN "Forbidden"
    404 NOT_FOUND "Not Found"
    405 METHOD_NOT_ALLOWED "Method Not Allowed"
    406 NOT_ACCEPTABLE "Not Acceptable"
    407 PROXY_AUTHENTICATION_REQUIRED "Proxy Authentication Required"
    408 REQUEST_TIMEOUT "Request Timeout"
    409 CONFLICT "Conflict"
    410 GONE "Gone"
    411 LENGTH_REQUIRED "Length Required"
    412 PRECONDITION_FAILED "Precondition Failed"
    413 PAYLOAD_TOO_LARGE "Payload Too Large"
    414 URI_TOO_LONG "URI Too Long"
    415 UNSUPPORTED_MEDIA_TYPE "Unsupported Media Type"
    416 RANGE_NOT_SATISFIABLE "Range Not Satisfiable"
    417 EXPECTATION_FAILED "Expectation Failed"
    421 MISDIRECTED_REQUEST "Misdirected Request"
    422 UNPROCESSABLE_ENTITY "Unprocessable Entity"
    423 LOCKED "Locked"
    424 FAILED_DEPENDENCY "Failed Dependency"
    426 UPGRADE_REQUIRED "Upgrade Required"
    428 PRECONDITION_REQUIRED "Precondition Required"
    429 TOO_MANY_REQUESTS "Too Many Requests"
    431 REQUEST_HEADER_FIELDS_TOO_LARGE "Request Header Fields Too Large"
    451 UNAVAILABLE_FOR_LEGAL_REASONS "Unavailable For Legal Reasons"
    500 INTERNAL_SERVER_ERROR "Internal Server Error"
    501 NOT_IMPLEMENTED "Not Implemented"
    502 BAD_GATEWAY "Bad Gateway"
    503 SERVICE_UNAVAILABLE "Service Unavailable"
    504 GATEWAY_TIMEOUT "Gateway Timeout"
    505 HTTP_VERSION_NOT_SUPPORTED "HTTP Version Not Supported"
    506 VARIANT_ALSO_NEGOTIATES "Variant Also Negotiates"
    507 INSUFFICIENT_STORAGE "Insufficient Storage"
    508 LOOP_DETECTED "Loop Detected"
    510 NOT_EXTENDED "Not Extended"
    511 NETWORK_AUTHENTICATION_REQUIRED "Network Authentication Required"
}

impl Status {
    /// The status with this code.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] outside 100 to 599.
    ///
    /// ```
    /// use ecohttpd::Status;
    /// assert_eq!(Status::new(404)?, Status::NOT_FOUND);
    /// assert!(Status::new(600).is_err());
    /// # Ok::<(), ecohttpd::Error>(())
    /// ```
    pub const fn new(code: u16) -> Result<Status> {
        match code {
            100..=599 => Ok(Status(code)),
            _ => Err(Error::Invalid("a status outside 100 to 599")),
        }
    }

    /// The usual reason phrase; empty for a code that has none.
    pub fn reason(self) -> &'static str {
        let mut at = 0;
        for &(code, length) in CODES {
            let end = at + usize::from(length);
            if code == self.0 {
                return REASONS.get(at..end).unwrap_or_default();
            }
            at = end;
        }
        ""
    }

    /// The code.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// Whether a response with this status ends at its head (RFC 9112, 6.3).
    pub(crate) fn bodiless(self) -> bool {
        matches!(self.0, 100..=199 | 204 | 304)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn codes_are_bounded() {
        assert!(Status::new(99).is_err() && Status::new(600).is_err());
        assert_eq!(Status::new(100).unwrap(), Status::CONTINUE);
        assert_eq!(Status::new(599).unwrap().reason(), "");
        for (status, text) in [
            (Status::CONTINUE, "100 Continue"),
            (Status::SWITCHING_PROTOCOLS, "101 Switching Protocols"),
            (Status::OK, "200 OK"),
            (Status::NOT_FOUND, "404 Not Found"),
            (Status::NETWORK_AUTHENTICATION_REQUIRED, "511 Network Authentication Required"),
        ] {
            assert_eq!(status.to_string(), text);
        }
    }
}

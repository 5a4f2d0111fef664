//! How a call ended, in the form in which it is reported to JavaScript: from gRPC's status, and from failures below
//! gRPC.

use std::error::Error;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use percent_encoding::percent_decode;

use crate::channel::{Health, NotSent};
use crate::code::Code;
use crate::frames::CallEnd;
use crate::message::ReadError;
use crate::reassembly::{FramingError, MOST_LENGTH};

const STATUS: &str = "grpc-status";

/// A call that ended without a status from the server.
pub fn ended(code: Code, details: impl Into<String>, sent: bool) -> CallEnd {
    CallEnd { code: code as u8, details: details.into(), sent }
}

/// The failure that a response's head reports, if any: an answer without a body, or one that isn't gRPC.
pub fn of_head(http: StatusCode, headers: &HeaderMap) -> Option<CallEnd> {
    if let Some(end) = of_metadata(headers) {
        // With OK there is no message. That is reported when the body is read.
        return (end.code != Code::Ok as u8).then_some(end);
    }
    if http == StatusCode::OK {
        let content = headers.get(CONTENT_TYPE)?;
        return (!content.as_bytes().starts_with(b"application/grpc")).then(|| {
            let content = String::from_utf8_lossy(content.as_bytes());
            ended(Code::Unknown, format!("the server's answer is not gRPC: its content type is {content}"), true)
        });
    }
    // https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
    let code = match http.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    Some(ended(code, format!("the server answered with HTTP status {http} and no gRPC status"), true))
}

/// The failure that trailers report, if any.
pub fn of_trailers(trailers: &HeaderMap) -> Option<CallEnd> {
    match of_metadata(trailers) {
        None => Some(ended(Code::Internal, "the server ended the call without a gRPC status", true)),
        Some(end) => (end.code != Code::Ok as u8).then_some(end),
    }
}

/// Whether metadata holds a status, with any code.
pub fn is_stated(metadata: &HeaderMap) -> bool {
    metadata.contains_key(STATUS)
}

/// The status that metadata holds. Malformed parts affect only themselves: an unknown code becomes UNKNOWN, and bytes
/// of the message that are not UTF-8 are replaced, as gRPC requires.
fn of_metadata(metadata: &HeaderMap) -> Option<CallEnd> {
    let code = Code::parse(metadata.get(STATUS)?.as_bytes());
    let message = metadata.get("grpc-message").map_or(&b""[..], HeaderValue::as_bytes);
    Some(ended(code, percent_decode(message).decode_utf8_lossy(), true))
}

/// A request that never left this process.
pub fn not_sent(error: &NotSent) -> CallEnd {
    match error {
        NotSent::NoConnection(error) => ended(Code::Unavailable, chain(&**error), false),
        NotSent::Broken(error) => ended(Code::Unavailable, chain(error), false),
    }
}

/// A call whose stream or connection broke, according to
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#errors>.
pub fn broken(error: &h2::Error, health: &Health) -> CallEnd {
    if let Some(why) = health.given_up() {
        return ended(Code::Unavailable, why, true);
    }
    let reason = error.reason();
    let code = match reason {
        _ if error.is_io() || error.is_go_away() => Code::Unavailable,
        Some(h2::Reason::REFUSED_STREAM) => Code::Unavailable,
        Some(h2::Reason::CANCEL) => Code::Cancelled,
        Some(h2::Reason::ENHANCE_YOUR_CALM) => Code::ResourceExhausted,
        Some(h2::Reason::INADEQUATE_SECURITY) => Code::PermissionDenied,
        _ => Code::Internal,
    };
    // A server that refuses a stream, or shuts down gracefully, has not looked at the request.
    let untouched = error.is_remote()
        && (reason == Some(h2::Reason::REFUSED_STREAM) && error.is_reset()
            || reason == Some(h2::Reason::NO_ERROR) && error.is_go_away());
    ended(code, chain(error), !untouched)
}

/// A call whose messages can't be read.
pub fn unreadable(error: &ReadError, health: &Health) -> CallEnd {
    match error {
        ReadError::Http2(error) => broken(error, health),
        ReadError::Framing(FramingError::Compressed) => {
            ended(Code::Internal, "the server sent a compressed message, which was not asked for", true)
        }
        ReadError::Framing(FramingError::TooLarge(length)) => {
            let details = format!("the server announced a message of {length} bytes; the limit is {MOST_LENGTH}");
            ended(Code::ResourceExhausted, details, true)
        }
        ReadError::Truncated => ended(Code::Internal, "the server ended the call within a message", true),
    }
}

/// A deadline in the form of gRPC's header: at most eight digits.
pub fn timeout_value(timeout: Duration) -> HeaderValue {
    let millis = timeout.as_millis();
    let text = if millis < 100_000_000 { format!("{millis}m") } else { format!("{}S", timeout.as_secs()) };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("99999999S"))
}

/// The messages of an error and its causes, each of them once.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::connect::dial::DialError;

    #[test]
    fn a_failed_connect_was_never_sent() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let end = not_sent(&NotSent::NoConnection(Arc::new(DialError::Connect(refused))));
        assert_eq!(end, ended(Code::Unavailable, "connect error: connection refused", false));
    }

    #[test]
    fn a_refused_stream_is_untouched_only_where_the_server_said_so() {
        let end = broken(&h2::Error::from(h2::Reason::REFUSED_STREAM), &Health::default());
        assert_eq!((end.code, end.sent), (14, true));
        let end = broken(&h2::Error::from(h2::Reason::CANCEL), &Health::default());
        assert_eq!((end.code, end.sent), (1, true));
    }

    #[test]
    fn keeps_the_servers_words() {
        let details = "etcdserver: mvcc: required revision has been compacted";
        let trailers: HeaderMap =
            [("grpc-status", "11"), ("grpc-message", "etcdserver:%20mvcc: required revision has been compacted")]
                .into_iter()
                .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), HeaderValue::from_static(value)))
                .collect();
        assert_eq!(of_trailers(&trailers), Some(ended(Code::OutOfRange, details, true)));
        assert_eq!(of_head(StatusCode::OK, &HeaderMap::new()), None);
        let mangled = [("grpc-status", "9"), ("grpc-message", "%ff%zz"), ("grpc-status-details-bin", "!!!")]
            .into_iter()
            .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), HeaderValue::from_static(value)))
            .collect();
        assert_eq!(of_trailers(&mangled), Some(ended(Code::FailedPrecondition, "\u{fffd}%zz", true)));
        assert_eq!(of_head(StatusCode::NOT_FOUND, &HeaderMap::new()).unwrap().code, 12);
    }

    #[test]
    fn writes_deadlines_of_any_length() {
        assert_eq!(timeout_value(Duration::from_millis(150)), "150m");
        assert_eq!(timeout_value(Duration::from_millis(u32::MAX.into())), "4294967S");
    }
}

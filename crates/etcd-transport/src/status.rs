//! What a failed call tells JavaScript, from tonic's statuses and the errors behind them.

use std::error::Error;

use tonic::{Code, ConnectError, Status, TimeoutExpired};

use crate::frames::CallEnd;

/// The last frame's content for a call that failed.
pub fn failure(status: &Status) -> CallEnd {
    let mut code = status.code();
    let mut sent = true;
    let mut details = status.message().to_owned();
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            sent = false;
            // tonic names the kind of failure there, and the reason ("Connection refused") only deeper.
            details = chain(error);
            break;
        }
        if error.is::<TimeoutExpired>() {
            code = Code::DeadlineExceeded;
        }
        cause = error.source();
    }
    // Only failures of the connection have a source: a status from the server has none.
    if sent && let Some(source) = status.source() {
        code = connection_code(source).unwrap_or(code);
        details = chain(source);
    }
    CallEnd { code: code_byte(code), details, sent }
}

/// The code for an error of the connection, after
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#errors>; `None` leaves tonic's own.
fn connection_code(error: &(dyn Error + 'static)) -> Option<Code> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<std::io::Error>() {
            return Some(Code::Unavailable);
        }
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return Some(match error.reason() {
                _ if error.is_io() || error.is_go_away() => Code::Unavailable,
                Some(h2::Reason::REFUSED_STREAM) => Code::Unavailable,
                Some(h2::Reason::CANCEL) => Code::Cancelled,
                Some(h2::Reason::ENHANCE_YOUR_CALM) => Code::ResourceExhausted,
                Some(h2::Reason::INADEQUATE_SECURITY) => Code::PermissionDenied,
                _ => Code::Internal,
            });
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_closed() || error.is_canceled() || error.is_incomplete_message())
        {
            return Some(Code::Unavailable);
        }
        cause = error.source();
    }
    None
}

/// The messages of an error and its causes, each told once.
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

/// A call that ends without a status of the server's.
pub fn ended(code: Code, details: impl Into<String>, sent: bool) -> CallEnd {
    CallEnd { code: code_byte(code), details: details.into(), sent }
}

fn code_byte(code: Code) -> u8 {
    // gRPC's codes are 0 to 16.
    i32::from(code) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_failed_connect_as_never_sent() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let end = failure(&Status::from_error(Box::new(ConnectError(Box::new(refused)))));
        assert_eq!((end.code, end.sent), (14, false));
        assert!(end.details.contains("connection refused"), "{}", end.details);
    }

    #[test]
    fn tells_a_broken_connection_as_unavailable_and_maybe_sent() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let end = failure(&Status::from_error(Box::new(reset)));
        assert_eq!((end.code, end.sent), (14, true));
    }

    #[test]
    fn keeps_the_servers_words() {
        let end = failure(&Status::new(Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted"));
        assert_eq!(end, ended(Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted", true));
    }
}

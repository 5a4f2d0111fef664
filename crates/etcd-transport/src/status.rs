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
    if sent && let Some(source) = status.source() {
        // Set for failures of the connection only: a status from the server has no source.
        if matches!(code, Code::Unknown | Code::Internal | Code::Cancelled) && connection_broke(source) {
            code = Code::Unavailable;
        }
        details = chain(source);
    }
    CallEnd { code: code_byte(code), details, sent }
}

/// A connection that broke under a call is UNAVAILABLE in gRPC; tonic tells it as the error it met first.
fn connection_broke(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<std::io::Error>() {
            return true;
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_closed() || error.is_incomplete_message() || error.is_canceled())
        {
            return true;
        }
        cause = error.source();
    }
    false
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

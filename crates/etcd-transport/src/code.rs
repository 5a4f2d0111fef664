//! gRPC's status codes, after <https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>.

/// How a call ended. The number is the one that gRPC sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

const ALL: [Code; 17] = [
    Code::Ok,
    Code::Cancelled,
    Code::Unknown,
    Code::InvalidArgument,
    Code::DeadlineExceeded,
    Code::NotFound,
    Code::AlreadyExists,
    Code::PermissionDenied,
    Code::ResourceExhausted,
    Code::FailedPrecondition,
    Code::Aborted,
    Code::OutOfRange,
    Code::Unimplemented,
    Code::Internal,
    Code::Unavailable,
    Code::DataLoss,
    Code::Unauthenticated,
];

impl Code {
    /// Parses the decimal number in metadata. Any other number is UNKNOWN, as gRPC requires.
    pub fn parse(text: &[u8]) -> Self {
        let number = match *text {
            [ones @ b'0'..=b'9'] => ones - b'0',
            [b'1', ones @ b'0'..=b'6'] => 10 + ones - b'0',
            _ => return Self::Unknown,
        };
        ALL[usize::from(number)]
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL, Code};

    #[test]
    fn reads_each_number_and_nothing_else() {
        for (number, code) in ALL.into_iter().enumerate() {
            assert_eq!(code as usize, number);
            assert_eq!(Code::parse(number.to_string().as_bytes()), code);
        }
        for wrong in [&b""[..], b"17", b"20", b"99", b"-1", b"00", b"01", b"1 ", b"116", b"OK"] {
            assert_eq!(Code::parse(wrong), Code::Unknown);
        }
    }
}

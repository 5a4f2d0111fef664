//! Starts one program.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with, socketpair};

use crate::launch::Image;
use crate::protocol::Start;

/// The descriptor on which a program reports that its work is done.
pub const DONE: u8 = 3;
const MOST_WAITING: i32 = 64;

/// A stream of a program, to be read: 1 is its standard output, 2 its standard error, 3 its descriptor 3.
pub struct Stream {
    pub id: u32,
    pub number: u8,
    pub from: OwnedFd,
}

/// Where processes that were started without descriptor 3 connect, to get another channel to its reader.
pub struct Listener {
    pub id: u32,
    pub at: OwnedFd,
}

/// A program to run, with all that it needs. What takes time and doesn't depend on other programs is done.
pub struct Prepared {
    pub id: u32,
    pub sequence: u32,
    image: Image,
    /// What becomes its descriptors 1, 2 and 3.
    given: [Option<OwnedFd>; 3],
    streams: Vec<Stream>,
    listener: Option<Listener>,
}

/// A running program.
pub struct Started {
    pub pid: u32,
    pub streams: Vec<Stream>,
    pub listener: Option<Listener>,
}

/// Prepares a program that will be the leader of its own session and group, without standard input.
pub fn prepare(request: &Start) -> io::Result<Prepared> {
    let image = Image::new(&request.words, &request.env, &request.cwd)?;
    let mut streams = Vec::new();
    let mut given = [None, None, None];
    for (number, place) in (1..=request.streams).zip(&mut given) {
        let (from, to) = if number == DONE {
            // A socket, because it shows which process made it: the witness writes to no other.
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?
        } else {
            let (from, to) = io::pipe()?;
            (from.into(), to.into())
        };
        *place = Some(to);
        streams.push(Stream { id: request.id, number, from });
    }
    let listener = if request.socket.is_empty() { None } else { Some(listener(request)?) };
    Ok(Prepared { id: request.id, sequence: request.sequence, image, given, streams, listener })
}

impl Prepared {
    /// Starts it. What it isn't given is `null`, except for its descriptor 3. `null` is descriptor 3 here, so that none that
    /// is given has that number.
    pub fn launch(self, null: BorrowedFd<'_>) -> io::Result<Started> {
        let [out, err, done] = self.given.each_ref().map(|given| given.as_ref().map(AsRawFd::as_raw_fd));
        let null = null.as_raw_fd();
        let pid = self.image.launch([Some(null), Some(out.unwrap_or(null)), Some(err.unwrap_or(null)), done])?;
        Ok(Started { pid, streams: self.streams, listener: self.listener })
    }
}

fn listener(request: &Start) -> io::Result<Listener> {
    let at = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    bind(&at, &SocketAddrUnix::new_abstract_name(request.socket.as_bytes())?)?;
    listen(&at, MOST_WAITING)?;
    Ok(Listener { id: request.id, at })
}

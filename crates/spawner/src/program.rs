//! Starts one program.

use std::fs::OpenOptions;
use std::io::{self, PipeWriter};
use std::os::fd::{AsRawFd, OwnedFd};
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

/// A running program.
pub struct Started {
    pub pid: u32,
    pub streams: Vec<Stream>,
    pub listener: Option<Listener>,
}

/// Starts a program as the leader of its own session and group, without standard input.
pub fn start(request: &Start) -> io::Result<Started> {
    let image = Image::new(&request.words, &request.env, &request.cwd)?;
    let mut streams = Vec::new();
    let mut read = |number, from| streams.push(Stream { id: request.id, number, from });
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let mut output = |number| -> io::Result<Option<PipeWriter>> {
        if request.streams < number {
            return Ok(None);
        }
        let (from, to) = io::pipe()?;
        read(number, from.into());
        Ok(Some(to))
    };
    let (out, err) = (output(1)?, output(2)?);
    let mut done = None;
    if request.streams >= 3 {
        // A socket, because it shows which process made it: the witness writes to no other.
        let (from, to) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        done = Some(to);
        read(DONE, from);
    }
    let listener = if request.socket.is_empty() { None } else { Some(listener(request)?) };
    let of = |output: &Option<PipeWriter>| output.as_ref().map_or(null.as_raw_fd(), AsRawFd::as_raw_fd);
    let done = done.as_ref().map(AsRawFd::as_raw_fd);
    // Descriptor 3 is none of these: `serve` occupies it.
    let pid = image.launch([Some(null.as_raw_fd()), Some(of(&out)), Some(of(&err)), done])?;
    Ok(Started { pid, streams, listener })
}

fn listener(request: &Start) -> io::Result<Listener> {
    let at = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    bind(&at, &SocketAddrUnix::new_abstract_name(request.socket.as_bytes())?)?;
    listen(&at, MOST_WAITING)?;
    Ok(Listener { id: request.id, at })
}

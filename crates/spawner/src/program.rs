//! Starts one program.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with, socketpair};

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
    let [program, arguments @ ..] = &request.words[..] else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(&request.cwd)
        .env_clear()
        .envs(request.env.iter().filter_map(|text| variable(text)));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut streams = Vec::new();
    let mut read = |number, from| streams.push(Stream { id: request.id, number, from });
    if request.streams >= 1 {
        let (from, to) = io::pipe()?;
        command.stdout(to);
        read(1, from.into());
    }
    if request.streams >= 2 {
        let (from, to) = io::pipe()?;
        command.stderr(to);
        read(2, from.into());
    }
    let mut done = None;
    if request.streams >= 3 {
        // A socket, because it shows which process made it: the witness writes to no other.
        let (from, to) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        done = Some(to);
        read(DONE, from);
    }
    let listener = if request.socket.is_empty() { None } else { Some(listener(request)?) };
    let fd = done.as_ref().map(AsRawFd::as_raw_fd);
    // SAFETY: both calls are async-signal-safe, and nothing is allocated. The child doesn't need what its descriptor 3
    // was: `serve` occupies that number.
    unsafe {
        command.pre_exec(move || {
            if libc::setsid() < 0 || fd.is_some_and(|fd| libc::dup2(fd, DONE.into()) < 0) {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    // `Child` doesn't wait for it: `serve` waits for all children.
    let child = command.spawn()?;
    Ok(Started { pid: child.id(), streams, listener })
}

fn listener(request: &Start) -> io::Result<Listener> {
    let at = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    bind(&at, &SocketAddrUnix::new_abstract_name(request.socket.as_bytes())?)?;
    listen(&at, MOST_WAITING)?;
    Ok(Listener { id: request.id, at })
}

fn variable(text: &OsStr) -> Option<(&OsStr, &OsStr)> {
    let bytes = text.as_bytes();
    // A name may begin with "=", though none should.
    let at = 1 + bytes.get(1..)?.iter().position(|&byte| byte == b'=')?;
    Some((OsStr::from_bytes(&bytes[..at]), OsStr::from_bytes(&bytes[at + 1..])))
}

//! The loop: requests in, programs' output and ends out.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read};
use rustix::net::{AddressFamily, SocketFlags, SocketType, accept_with, socketpair};
use rustix::process::{Resource, Rlimit, getpid, getrlimit, set_child_subreaper, setrlimit};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use crate::children;
use crate::leftovers::Leftovers;
use crate::program::{DONE, Listener, Started, Stream, start};
use crate::protocol::{Ending, Malformed, Reply, Request, next_request, push_reply};

const MOST_READ: usize = 64 * 1024;
const READABLE: PollFlags = PollFlags::IN.union(PollFlags::HUP).union(PollFlags::ERR);

/// Serves the tester until it is gone, then ends everything that came from its programs, and removes what it has left.
pub fn serve() -> io::Result<()> {
    let wakes = prepare()?;
    let mut spawner = Spawner::default();
    let served = spawner.serve(&wakes);
    children::end_all();
    spawner.leftovers.remove();
    match served {
        // The tester is gone: nothing reads the answers.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        served => served,
    }
}

/// Returns a descriptor that becomes readable when a child has ended.
fn prepare() -> io::Result<OwnedFd> {
    // Occupies descriptor 3 from here on, so that a program's descriptor 3 never replaces one that starting it needs.
    std::mem::forget(std::fs::File::open("/dev/null")?);
    set_child_subreaper(Some(getpid()))?;
    let limit = getrlimit(Resource::Core);
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: limit.maximum })?;
    // A signal to all processes of a terminal or a user is for the tester to handle.
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::default())?;
    }
    let flags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);
    let (wakes, wake) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    signal_hook::low_level::pipe::register(SIGCHLD, wake)?;
    Ok(wakes)
}

#[derive(Default)]
struct Spawner {
    /// The tester's number of each program, by process.
    programs: HashMap<i32, u32>,
    streams: Vec<Stream>,
    listeners: Vec<Listener>,
    /// Streams of running programs, by program and number, that nothing can write to any more. They are reported
    /// together with the program's end, as each report wakes the tester.
    ended: Vec<(u32, u8)>,
    leftovers: Leftovers,
    /// Requests that were read. The last may be incomplete.
    input: Vec<u8>,
    /// Answers that must be written.
    output: Vec<u8>,
}

impl Spawner {
    fn serve(&mut self, wakes: &OwnedFd) -> io::Result<()> {
        let requests = rustix::stdio::stdin();
        let mut answers = io::stdout().lock();
        let mut buffer = vec![0; MOST_READ];
        loop {
            let (asked, woken, written, called) = self.wait(wakes)?;
            // A program's output is sent before its end.
            self.pass_on(&written, &mut buffer);
            self.accept(&called);
            if woken {
                while matches!(read(wakes, &mut buffer[..]), Ok(1..)) {}
                self.report_ends();
            }
            if asked {
                match read(requests, &mut buffer[..]) {
                    Ok(0) => return Ok(()),
                    Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(error) => return Err(error.into()),
                }
                self.obey()?;
            }
            if !self.output.is_empty() {
                answers.write_all(&self.output)?;
                answers.flush()?;
                self.output.clear();
            }
        }
    }

    /// Waits until there is something to do: a request, an ended child, streams (by position) with something to read,
    /// or listeners (by position) with a connection to accept.
    fn wait(&self, wakes: &OwnedFd) -> io::Result<(bool, bool, Vec<usize>, Vec<usize>)> {
        let requests = rustix::stdio::stdin();
        let mut polled = vec![PollFd::from_borrowed_fd(requests, READABLE), PollFd::new(wakes, READABLE)];
        polled.extend(self.streams.iter().map(|stream| PollFd::from_borrowed_fd(stream.from.as_fd(), READABLE)));
        polled.extend(self.listeners.iter().map(|listener| PollFd::from_borrowed_fd(listener.at.as_fd(), READABLE)));
        match poll(&mut polled, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = polled.iter().map(|polled| !polled.revents().is_empty());
        let (asked, woken) = (ready.next().unwrap_or(false), ready.next().unwrap_or(false));
        let mut places = |count| -> Vec<usize> {
            ready.by_ref().take(count).enumerate().filter_map(|(place, ready)| ready.then_some(place)).collect()
        };
        let (written, called) = (places(self.streams.len()), places(self.listeners.len()));
        Ok((asked, woken, written, called))
    }

    /// From here on, what arrives on such a connection counts as if it came on descriptor 3.
    fn accept(&mut self, places: &[usize]) {
        for &place in places {
            let Listener { id, at } = &self.listeners[place];
            while let Ok(from) = accept_with(at, SocketFlags::CLOEXEC) {
                self.streams.push(Stream { id: *id, number: DONE, from });
            }
        }
    }

    /// Reports that a stream has ended, once nothing can write to it any more.
    fn end_unless_open(&mut self, id: u32, number: u8) {
        let open = self.streams.iter().any(|one| one.id == id && one.number == number)
            || number == DONE && self.listeners.iter().any(|one| one.id == id);
        if open {
            return;
        }
        if self.programs.values().any(|&running| running == id) {
            self.ended.push((id, number));
        } else {
            push_reply(&mut self.output, id, &Reply::End(number));
        }
    }

    fn pass_on(&mut self, places: &[usize], buffer: &mut [u8]) {
        let mut ended = Vec::new();
        for &place in places {
            let Stream { id, number, from } = &self.streams[place];
            match read(from, &mut *buffer) {
                Ok(count @ 1..) => push_reply(&mut self.output, *id, &Reply::Data(*number, &buffer[..count])),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Ok(0) | Err(_) => ended.push(place),
            }
        }
        for place in ended.into_iter().rev() {
            let Stream { id, number, .. } = self.streams.swap_remove(place);
            self.end_unless_open(id, number);
        }
    }

    fn report_ends(&mut self) {
        let mut ends = Vec::new();
        while let Some((pid, status)) = children::ended() {
            let ending = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Ending::Exited(code.unsigned_abs()),
                (None, Some(signal)) => Ending::Signalled(signal.unsigned_abs()),
                (None, None) => continue,
            };
            let Some(id) = self.programs.remove(&pid.as_raw_nonzero().get()) else { continue };
            ends.push((id, ending));
        }
        let alone = !ends.is_empty() && children::are_only(self.programs.len());
        for (id, ending) in ends {
            if let Some(place) = self.listeners.iter().position(|listener| listener.id == id) {
                self.listeners.swap_remove(place);
                self.end_unless_open(id, DONE);
            }
            for (_, number) in self.ended.extract_if(.., |(of, _)| *of == id) {
                push_reply(&mut self.output, id, &Reply::End(number));
            }
            push_reply(&mut self.output, id, &Reply::Ended(ending, alone));
        }
    }

    fn obey(&mut self) -> io::Result<()> {
        while let Some(request) = next_request(&mut self.input) {
            match request {
                Ok(Request::Start(request)) => match start(&request) {
                    Ok(Started { pid, streams, listener }) => {
                        self.programs.insert(pid.cast_signed(), request.id);
                        self.streams.extend(streams);
                        self.listeners.extend(listener);
                        push_reply(&mut self.output, request.id, &Reply::Started(pid));
                    }
                    Err(error) => {
                        let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
                        push_reply(&mut self.output, request.id, &Reply::Failed(errno));
                    }
                },
                Ok(Request::Close { id, stream }) => {
                    self.streams.retain(|one| one.id != id || one.number != stream);
                    self.listeners.retain(|one| one.id != id || stream != DONE);
                }
                Ok(Request::Remember { id, path }) => self.leftovers.remember(id, path),
                Ok(Request::Forget { id }) => self.leftovers.forget(id),
                Err(Malformed) => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        Ok(())
    }
}

//! The loop: requests in, programs' output and ends out.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use rustix::net::{AddressFamily, SocketFlags, SocketType, accept_with, socketpair};
use rustix::process::{Resource, Rlimit, getpid, getrlimit, set_child_subreaper, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use crate::children;
use crate::delays::Delays;
use crate::leftovers::Leftovers;
use crate::program::{DONE, Listener, Prepared, Started, Stream, prepare};
use crate::protocol::{Ending, Malformed, Reply, Request, Rest, next_request, push_reply};
use crate::sequence::Sequences;

const MOST_READ: usize = 64 * 1024;
const READABLE: PollFlags = PollFlags::IN.union(PollFlags::HUP).union(PollFlags::ERR);

/// How the lines begin that the witness writes at the very end of a process.
const LEFT: [&[u8]; 2] = [b"thread", b"socket"];

/// Serves the tester until it is gone, then ends everything that came from its programs, and removes what it has left.
pub fn serve() -> io::Result<()> {
    // Occupies descriptor 3 from here on, so that a program's descriptor 3 never replaces one that starting it needs.
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let wakes = receive_signals()?;
    let mut spawner = Spawner::new(null.into());
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
fn receive_signals() -> io::Result<OwnedFd> {
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

struct Spawner {
    /// `/dev/null`.
    null: OwnedFd,
    /// The tester's number of each program, by process.
    programs: HashMap<i32, u32>,
    streams: Vec<Stream>,
    listeners: Vec<Listener>,
    sequences: Sequences,
    /// Streams of running programs, by program and number, that nothing can write to any more. They are reported
    /// together with the program's end, as each report wakes the tester.
    ended: Vec<(u32, u8)>,
    leftovers: Leftovers,
    /// Requests that were read. The last may be incomplete.
    input: Vec<u8>,
    /// Answers that must be written.
    output: Vec<u8>,
    /// Whether one of them can't wait for the next.
    due: bool,
    /// The time of what is reported now.
    now_us: u64,
    /// When the last wait has ended.
    woken_us: u64,
    /// When what it waited for may have happened first.
    since_us: u64,
    delays: Delays,
}

impl Spawner {
    fn new(null: OwnedFd) -> Self {
        Self {
            null,
            programs: HashMap::new(),
            streams: Vec::new(),
            listeners: Vec::new(),
            sequences: Sequences::default(),
            ended: Vec::new(),
            leftovers: Leftovers::default(),
            input: Vec::new(),
            output: Vec::new(),
            due: false,
            now_us: 0,
            woken_us: 0,
            since_us: 0,
            delays: Delays::new(),
        }
    }

    fn serve(&mut self, wakes: &OwnedFd) -> io::Result<()> {
        let requests = rustix::stdio::stdin();
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
            if self.due {
                self.send_answers()?;
            }
        }
    }

    /// Sends all answers at once, as each part would wake the tester. Rust's own standard output would part them at
    /// bytes that are newlines in a text.
    fn send_answers(&mut self) -> io::Result<()> {
        let mut rest = &self.output[..];
        while !rest.is_empty() {
            match write(rustix::stdio::stdout(), rest) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.output.clear();
        self.due = false;
        Ok(())
    }

    fn answer(&mut self, id: u32, reply: &Reply<'_>) {
        push_reply(&mut self.output, id, self.now_us, reply);
        self.due = true;
    }

    /// Waits until there is something to do: a request, an ended child, streams (by position) with something to read,
    /// or listeners (by position) with a connection to accept. Notes when that was.
    fn wait(&mut self, wakes: &OwnedFd) -> io::Result<(bool, bool, Vec<usize>, Vec<usize>)> {
        let requests = rustix::stdio::stdin();
        let mut polled = vec![PollFd::from_borrowed_fd(requests, READABLE), PollFd::new(wakes, READABLE)];
        polled.extend(self.streams.iter().map(|stream| PollFd::from_borrowed_fd(stream.from.as_fd(), READABLE)));
        polled.extend(self.listeners.iter().map(|listener| PollFd::from_borrowed_fd(listener.at.as_fd(), READABLE)));
        // What is there already has happened since the last wait.
        self.since_us = self.woken_us;
        if !is_ready(poll(&mut polled, Some(&Timespec::default())))? {
            let asleep_us = monotonic_us();
            self.delays.added_us();
            is_ready(poll(&mut polled, None))?;
            // This process may have had to wait for a CPU.
            self.since_us = monotonic_us().saturating_sub(self.delays.added_us()).max(asleep_us);
        }
        self.woken_us = monotonic_us();
        self.now_us = self.woken_us;
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
            self.answer(id, &Reply::End(number));
        }
    }

    fn pass_on(&mut self, places: &[usize], buffer: &mut [u8]) {
        let mut ended = Vec::new();
        for &place in places {
            let Stream { id, number, from } = &self.streams[place];
            match read(from, &mut *buffer) {
                Ok(count @ 1..) => {
                    let data = &buffer[..count];
                    // The time from "work done" to the end would be too short if it were the time of reading.
                    let us = if *number == DONE { self.since_us } else { self.now_us };
                    push_reply(&mut self.output, *id, us, &Reply::Data(*number, data));
                    // The tester needs what was left only when the program has ended, right after it has said that.
                    self.due |= *number != DONE || !only_left(data);
                }
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
                push_reply(&mut self.output, id, self.now_us, &Reply::End(number));
            }
            // A run that failed may be the last one.
            let passed = alone && ending == Ending::Exited(0) && !self.streams.iter().any(|stream| stream.id == id);
            self.answer(id, &Reply::Ended(ending, Rest { alone, passed }));
            if passed {
                self.go_on_after(id);
            }
        }
    }

    /// Starts the next program of a sequence after one that is over.
    fn go_on_after(&mut self, id: u32) {
        if let Some(next) = self.sequences.next_after(id) {
            self.launch(next);
        }
    }

    fn launch(&mut self, program: Prepared) {
        self.now_us = monotonic_us();
        let id = program.id;
        match program.launch(self.null.as_fd()) {
            Ok(Started { pid, streams, listener }) => {
                self.programs.insert(pid.cast_signed(), id);
                self.streams.extend(streams);
                self.listeners.extend(listener);
                self.answer(id, &Reply::Started(pid));
            }
            Err(error) => {
                self.fail(id, &error);
                self.go_on_after(id);
            }
        }
    }

    fn fail(&mut self, id: u32, error: &io::Error) {
        self.answer(id, &Reply::Failed(error.raw_os_error().unwrap_or(libc::EINVAL)));
    }

    fn obey(&mut self) -> io::Result<()> {
        while let Some(request) = next_request(&mut self.input) {
            match request {
                Ok(Request::Start(request)) => match prepare(&request) {
                    Ok(program) => {
                        if let Some(program) = self.sequences.admit(program) {
                            self.launch(program);
                        }
                    }
                    Err(error) => self.fail(request.id, &error),
                },
                Ok(Request::Over { id }) => {
                    if !self.programs.values().any(|&running| running == id) {
                        self.go_on_after(id);
                    }
                }
                Ok(Request::Cancel { sequence }) => {
                    for id in self.sequences.cancel(sequence) {
                        self.answer(id, &Reply::Failed(libc::ECANCELED));
                    }
                }
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

/// Whether these are lines of what was left, and no others. Another process may have written one to the same channel.
fn only_left(data: &[u8]) -> bool {
    data.split(|&byte| byte == b'\n').all(|line| line.is_empty() || LEFT.iter().any(|word| line.starts_with(word)))
}

fn is_ready(polled: rustix::io::Result<usize>) -> io::Result<bool> {
    match polled {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn monotonic_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1_000
}

#[cfg(test)]
mod tests {
    use super::only_left;

    #[test]
    fn a_crash_behind_what_was_left_does_not_wait() {
        assert!(only_left(b"thread\t1\t2\tpool\nthreads\t1\t1\nsocket\t1\n"));
        assert!(!only_left(b"thread\t1\t2\tpool\nthreads\t1\t1\ncrash\t3\t3\t6\tmain\n"));
        assert!(!only_left(b"done\n"));
    }
}

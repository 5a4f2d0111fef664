//! What is left at the end of the process. It is reported when all exit handlers and destructors have run, right before
//! the kernel ends the process.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use preload::{Line, Next, call_next, process, sandbox};

use crate::crash::unloaded::with_module;
use crate::{channel, crash, helpers, task, threads, timeline};

mod descriptors;
mod hotspot;

/// Further ones are counted, but not named.
const MOST_THREADS: usize = 64;
const MOST_SOCKETS: usize = 32;

static EXIT: Next = Next::new(c"_exit");
static OWNER: AtomicI32 = AtomicI32::new(0);
static REPORTED: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    fn __cxa_atexit(handler: extern "C" fn(*mut c_void), argument: *mut c_void, library: *mut c_void) -> c_int;
    fn __cxa_at_quick_exit(handler: extern "C" fn(*mut c_void), library: *mut c_void) -> c_int;
}

/// The handler that is registered first runs last, even after the loader has run the libraries' destructors: the loader
/// does that in a handler that is registered when the program starts. This one belongs to no library, so unloading a
/// library doesn't run it.
///
/// Only the process under test reports what is left, not its children.
pub fn install(reports: bool) {
    if reports {
        OWNER.store(process::id(), Ordering::Relaxed);
    }
    // SAFETY: the handler stays valid for the process's life, as preloaded libraries aren't unloaded.
    unsafe { __cxa_atexit(at_end, std::ptr::null_mut(), std::ptr::null_mut()) };
    // The separate list of `quick_exit`, which Bun uses to end.
    // SAFETY: as above.
    unsafe { __cxa_at_quick_exit(at_end, std::ptr::null_mut()) };
}

extern "C" fn at_end(_argument: *mut c_void) {
    crash::wait_if_dying();
    timeline::is_through();
    report();
}

/// Wraps the C library's `_exit`, which skips all handlers.
///
/// # Safety
/// Same as for `_exit`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _exit(status: c_int) -> ! {
    crash::wait_if_dying();
    timeline::ends("_exit");
    report();
    call_next!(EXIT(status: c_int) -> !)
}

/// Another name of `_exit`.
///
/// # Safety
/// Same as for `_Exit`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _Exit(status: c_int) -> ! {
    // SAFETY: the caller's argument.
    unsafe { _exit(status) }
}

/// Runs once, and not in a child that was forked without exec: what such a child has belongs to its parent.
fn report() {
    if sandbox::is_entered() {
        return;
    }
    let pid = process::id();
    if pid != OWNER.load(Ordering::Relaxed) || REPORTED.swap(true, Ordering::AcqRel) || !channel::reach() {
        return;
    }
    report_threads(pid);
    report_sockets(pid);
}

fn report_threads(pid: i32) {
    threads::settle();
    let own = process::thread_id();
    let mut count = 0;
    let seen = task::is_only_one()
        || descriptors::each_number_in(c"/proc/self/task", |tid| {
            if tid == own || tid == pid && task::has_ended(tid) {
                return;
            }
            // Other threads may still create threads.
            let start = threads::start_of(tid).or_else(|| {
                threads::settle();
                threads::start_of(tid)
            });
            if task::ends_by_itself(tid) || start.is_none() && helpers::is_helper(tid) {
                return;
            }
            let (start, starter) = start.unwrap_or((0, 0));
            if with_module(start, |library, _| library.ends_with(b"/libjvm.so")) && hotspot::has_left_java(tid) {
                return;
            }
            let mut buffer = [0; 64];
            let mut reader = task::open(tid, "comm");
            // A thread without a name has ended meanwhile.
            let Some(name) = reader.line(&mut buffer) else { return };
            count += 1;
            if count <= MOST_THREADS {
                let line = Line::new("thread").field(pid).field(tid).text(name);
                let (line, gone) = with_module(starter, |library, gone| (line.text(library), gone));
                let line =
                    if start == starter { line.text(b"") } else { with_module(start, |library, _| line.text(library)) };
                channel::send(&line.text(if gone { b"unloaded" } else { b"" }).end());
            }
        });
    // In a chroot without /proc, or without a free descriptor, nothing is known.
    if seen {
        channel::send(&Line::new("threads").field(pid).field(count).end());
    }
}

fn report_sockets(pid: i32) {
    let mut count = 0;
    descriptors::each(|fd| {
        if fd == channel::fd() || count == MOST_SOCKETS {
            return;
        }
        let (Some(local), listening) = (address(fd, libc::getsockname), option(fd, libc::SO_ACCEPTCONN) == Some(1))
        else {
            return;
        };
        count += 1;
        let line = Line::new("socket").field(pid).field(fd);
        let line = match (listening, address(fd, libc::getpeername)) {
            (true, _) => line.text(b"listening").field(local),
            (false, Some(peer)) => line.text(b"connected").field(peer),
            (false, None) => line.text(b"unconnected").field(local),
        };
        channel::send(&line.end());
    });
}

fn option(fd: i32, name: c_int) -> Option<c_int> {
    let mut value: c_int = 0;
    let mut length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: `value` and `length` are valid for writes, and `length` is the size of `value`.
    let result = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, name, (&raw mut value).cast(), &raw mut length) };
    (result == 0).then_some(value)
}

type Ask = unsafe extern "C" fn(c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> c_int;

/// An internet address of a socket. Unix sockets are left out: hosts keep pairs of them for their own use.
fn address(fd: i32, ask: Ask) -> Option<SocketAddr> {
    // SAFETY: all zeros is a valid sockaddr_storage.
    let mut storage = unsafe { MaybeUninit::<libc::sockaddr_storage>::zeroed().assume_init() };
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: the storage is as long as stated and fits every kind of address.
    if unsafe { ask(fd, (&raw mut storage).cast(), &raw mut length) } != 0 {
        return None;
    }
    match c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which kind it is, and the storage is aligned for all.
            let v4 = unsafe { *(&raw const storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::new(ip.into(), u16::from_be(v4.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { *(&raw const storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddr::new(ip.into(), u16::from_be(v6.sin6_port)))
        }
        _ => None,
    }
}

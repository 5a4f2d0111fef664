//! The channel to the tester: the socket that `QUIESCE_DONE_FD` names. Node, Python and others close it in the
//! processes that they start. If such a process dies, it connects to the tester at the address in
//! `QUIESCE_WITNESS_SOCKET`.

use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use preload::{Line, environment};

/// -1 if there is no tester.
static FD: AtomicI32 = AtomicI32::new(-1);
static TESTER: AtomicI32 = AtomicI32::new(-1);
/// The socket that `call` has opened.
static CALLED: AtomicI32 = AtomicI32::new(-1);

/// The name of an abstract socket.
static ADDRESS: OnceLock<([u8; MOST_ADDRESS], usize)> = OnceLock::new();
const MOST_ADDRESS: usize = 64;

/// How the tester can be reached.
#[derive(PartialEq)]
pub enum Way {
    /// Through the socket that this process inherited from the tester.
    Open,
    /// By connecting to it.
    Call,
}

/// Finds the tester. `None` if this process doesn't run under a tester that wants a witness.
pub fn find() -> Option<Way> {
    let fd = environment::int(c"QUIESCE_DONE_FD")?;
    TESTER.store(environment::int(c"QUIESCE_WITNESS")?, Ordering::Relaxed);
    FD.store(fd, Ordering::Relaxed);
    if let Some(name) = environment::text(c"QUIESCE_WITNESS_SOCKET").filter(|name| name.len() <= MOST_ADDRESS) {
        let mut address = [0; MOST_ADDRESS];
        address[..name.len()].copy_from_slice(name);
        ADDRESS.get_or_init(|| (address, name.len()));
    }
    let way = if is_open() { Some(Way::Open) } else { ADDRESS.get().map(|_| Way::Call) };
    if way.is_some() {
        // Yama may restrict debuggers. This permits those that the tester starts to attach to this process.
        // SAFETY: takes numbers only, and fails harmlessly where there is no Yama.
        unsafe { libc::prctl(libc::PR_SET_PTRACER, TESTER.load(Ordering::Relaxed) as libc::c_ulong) };
    }
    way
}

/// Whether a line can be sent to the tester: on the inherited socket, or else on one that is opened now. Async-signal-safe.
pub fn reach() -> bool {
    is_open() || call()
}

fn call() -> bool {
    let Some((name, length)) = ADDRESS.get() else { return false };
    // SAFETY: all zeros is a valid address of any family.
    let mut address = unsafe { MaybeUninit::<libc::sockaddr_un>::zeroed().assume_init() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    // An abstract name begins with NUL.
    for (to, from) in address.sun_path[1..].iter_mut().zip(&name[..*length]) {
        *to = *from as libc::c_char;
    }
    let size = size_of::<libc::sa_family_t>() + 1 + length;
    // SAFETY: numbers, and an address that is valid for that many bytes.
    unsafe {
        let fd = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 || libc::connect(fd, (&raw const address).cast(), size as libc::socklen_t) != 0 {
            return false;
        }
        FD.store(fd, Ordering::Relaxed);
        CALLED.store(fd, Ordering::Relaxed);
    }
    is_open()
}

/// Whether the descriptor still leads to the tester. The program may have closed it and got the same number for a file
/// of its own, and nothing must be written to that. Only the tester's socket was made by the tester. Async-signal-safe.
pub fn is_open() -> bool {
    let fd = FD.load(Ordering::Relaxed);
    if fd < 0 {
        return false;
    }
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `peer` and `length` are valid for writes, and `length` is the size of `peer`.
    let result =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut peer).cast(), &raw mut length) };
    // In another PID namespace, the tester has no number. Then the socket's name alone, which is unique, identifies the
    // tester.
    let known = peer.pid == TESTER.load(Ordering::Relaxed) || (peer.pid == 0 && fd == CALLED.load(Ordering::Relaxed));
    result == 0 && known
}

/// The descriptor of the tester's socket.
pub fn fd() -> i32 {
    FD.load(Ordering::Relaxed)
}

/// Sends one line. Gives up instead of waiting if the tester doesn't read. Async-signal-safe.
pub fn send(line: &Line) {
    let bytes = line.as_bytes();
    // SAFETY: the pointer and the length are those of a live slice.
    unsafe {
        libc::send(fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT);
    }
}

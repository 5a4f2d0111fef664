//! The descriptors of this process, from 3 on. Nothing here allocates.

use std::ffi::CStr;
use std::ptr;

/// The kernel begins with a table for this many, and processes rarely need more.
const FEW: usize = 64;
const FIRST: usize = 3;

/// Calls `visit` with every open descriptor. Where none is known, it calls nothing.
pub fn each(mut visit: impl FnMut(i32)) {
    if are_few() && each_of_few(&mut visit) {
        return;
    }
    each_number_in(c"/proc/self/fd", |fd| {
        if fd >= FIRST as i32 {
            visit(fd);
        }
    });
}

/// Whether all are below `FEW`. Looking for them in /proc takes ten times as long as asking for each of a few.
fn are_few() -> bool {
    const MANY: usize = 1024;
    // Linux ignores descriptors that its table has no room for: select(2), BUGS.
    let mut wanted = [u64::MAX; MANY / 64];
    wanted[0] = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let (none, no_mask) = (ptr::null_mut::<u64>(), ptr::null::<libc::sigset_t>());
    // SAFETY: the set has as many bits as stated, and the time is there for the kernel to write.
    let ready =
        unsafe { libc::syscall(libc::SYS_pselect6, MANY, wanted.as_mut_ptr(), none, none, &raw mut time, no_mask) };
    // A closed one in a larger table is an error. So either there is no larger one, or the first is open.
    // SAFETY: takes numbers only.
    ready >= 0 && unsafe { libc::fcntl(FEW as i32, libc::F_GETFD) } < 0
}

/// Returns false if that isn't known.
fn each_of_few(visit: &mut impl FnMut(i32)) -> bool {
    let mut few: [libc::pollfd; FEW - FIRST] =
        std::array::from_fn(|i| libc::pollfd { fd: (FIRST + i) as i32, events: 0, revents: 0 });
    let time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let no_mask = ptr::null::<libc::sigset_t>();
    // SAFETY: the list has as many entries as stated. `poll` itself may be a point where a thread is cancelled.
    if unsafe { libc::syscall(libc::SYS_ppoll, few.as_mut_ptr(), few.len(), &raw const time, no_mask) } < 0 {
        return false;
    }
    for one in few.iter().filter(|one| one.revents & libc::POLLNVAL == 0) {
        visit(one.fd);
    }
    true
}

/// Calls `visit` with every numeric entry of a directory in /proc. `opendir` would allocate. Returns whether it could be opened.
pub fn each_number_in(path: &CStr, mut visit: impl FnMut(i32)) -> bool {
    // SAFETY: the path is NUL-terminated.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) };
    if fd < 0 {
        return false;
    }
    let mut buffer = [0_u8; 2048];
    loop {
        // SAFETY: the pointer and the length are those of a live buffer.
        let read = unsafe { libc::syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), buffer.len()) };
        if read <= 0 {
            break;
        }
        // Each entry has: inode (8 bytes), offset (8), length of the entry (2), type (1), name with a final NUL.
        let mut rest = &buffer[..read as usize];
        while rest.len() > 19 {
            let length = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
            let name = CStr::from_bytes_until_nul(&rest[19..length]).ok();
            let number = name.and_then(|name| name.to_str().ok()).and_then(|name| name.parse().ok());
            if let Some(number) = number.filter(|&number| number != fd) {
                visit(number);
            }
            rest = &rest[length..];
        }
    }
    // SAFETY: opened above, and nothing else owns it.
    unsafe { libc::close(fd) };
    true
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use super::{FEW, are_few, each, each_number_in};

    fn found() -> (Vec<i32>, Vec<i32>) {
        let (mut all, mut listed) = (Vec::new(), Vec::new());
        each(|fd| all.push(fd));
        assert!(each_number_in(c"/proc/self/fd", |fd| listed.push(fd)));
        listed.retain(|&fd| fd >= 3);
        (all, listed)
    }

    /// What the process has inherited may be anywhere, and other tests open files meanwhile: they have numbers below
    /// `FEW`, and so has the first of these.
    #[test]
    fn finds_a_few_and_many() {
        let Ok(file) = File::open("/dev/null") else { return };
        let (low, high) = (file.as_raw_fd(), FEW as i32 + 7);
        assert!(found().0.contains(&low));
        // SAFETY: nothing else uses a number that high.
        unsafe { libc::dup2(low, high) };
        let (all, listed) = found();
        assert!(!are_few() && all.contains(&low) && all.contains(&high) && listed.contains(&high));
        // SAFETY: as above.
        unsafe { libc::close(high) };
        assert!(!found().0.contains(&high));
    }
}

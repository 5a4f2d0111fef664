//! Starts a program, as `fork` and `execvp` do, but without a copy of this process. The child shares the memory of this process, which
//! waits until the program runs. `posix_spawn` does the same, but in the oldest glibc it can change neither session nor directory.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, c_char, c_int, c_void};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::OnceLock;

/// The functions that the child calls need little.
const STACK_BYTES: usize = 64 * 1024;
const SHELL: &std::ffi::CStr = c"/bin/sh";
/// glibc's default if `PATH` isn't set.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";
/// As many as bash looks at.
const FIRST_BYTES: usize = 80;
/// The signals that have numbers in POSIX; nothing here handles another one.
const SIGNALS: std::ops::RangeInclusive<c_int> = 1..=31;

/// A program to run. Everything is prepared, as the child can't allocate.
pub struct Image {
    /// The files that it may be, in order.
    files: Vec<CString>,
    arguments: Vec<CString>,
    variables: Vec<CString>,
    directory: CString,
}

impl Image {
    /// `words` are the program and its arguments. If a variable occurs twice, the last value counts. Fails if a text contains a NUL.
    pub fn new<S: AsRef<OsStr>>(words: &[S], env: &[S], directory: &OsStr) -> io::Result<Self> {
        let mut variables = BTreeMap::new();
        for text in env.iter().map(|text| text.as_ref().as_bytes()) {
            // A name may begin with "=", though none should.
            if let Some(at) = text.iter().skip(1).position(|&byte| byte == b'=') {
                variables.insert(&text[..=at], text);
            }
        }
        let path = variables.get(&b"PATH"[..]).map_or(DEFAULT_PATH, |text| &text[b"PATH=".len()..]);
        let program = words.first().map_or(&b""[..], |word| word.as_ref().as_bytes());
        Ok(Self {
            files: files(program, path)?,
            arguments: words.iter().map(|word| CString::new(word.as_ref().as_bytes())).collect::<Result<_, _>>()?,
            directory: CString::new(directory.as_bytes())?,
            variables: variables.into_values().map(CString::new).collect::<Result<_, _>>()?,
        })
    }

    /// Runs it as the leader of its own session and group, with these descriptors as its 0, 1, 2 and 3. They are
    /// above 3 themselves, or the same; `None` leaves one as it is. Signals are as after `execvp`, and `SIGPIPE` isn't ignored.
    pub fn launch(&self, descriptors: [Option<RawFd>; 4]) -> io::Result<u32> {
        let arguments = pointers(&self.arguments);
        let mut script = pointers(&self.arguments);
        script.insert(0, SHELL.as_ptr());
        let files = pointers(&self.files);
        let variables = pointers(&self.variables);
        let child = Child {
            files: &files,
            arguments: &arguments,
            script: script.iter().copied().map(Cell::new).collect(),
            variables: &variables,
            directory: &self.directory,
            descriptors,
            handled: HANDLED.get_or_init(handled_signals),
            failure: Cell::new(0),
        };
        let mut stack = Vec::<u128>::with_capacity(STACK_BYTES / size_of::<u128>());
        let end = stack.spare_capacity_mut().as_mut_ptr_range().end;
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let blocked = Blocked::all();
        // SAFETY: the child runs on a stack of its own that outlives it, as this thread waits until it has another program or
        // has ended (`CLONE_VFORK`); so does `child`, to which nothing else writes meanwhile. All signals are blocked, so that no
        // handler of this process runs in it.
        let pid = unsafe { libc::clone(run, end.cast(), flags, ptr::from_ref(&child).cast_mut().cast()) };
        let error = io::Error::last_os_error();
        drop(blocked);
        if pid < 0 {
            return Err(error);
        }
        match child.failure.get() {
            0 => Ok(pid.unsigned_abs()),
            errno => {
                // SAFETY: a plain call; the child has ended, and nothing else has waited for it.
                while unsafe { libc::waitpid(pid, ptr::null_mut(), 0) } < 0
                    && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
                {}
                Err(io::Error::from_raw_os_error(errno))
            }
        }
    }
}

/// The files that a name may stand for, as for `execvp`.
fn files(program: &[u8], path: &[u8]) -> io::Result<Vec<CString>> {
    if program.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::ENOENT));
    }
    if program.contains(&b'/') {
        return Ok(vec![CString::new(program)?]);
    }
    let in_directory = |directory: &[u8]| match directory {
        // The working directory.
        [] => CString::new(program),
        directory => CString::new([directory, program].join(&b'/')),
    };
    Ok(path.split(|&byte| byte == b':').map(in_directory).collect::<Result<_, _>>()?)
}

/// Adds the null pointer that ends such a list.
fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

/// All signals are blocked until it is dropped.
struct Blocked(libc::sigset_t);

impl Blocked {
    fn all() -> Self {
        // SAFETY: both sets are there for the calls to write.
        unsafe {
            let (mut all, mut before) = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, &raw mut before);
            Self(before)
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the set is one that the system gave.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

/// What the child needs, in the memory that it shares. Lists of pointers end with a null pointer.
struct Child<'a> {
    files: &'a [*const c_char],
    arguments: &'a [*const c_char],
    /// The arguments that run a script without `#!`: a shell, with the script's file instead of the program's name.
    script: Vec<Cell<*const c_char>>,
    variables: &'a [*const c_char],
    directory: &'a CString,
    descriptors: [Option<RawFd>; 4],
    handled: &'a [c_int],
    /// Why the program doesn't run: `errno`; 0 if it runs.
    failure: Cell<c_int>,
}

extern "C" fn run(child: *mut c_void) -> c_int {
    // SAFETY: `launch` gave it, and waits.
    let child = unsafe { &*child.cast::<Child<'_>>() };
    child.failure.set(child.become_program());
    // SAFETY: unlike `exit`, it runs none of this process's exit handlers.
    unsafe { libc::_exit(127) }
}

impl Child<'_> {
    /// Becomes the program. Returns only if that fails, with `errno`. Calls only async-signal-safe functions.
    fn become_program(&self) -> c_int {
        // SAFETY: the pointers are to texts and lists that live until the program runs; each of these calls is async-signal-safe.
        unsafe {
            if libc::setsid() < 0 || libc::chdir(self.directory.as_ptr()) < 0 {
                return errno();
            }
            for (number, descriptor) in (0..).zip(self.descriptors) {
                if descriptor.is_some_and(|descriptor| libc::dup2(descriptor, number) < 0) {
                    return errno();
                }
            }
            reset_signals(self.handled);
            let mut denied = false;
            let mut failure = libc::ENOENT;
            for &file in self.files.iter().take_while(|file| !file.is_null()) {
                libc::execve(file, self.arguments.as_ptr(), self.variables.as_ptr());
                failure = errno();
                if failure == libc::ENOEXEC && may_be_script(file) {
                    self.script[1].set(file);
                    libc::execve(SHELL.as_ptr(), self.script.as_ptr().cast(), self.variables.as_ptr());
                    failure = errno();
                }
                match failure {
                    libc::EACCES => denied = true,
                    libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
                    _ => return failure,
                }
            }
            if denied { libc::EACCES } else { failure }
        }
    }
}

/// The signals that this process doesn't leave alone. It installs its handlers before it starts a program, and no others later.
static HANDLED: OnceLock<Vec<c_int>> = OnceLock::new();

/// What is ignored stays so in the program, except for `SIGPIPE`, which Rust's runtime ignores.
fn handled_signals() -> Vec<c_int> {
    let handled = |&signal: &c_int| {
        // SAFETY: the structure is there for the call to write.
        let action = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, ptr::null(), &raw mut action);
            action.sa_sigaction
        };
        signal == libc::SIGPIPE || action != libc::SIG_IGN && action != libc::SIG_DFL
    };
    SIGNALS.filter(handled).collect()
}

/// Whether a shell can run a file that the system can't. As for a shell, that is one without a NUL in its first line. A program for
/// another machine has one there.
unsafe fn may_be_script(file: *const c_char) -> bool {
    let mut beginning = [0_u8; FIRST_BYTES];
    // SAFETY: `file` ends with a NUL, the buffer has room for what is read, and each of these calls is async-signal-safe.
    let read = unsafe {
        let descriptor = libc::open(file, libc::O_RDONLY | libc::O_CLOEXEC);
        if descriptor < 0 {
            return true;
        }
        let read = libc::read(descriptor, beginning.as_mut_ptr().cast(), FIRST_BYTES);
        libc::close(descriptor);
        read
    };
    let count = usize::try_from(read).unwrap_or(0);
    !beginning.iter().take(count).take_while(|&&byte| byte != b'\n').any(|&byte| byte == 0)
}

/// No handler of the parent may run here once signals aren't blocked any more.
unsafe fn reset_signals(handled: &[c_int]) {
    // SAFETY: all calls are async-signal-safe, and the structures are there for them to read and write.
    unsafe {
        let by_default: libc::sigaction = std::mem::zeroed();
        for &signal in handled {
            libc::sigaction(signal, &raw const by_default, ptr::null_mut());
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

fn errno() -> c_int {
    // SAFETY: it is this thread's. The child has that of the thread that waits for it.
    unsafe { *libc::__errno_location() }
}

//! Which libraries the program has unloaded, and where they were. Their code may still be called, by a destructor of
//! thread-local data or by a thread that was left.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use preload::{Next, call_next};

use crate::{channel, modules, timeline};

static CLOSE: Next = Next::new(c"dlclose");

/// The most recent ones: a new one replaces the oldest.
const SLOTS: usize = 64;
const PATH: usize = 192;

struct Slot {
    /// 0 while the slot is empty or being written.
    start: AtomicUsize,
    end: AtomicUsize,
    path: [AtomicU8; PATH],
}

static UNLOADED: [Slot; SLOTS] =
    [const { Slot { start: AtomicUsize::new(0), end: AtomicUsize::new(0), path: [const { AtomicU8::new(0) }; PATH] } };
        SLOTS];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A loaded library.
#[derive(PartialEq)]
struct Library {
    start: usize,
    end: usize,
    path: Vec<u8>,
}

/// Wraps the C library's `dlclose`.
///
/// # Safety
/// Same as for `dlclose`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dlclose(handle: *mut c_void) -> c_int {
    if channel::fd() < 0 {
        return call_next!(CLOSE(handle: *mut c_void) -> c_int);
    }
    let before = loaded();
    // Other threads run on, also before the call returns.
    if let Some(path) = path_of(handle)
        && let Some(library) = before.iter().find(|library| library.path == path)
    {
        note(library);
    }
    let since = timeline::unloading_begins();
    let result = call_next!(CLOSE(handle: *mut c_void) -> c_int);
    let after = loaded();
    // A library's dependencies are unloaded with it, but those that others use stay.
    for library in before.iter().filter(|&library| !after.contains(library)) {
        note(library);
        timeline::unloaded(&library.path, since);
    }
    timeline::unloading_ends();
    result
}

/// Calls `found` with the path of the library at an address, and whether that has been unloaded. The path is empty if no
/// library is or was there.
pub fn with_module<T>(address: usize, found: impl FnOnce(&[u8], bool) -> T) -> T {
    modules::with_module(address, |library| {
        if !library.is_empty() {
            return found(library, false);
        }
        let mut gone = path();
        let length = library_at(address, &mut gone);
        found(&gone[..length], length > 0)
    })
}

/// Copies into `path` the library that was at an address before it was unloaded, and returns the path's length; 0 if no
/// such library is known. Async-signal-safe.
pub fn library_at(address: usize, path: &mut [u8; PATH]) -> usize {
    for slot in &UNLOADED {
        let start = slot.start.load(Ordering::Acquire);
        if start == 0 || address < start || address >= slot.end.load(Ordering::Relaxed) {
            continue;
        }
        let bytes = slot.path.iter().map(|byte| byte.load(Ordering::Relaxed)).take_while(|&byte| byte != 0);
        let length = path.iter_mut().zip(bytes).map(|(to, byte)| *to = byte).count();
        // Unless another library has been loaded there meanwhile.
        if slot.start.load(Ordering::Acquire) == start {
            return length;
        }
    }
    0
}

/// The path of an unloaded library, to be filled in.
pub const fn path() -> [u8; PATH] {
    [0; PATH]
}

/// The path of a loaded library.
fn path_of(handle: *mut c_void) -> Option<Vec<u8>> {
    let mut map = ptr::null::<LinkMap>();
    // SAFETY: the handle is the caller's, who gives it to `dlclose`, and `map` is there to be written.
    let known = unsafe { libc::dlinfo(handle, libc::RTLD_DI_LINKMAP, (&raw mut map).cast()) } == 0;
    if !known || map.is_null() {
        return None;
    }
    // SAFETY: the loader keeps it, and its name, until the library is unloaded.
    let name = unsafe { (*map).name };
    // SAFETY: as before.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_bytes().to_vec())
}

/// The beginning of the loader's `struct link_map`.
#[repr(C)]
struct LinkMap {
    base: usize,
    name: *const c_char,
}

/// Notes a library that is, or may be about to be, unloaded. While it is loaded, that has no effect.
fn note(library: &Library) {
    let noted = |slot: &Slot| {
        let (start, end) = (slot.start.load(Ordering::Acquire), slot.end.load(Ordering::Relaxed));
        let byte = |(at, &byte): (&AtomicU8, &u8)| at.load(Ordering::Relaxed) == byte;
        let kept = &library.path[library.path.len().saturating_sub(PATH)..];
        (start, end) == (library.start, library.end) && slot.path.iter().zip(kept).all(byte)
    };
    if UNLOADED.iter().any(noted) {
        return;
    }
    let slot = &UNLOADED[NEXT.fetch_add(1, Ordering::Relaxed) % SLOTS];
    slot.start.store(0, Ordering::Release);
    // A reader needs the file, so a long path keeps its end.
    let kept = &library.path[library.path.len().saturating_sub(PATH)..];
    for (i, byte) in slot.path.iter().enumerate() {
        byte.store(kept.get(i).copied().unwrap_or(0), Ordering::Relaxed);
    }
    slot.end.store(library.end, Ordering::Relaxed);
    slot.start.store(library.start, Ordering::Release);
}

fn loaded() -> Vec<Library> {
    let mut libraries = Vec::<Library>::new();
    // SAFETY: `collect` gets the vector that it expects, and nothing else uses it meanwhile.
    unsafe { libc::dl_iterate_phdr(Some(collect), (&raw mut libraries).cast()) };
    libraries
}

unsafe extern "C" fn collect(info: *mut libc::dl_phdr_info, _size: usize, libraries: *mut c_void) -> c_int {
    // SAFETY: the loader gives valid data for the time of this call.
    let info = unsafe { &*info };
    if info.dlpi_name.is_null() || info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: the loader states how many there are.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let base = info.dlpi_addr as usize;
    let mut parts = headers.iter().filter(|header| header.p_type == libc::PT_LOAD).map(|header| {
        let start = base.wrapping_add(header.p_vaddr as usize);
        (start, start.wrapping_add(header.p_memsz as usize))
    });
    let Some((mut start, mut end)) = parts.next() else { return 0 };
    for (from, to) in parts {
        start = start.min(from);
        end = end.max(to);
    }
    // SAFETY: the name is NUL-terminated.
    let path = unsafe { CStr::from_ptr(info.dlpi_name) }.to_bytes().to_vec();
    // SAFETY: `loaded` passes its vector.
    unsafe { &mut *libraries.cast::<Vec<Library>>() }.push(Library { start, end, path });
    0
}

#[cfg(test)]
mod tests {
    use super::{Library, library_at, loaded, note, path, with_module};

    #[test]
    fn finds_what_was_unloaded() {
        let gone = Library { start: 0x1000, end: 0x3000, path: b"/lib/gone.so".to_vec() };
        note(&gone);
        let mut found = path();
        for (address, known) in [(0xfff, false), (0x1000, true), (0x2fff, true), (0x3000, false)] {
            let length = library_at(address, &mut found);
            assert_eq!(&found[..length], if known { gone.path.as_slice() } else { b"" }, "{address:#x}");
        }
    }

    #[test]
    fn says_whether_the_library_is_still_there() {
        let here = loaded as *const () as usize;
        let gone = Library { start: 0x5000, end: 0x6000, path: b"/lib/left.so".to_vec() };
        note(&gone);
        // Another library is at that address by now.
        note(&Library { start: here, end: here + 1, path: b"/lib/earlier.so".to_vec() });
        with_module(0x5800, |path, unloaded| assert_eq!((path, unloaded), (gone.path.as_slice(), true)));
        with_module(here, |path, unloaded| assert!(path != b"/lib/earlier.so" && !unloaded));
        with_module(1, |path, unloaded| assert_eq!((path, unloaded), (b"".as_slice(), false)));
    }

    #[test]
    fn knows_this_program() {
        let address = loaded as *const () as usize;
        assert!(loaded().iter().any(|library| library.start <= address && address < library.end));
    }
}

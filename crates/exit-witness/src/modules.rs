//! Which library an address belongs to, from /proc/self/maps. `dladdr` would take the loader's lock, which a stuck
//! thread may hold.

use preload::Reader;

const BUFFER: usize = 4096;

/// Calls `found` with the path of the file that is mapped at `address`; an empty path if there is none.
pub fn with_module<T>(address: usize, found: impl FnOnce(&[u8]) -> T) -> T {
    let mut buffer = [0; BUFFER];
    let mut path = [0; 256];
    let mut length = 0;
    let mut reader = Reader::open(c"/proc/self/maps");
    while let Some(line) = reader.line(&mut buffer) {
        if let Some(file) = mapping(line, address) {
            length = file.len().min(path.len());
            path[..length].copy_from_slice(&file[..length]);
            break;
        }
    }
    found(&path[..length])
}

/// The file in a line such as `7f00-7f10 r-xp 0 08:01 123   /lib/libc.so.6`, if the line's range contains the address.
fn mapping(line: &[u8], address: usize) -> Option<&[u8]> {
    let mut fields = line.splitn(2, |&byte| byte == b' ');
    let range = std::str::from_utf8(fields.next()?).ok()?;
    let (from, to) = range.split_once('-')?;
    let holds = usize::from_str_radix(from, 16).ok()? <= address && address < usize::from_str_radix(to, 16).ok()?;
    if !holds {
        return None;
    }
    let slash = line.iter().position(|&byte| byte == b'/').unwrap_or(line.len());
    Some(&line[slash..])
}

#[cfg(test)]
mod tests {
    use super::{mapping, with_module};

    #[test]
    fn reads_lines_of_maps() {
        let line = b"7f00-7f10 r-xp 00000000 08:01 123      /lib/a b.so";
        assert_eq!(mapping(line, 0x7f00), Some(b"/lib/a b.so".as_slice()));
        assert_eq!(mapping(line, 0x7f0f), Some(b"/lib/a b.so".as_slice()));
        assert_eq!(mapping(line, 0x7f10), None);
        assert_eq!(mapping(b"7f00-7f10 rw-p 00000000 00:00 0", 0x7f01), Some(b"".as_slice()));
        assert_eq!(mapping(b"nonsense", 1), None);
    }

    #[test]
    fn finds_this_program() {
        let program = std::env::current_exe().map(|path| path.into_os_string().into_encoded_bytes());
        let address = mapping as *const () as usize;
        with_module(address, |path| assert_eq!(Some(path), program.ok().as_deref()));
        with_module(1, |path| assert_eq!(path, b""));
    }
}

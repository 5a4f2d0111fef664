use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::path::Arg;

/// Reads a file, for example in /proc, line by line into the caller's buffer. A line longer than the buffer is left
/// out.
pub struct Reader {
    /// `None` if the file can't be opened: then there are no lines.
    file: Option<OwnedFd>,
    held: usize,
    consumed: usize,
    skipping: bool,
}

impl Reader {
    /// Opens the file at `path`, which may not exist.
    pub fn open(path: impl Arg) -> Self {
        let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok();
        Self { file, held: 0, consumed: 0, skipping: false }
    }

    /// The next line, without its newline; `None` at the end. Each call gets the same buffer.
    pub fn line<'b>(&mut self, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        loop {
            let fresh = self.consumed..self.held;
            if let Some(length) = buffer[fresh.clone()].iter().position(|&byte| byte == b'\n') {
                let line = fresh.start..fresh.start + length;
                self.consumed = line.end + 1;
                if std::mem::take(&mut self.skipping) {
                    continue;
                }
                return Some(&buffer[line]);
            }
            buffer.copy_within(fresh, 0);
            self.held -= self.consumed;
            self.consumed = 0;
            if self.held == buffer.len() {
                self.held = 0;
                self.skipping = true;
            }
            let read = rustix::io::read(self.file.as_ref()?, &mut buffer[self.held..]).ok()?;
            if read == 0 {
                return None;
            }
            self.held += read;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reader;

    #[test]
    fn gives_lines_that_fit_and_leaves_out_longer_ones() {
        let path = std::env::temp_dir().join(format!("preload-reader-{}", std::process::id()));
        assert!(std::fs::write(&path, "one\ntwo is too long\n\nfour\nunfinished").is_ok());
        let mut reader = Reader::open(path.as_path());
        let mut buffer = [0; 8];
        for line in [&b"one"[..], b"", b"four"] {
            assert_eq!(reader.line(&mut buffer), Some(line));
        }
        assert_eq!(reader.line(&mut buffer), None);
        assert!(std::fs::remove_file(&path).is_ok());
        assert_eq!(Reader::open(path.as_path()).line(&mut buffer), None);
    }
}

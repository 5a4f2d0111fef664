//! What the tester has made for a while, and can't remove any more once it was killed.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files and directories, by the tester's numbers of them. Their names are random, so nobody else's have them.
#[derive(Default)]
pub struct Leftovers(HashMap<u32, PathBuf>);

impl Leftovers {
    /// Has a path removed in the end.
    pub fn remember(&mut self, id: u32, path: PathBuf) {
        self.0.insert(id, path);
    }

    /// The tester has removed it, or still uses it.
    pub fn forget(&mut self, id: u32) {
        self.0.remove(&id);
    }

    /// Removes all of them. Of a symbolic link, in them or in their place, the link alone goes. What can't be removed stays, and so
    /// does what has something mounted in it.
    pub fn remove(&mut self) {
        let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
        for (_, path) in self.0.drain() {
            if is_mounted_in(&path, &mounts) {
                continue;
            }
            let _ = match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => remove_tree(&path),
                Ok(_) => fs::remove_file(&path),
                // The tester or the program has removed it.
                Err(_) => continue,
            };
        }
    }
}

/// Whether one of the mount points is in a directory, or is the directory.
fn is_mounted_in(path: &Path, mounts: &[u8]) -> bool {
    let Some((parent, name)) = path.parent().zip(path.file_name()) else { return true };
    let real = fs::canonicalize(parent).unwrap_or_else(|_| parent.to_owned()).join(name);
    let real = escaped(real.as_os_str().as_bytes());
    let point = |line: &[u8]| line.split(|&byte| byte == b' ').nth(4).map(<[u8]>::to_vec);
    mounts
        .split(|&byte| byte == b'\n')
        .filter_map(point)
        .any(|point| point.strip_prefix(real.as_slice()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")))
}

/// A path as the kernel writes it there, with blanks as octal numbers.
fn escaped(path: &[u8]) -> Vec<u8> {
    let byte = |&byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        byte => vec![byte],
    };
    path.iter().flat_map(byte).collect()
}

/// A program may have made a directory that its owner can't write to, as Go's module cache.
fn remove_tree(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path).or_else(|_| {
        Command::new("chmod").args(["-R", "u+rwX", "--"]).arg(path).status()?;
        fs::remove_dir_all(path)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::is_mounted_in;

    #[test]
    fn knows_what_is_mounted_in_a_directory() {
        let mounts = b"36 35 0:3 / /proc rw - proc proc rw\n37 35 0:4 /x /none/a\\040b/m rw - ext4 /dev/vda rw\n";
        for (path, mounted) in [
            ("/none/a b", true),
            ("/none/a b/m", true),
            ("/none/a b/mm", false),
            ("/none/a", false),
            ("/none/c", false),
        ] {
            assert_eq!(is_mounted_in(Path::new(path), mounts), mounted, "{path}");
        }
    }
}

//! What the tester has made for a while, and can't remove any more once it was killed.

use std::collections::HashMap;
use std::fs;
use std::io;
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

    /// Removes all of them. Of a symbolic link, in them or in their place, the link alone goes. What can't be removed stays.
    pub fn remove(&mut self) {
        for (_, path) in self.0.drain() {
            let _ = match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => remove_tree(&path),
                Ok(_) => fs::remove_file(&path),
                // The tester or the program has removed it.
                Err(_) => continue,
            };
        }
    }
}

/// A program may have made a directory that its owner can't write to, as Go's module cache.
fn remove_tree(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path).or_else(|_| {
        Command::new("chmod").args(["-R", "u+rwX", "--"]).arg(path).status()?;
        fs::remove_dir_all(path)
    })
}

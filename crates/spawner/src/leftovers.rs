//! What the tester has made for a while, and can't remove any more once it was killed.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

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
                Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
                Ok(_) => fs::remove_file(&path),
                // The tester or the program has removed it.
                Err(_) => continue,
            };
        }
    }
}

//! The processes that the programs started.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, getpid, kill_process, wait, waitid,
};

const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(1);

/// A child that has ended, if there is one.
pub fn ended() -> Option<(Pid, WaitStatus)> {
    wait(WaitOptions::NOHANG).ok().flatten()
}

/// Whether this process has no child except `programs`, all of which are its children. What a program that has ended
/// had started, directly or not, shows as another child, or below one. Returns `false` also if that can't be known.
pub fn are_only(programs: usize) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if waitid(WaitId::All, options).is_err_and(|error| error == Errno::CHILD) {
        return true;
    }
    // Not every kernel has that file.
    fs::read_to_string("/proc/thread-self/children").is_ok_and(|pids| pids.split_whitespace().count() == programs)
}

/// Kills everything below this process. Processes whose parent ends become its own children.
pub fn end_all() {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        for child in children() {
            let _ = kill_process(child, Signal::KILL);
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                // There is no child left.
                Err(_) => return,
            }
        }
        thread::sleep(POLL);
    }
}

fn children() -> Vec<Pid> {
    let me = getpid().as_raw_nonzero().get();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let is_child = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // pid (name) state parent ...; the name itself may contain spaces and parentheses.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<i32>().ok()?;
        (parent == me).then(|| Pid::from_raw(pid))?
    };
    entries.flatten().filter_map(|entry| is_child(entry.file_name().to_str()?.parse().ok()?)).collect()
}

//! What the process and the dying thread were doing. It is reported with a crash, since a debugger may see less or be
//! unavailable.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use preload::Line;

use crate::optional;

static EXITS: AtomicBool = AtomicBool::new(false);

thread_local! {
    static UNWOUND: Cell<bool> = const { Cell::new(false) };
}

/// The program calls `exit` or `quick_exit`, or `main` has returned.
pub fn exits() {
    EXITS.store(true, Ordering::Relaxed);
}

/// The calling thread calls `pthread_exit`, which unwinds its frames by force. The stack no longer shows that once a
/// frame's destructors run.
pub fn thread_is_unwound() {
    UNWOUND.set(true);
}

/// Whether there is a Python interpreter that is finalizing. Async-signal-safe.
pub fn python_finalizes() -> bool {
    let found = optional::python_ends();
    if found.is_null() {
        return false;
    }
    // SAFETY: the interpreter's function of that name takes nothing, reads a variable, and may be called at any time.
    let ends = unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> c_int>(found) };
    ends() != 0
}

/// What sent a signal, if the thread's own fault didn't cause it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    ThisProcess,
    Another,
}

/// Appends to the last field of a line every fact that holds, a word each, separated by spaces. Async-signal-safe.
pub fn words(line: Line, out_of_stack: bool, sender: Option<Sender>) -> Line {
    let states = [
        ("raised", sender == Some(Sender::ThisProcess)),
        ("sent", sender == Some(Sender::Another)),
        ("overflow", out_of_stack),
        ("unwound", UNWOUND.get()),
        ("exiting", EXITS.load(Ordering::Relaxed)),
        ("finalizing", python_finalizes()),
    ];
    let mut line = line;
    let mut blank = "";
    for (word, _) in states.iter().filter(|(_, holds)| *holds) {
        line = line.join(blank).join(word);
        blank = " ";
    }
    line
}

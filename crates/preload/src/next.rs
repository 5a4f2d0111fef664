use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// The definition of a function that a preload library wraps: the next one after the library's own.
/// [`call_next!`](crate::call_next!) calls it.
pub struct Next {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Next {
    /// The function with this name.
    pub const fn new(name: &'static CStr) -> Self {
        Self { name, address: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Its address, looked up once; null if there is none.
    ///
    /// Async-signal-safe once it has been looked up, so a library's constructor should do that.
    pub fn address(&self) -> *mut c_void {
        let known = self.address.load(Ordering::Acquire);
        if !known.is_null() {
            return known;
        }
        // SAFETY: `name` ends with NUL.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        self.address.store(found, Ordering::Release);
        found
    }
}

/// Calls the [`Next`] definition of a function, with the type that follows from its arguments:
/// `call_next!(CLOSE(handle: *mut c_void) -> c_int)`.
///
/// A program that is linked against libc can't have called a function that libc lacks. Where this macro is used, the
/// symbol must have that type in libc, and the arguments must be the caller's own, or valid for the function.
#[macro_export]
macro_rules! call_next {
    ($next:ident ( $($argument:ident : $type:ty),* ) -> $result:ty) => {{
        // SAFETY: the macro's user guarantees this.
        unsafe {
            let function: unsafe extern "C-unwind" fn($($type),*) -> $result = ::std::mem::transmute($next.address());
            function($($argument),*)
        }
    }};
}

//! Waits for sockets on JavaScript's thread, by libuv, in hosts that have it: Node and what is built on it.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_int, c_void};
use std::mem::{align_of, size_of, transmute_copy};
use std::os::fd::AsRawFd;
use std::ptr;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi::{Env, JsValue, check_status, sys};
use tokio::runtime::Handle;

use crate::connect::socket::SharedSocket;
use crate::direct::DirectReads;
use crate::shared_task::SharedTask;
use crate::wake::is_woken_by;

/// `UV_POLL` of `uv_handle_type`, and `UV_READABLE` of `uv_poll_event`. They are part of libuv's ABI, which doesn't
/// change within its major version.
const POLL_HANDLE: c_int = 8;
const READABLE: c_int = 1;

/// A `uv_poll_t`. Its first field is the user's: `data`, as for all of libuv's handles.
type RawPoll = *mut *mut c_void;

/// The functions of the host's libuv, as uv.h declares them.
#[derive(Clone, Copy)]
struct Uv {
    handle_size: unsafe extern "C" fn(c_int) -> usize,
    poll_init: unsafe extern "C" fn(*mut sys::uv_loop_s, RawPoll, c_int) -> c_int,
    poll_start: unsafe extern "C" fn(RawPoll, c_int, unsafe extern "C" fn(RawPoll, c_int, c_int)) -> c_int,
    unref: unsafe extern "C" fn(RawPoll),
    close: unsafe extern "C" fn(RawPoll, unsafe extern "C" fn(RawPoll)),
}

impl Uv {
    /// `None` if the host doesn't have all of them.
    fn of_host() -> Option<Self> {
        // SAFETY: the types are those in uv.h.
        unsafe {
            Some(Self {
                handle_size: function(c"uv_handle_size")?,
                poll_init: function(c"uv_poll_init")?,
                poll_start: function(c"uv_poll_start")?,
                unref: function(c"uv_unref")?,
                close: function(c"uv_close")?,
            })
        }
    }
}

/// # Safety
///
/// `F` must be the type of a pointer to that function.
unsafe fn function<F: Copy>(name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the name is a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: the function is of that type, and the host's own, so it outlives this library.
    (!found.is_null()).then(|| unsafe { transmute_copy(&found) })
}

/// What a transport needs to read answers on its env's thread. It isn't used on other threads.
pub struct DirectReader {
    uv: Uv,
    uv_loop: *mut sys::uv_loop_s,
    direct: Arc<DirectReads>,
    service: Arc<SharedTask>,
    runtime: Handle,
    javascript: Rc<JavaScript>,
    /// libuv owns it.
    watch: RefCell<Weak<Watch>>,
}

impl DirectReader {
    /// Must be called on the env's own thread. `None` if the host has no libuv.
    pub fn new(
        env: Env,
        wake: &Function<'_, (), ()>,
        direct: Arc<DirectReads>,
        service: Arc<SharedTask>,
        runtime: Handle,
    ) -> Result<Option<Self>> {
        let Some(uv) = Uv::of_host() else { return Ok(None) };
        let mut uv_loop = ptr::null_mut();
        // SAFETY: it is the calling env.
        if unsafe { sys::napi_get_uv_event_loop(env.raw(), &mut uv_loop) } != sys::Status::napi_ok {
            return Ok(None);
        }
        let javascript = Rc::new(JavaScript::new(env, wake)?);
        Ok(Some(Self { uv, uv_loop, direct, service, runtime, javascript, watch: RefCell::default() }))
    }

    /// Begins to wait for the socket that the connection has left to this thread, if there is one.
    pub fn follow(&self) {
        let Some(socket) = self.direct.begun() else { return };
        self.close();
        match Watch::start(self, socket) {
            Some(watch) => *self.watch.borrow_mut() = Rc::downgrade(&watch),
            // The runtime waits for it, as always.
            None => self.direct.want(false),
        }
    }

    /// Before calls are sent: whether this thread wants to read their answers.
    pub fn want(&self, wanted: bool) {
        self.direct.want(wanted);
    }

    /// No callback begins after this. Idempotent.
    pub fn close(&self) {
        if let Some(watch) = self.watch.take().upgrade() {
            watch.close();
        }
    }
}

impl Drop for DirectReader {
    fn drop(&mut self) {
        self.close();
    }
}

/// JavaScript's `wake`.
struct JavaScript {
    env: sys::napi_env,
    context: sys::napi_async_context,
    wake: sys::napi_ref,
}

impl JavaScript {
    fn new(env: Env, wake: &Function<'_, (), ()>) -> Result<Self> {
        let name = env.create_string("quiesce-etcd direct read")?;
        let mut made = Self { env: env.raw(), context: ptr::null_mut(), wake: ptr::null_mut() };
        // SAFETY: all values belong to the calling env.
        check_status!(unsafe { sys::napi_async_init(made.env, ptr::null_mut(), name.raw(), &mut made.context) })?;
        // SAFETY: as above.
        check_status!(unsafe { sys::napi_create_reference(made.env, wake.raw(), 1, &mut made.wake) })?;
        Ok(made)
    }

    /// Calls it as the event loop does, with what becomes due then. Must be called by the event loop.
    fn wake(&self) {
        let mut scope = ptr::null_mut();
        // SAFETY: this is the env's own thread, outside of JavaScript. All values belong to the env and to this scope.
        unsafe {
            if sys::napi_open_handle_scope(self.env, &mut scope) != sys::Status::napi_ok {
                return;
            }
            let (mut global, mut wake) = (ptr::null_mut(), ptr::null_mut());
            sys::napi_get_global(self.env, &mut global);
            sys::napi_get_reference_value(self.env, self.wake, &mut wake);
            let mut result = ptr::null_mut();
            let called = sys::napi_make_callback(self.env, self.context, global, wake, 0, ptr::null(), &mut result);
            if called == sys::Status::napi_pending_exception {
                let mut thrown = ptr::null_mut();
                if sys::napi_get_and_clear_last_exception(self.env, &mut thrown) == sys::Status::napi_ok {
                    sys::napi_fatal_exception(self.env, thrown);
                }
            }
            sys::napi_close_handle_scope(self.env, scope);
        }
    }
}

impl Drop for JavaScript {
    fn drop(&mut self) {
        // SAFETY: they belong to this env, whose thread this is. A failure means that the env is ending.
        unsafe {
            if !self.wake.is_null() {
                sys::napi_delete_reference(self.env, self.wake);
            }
            if !self.context.is_null() {
                sys::napi_async_destroy(self.env, self.context);
            }
        }
    }
}

/// A socket for which the event loop waits. libuv holds one reference, from the start until it has closed the handle.
struct Watch {
    uv: Uv,
    handle: RawPoll,
    layout: Layout,
    closing: Cell<bool>,
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
    socket: Arc<SharedSocket>,
    direct: Arc<DirectReads>,
    service: Arc<SharedTask>,
    runtime: Handle,
    javascript: Rc<JavaScript>,
}

impl Watch {
    /// `None` if the system refuses.
    fn start(reader: &DirectReader, socket: Arc<SharedSocket>) -> Option<Rc<Self>> {
        let uv = reader.uv;
        // SAFETY: the function takes any type of handle.
        let size = unsafe { (uv.handle_size)(POLL_HANDLE) };
        let layout = Layout::from_size_align(size.max(1), align_of::<u128>()).ok()?;
        // SAFETY: the size isn't 0.
        let handle: RawPoll = unsafe { alloc_zeroed(layout) }.cast();
        if handle.is_null() {
            handle_alloc_error(layout);
        }
        // SAFETY: the memory is large enough for the handle, and is the handle's until libuv has closed it. The socket
        // outlives it, too.
        if unsafe { (uv.poll_init)(reader.uv_loop, handle, socket.as_raw_fd()) } != 0 {
            // SAFETY: it was allocated with that layout, and libuv hasn't taken it.
            unsafe { dealloc(handle.cast(), layout) };
            return None;
        }
        let watch = Rc::new(Self {
            uv,
            handle,
            layout,
            closing: Cell::new(false),
            hook: Cell::new(ptr::null_mut()),
            socket,
            direct: reader.direct.clone(),
            service: reader.service.clone(),
            runtime: reader.runtime.clone(),
            javascript: reader.javascript.clone(),
        });
        let data = Rc::into_raw(watch.clone()).cast_mut().cast::<c_void>();
        let mut hook = ptr::null_mut();
        // SAFETY: the handle is initialized. `data` is valid until `closed`, which also removes the hook.
        let refused = unsafe {
            *handle = data;
            // The calls in flight keep the event loop alive, not their socket.
            (uv.unref)(handle);
            let added = sys::napi_add_async_cleanup_hook(watch.javascript.env, Some(env_ends), data, &mut hook);
            watch.hook.set(hook);
            added != sys::Status::napi_ok || (uv.poll_start)(handle, READABLE, on_readable) != 0
        };
        if refused {
            watch.close();
            return None;
        }
        Some(watch)
    }

    fn close(&self) {
        if !self.closing.replace(true) {
            // SAFETY: the handle is initialized, and is closed once. It isn't used after that.
            unsafe { (self.uv.close)(self.handle, closed) };
        }
    }

    fn read(&self) {
        let woken = is_woken_by(|| {
            let _context = self.runtime.enter();
            self.service.carry_on_after(|| {
                if !self.direct.readable(&self.socket) {
                    self.close();
                }
            });
        });
        if woken {
            self.javascript.wake();
        }
    }
}

unsafe extern "C" fn on_readable(handle: RawPoll, _status: c_int, _events: c_int) {
    // SAFETY: the handle's data is the reference that libuv holds. The clone keeps it while JavaScript runs.
    let watch = unsafe {
        let data = (*handle).cast::<Watch>().cast_const();
        Rc::increment_strong_count(data);
        Rc::from_raw(data)
    };
    if !watch.closing.get() {
        watch.read();
    }
}

unsafe extern "C" fn env_ends(_hook: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    // SAFETY: it is the reference that libuv holds until `closed`, which removes this hook.
    unsafe { &*data.cast::<Watch>() }.close();
}

unsafe extern "C" fn closed(handle: RawPoll) {
    // SAFETY: this takes the reference that libuv held, once.
    let watch = unsafe { Rc::from_raw((*handle).cast::<Watch>().cast_const()) };
    let hook = watch.hook.get();
    if !hook.is_null() {
        // SAFETY: the hook was added for this handle, and is removed once.
        unsafe { sys::napi_remove_async_cleanup_hook(hook) };
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: libuv has closed the handle, as its reference is gone. It was allocated with that layout.
        unsafe { dealloc(self.handle.cast(), self.layout) };
    }
}

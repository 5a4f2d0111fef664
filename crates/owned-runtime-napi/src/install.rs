//! Gives an env its runtime, and closes the runtime however the env ends.

use napi::bindgen_prelude::*;
use napi::{Env, JsValue};
use owned_runtime::OwnedRuntime;

use crate::env_runtime::EnvRuntime;
use crate::exit_list;
use crate::queue::Queue;

/// Gives the calling env its runtime. Call it in the addon's `#[napi(module_exports)]`, which
/// [`install!`](crate::install!) writes. It starts no thread.
///
/// An env that loads the addon again keeps its runtime.
///
/// # Errors
///
/// If napi refuses the cleanup hook, the exit listener or the thread-safe function.
pub fn install(env: &Env, runtime: OwnedRuntime) -> Result<()> {
    if EnvRuntime::of_this_thread().is_some() {
        return Ok(());
    }
    // Made before the cleanup hook is registered. Hooks run last in, first out, so the queue is closed before the
    // function goes.
    let queue = Queue::new(env)?;
    let runtime = EnvRuntime::new(runtime, queue);
    env.add_env_cleanup_hook(runtime.clone(), |runtime| {
        runtime.close();
        EnvRuntime::set_of_this_thread(None);
    })?;
    exit_list::add(&runtime);
    EnvRuntime::set_of_this_thread(Some(runtime.clone()));
    listen_to_exit(env, move || runtime.close())
}

/// Node warns of the eleventh listener, whoever added the others. Those of the program itself still count up to its limit.
fn make_room_for_listener(process: &Object<'_>) -> Result<()> {
    let limit: Function<'_, (), f64> = process.get_named_property("getMaxListeners")?;
    let limit = limit.apply(process.to_unknown(), ())?;
    // 0 stands for any number.
    if limit > 0.0 {
        let set: Function<'_, f64, Unknown<'_>> = process.get_named_property("setMaxListeners")?;
        set.apply(process.to_unknown(), limit + 1.0)?;
    }
    Ok(())
}

/// An event's name and its listener.
type OnArguments<'a> = FnArgs<(String, Function<'a, (), ()>)>;

/// Node runs no cleanup hooks when the main thread calls `process.exit()`.
fn listen_to_exit(env: &Env, close: impl Fn() + 'static) -> Result<()> {
    let global = env.get_global()?;
    if !global.has_named_property("process")? {
        // The C library's exit handler remains.
        return Ok(());
    }
    let close = env.create_function_from_closure::<(), (), _>("closeRuntime", move |_| {
        close();
        Ok(())
    })?;
    let process: Object<'_> = global.get_named_property("process")?;
    make_room_for_listener(&process)?;
    let on: Function<'_, OnArguments<'_>, Unknown<'_>> = process.get_named_property("on")?;
    on.apply(process.to_unknown(), FnArgs::from(("exit".to_owned(), close)))?;
    Ok(())
}

//! Links the unwinder of Rust's library into the witness if the usual linker is used. Otherwise the unwinder is in
//! `libgcc_s.so`, and loading that takes longer than everything else the witness does at the start of a process. zig,
//! which links the published library, links the unwinder in anyway.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=RUSTC_LINKER");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|set| set == value);
    let usual = env::var_os("RUSTC_LINKER").is_none() && env::var("TARGET").ok() == env::var("HOST").ok();
    if !usual || !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return;
    }
    // If there is none, `cc` prints only the name.
    let Ok(asked) = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output() else { return };
    let file = String::from_utf8_lossy(&asked.stdout);
    let Some(folder) = Path::new(file.trim()).parent().filter(|folder| folder.is_absolute()) else { return };
    println!("cargo:rustc-link-search=native={}", folder.display());
    println!("cargo:rustc-link-lib=static:+whole-archive,-bundle=gcc_eh");
}

fn main() {
    napi_build::setup();
    // A worker's end unloads the addon, and glibc would unmap code that thread-local destructors still name.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}

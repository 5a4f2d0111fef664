fn main() {
    napi_build::setup();
    // The end of a worker unloads the addon. glibc would then unmap code to which thread-local destructors still refer.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}

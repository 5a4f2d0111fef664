//! Starts the programs that the tester runs, passes on what they print, and reports how they end.
//!
//! Node takes milliseconds to fork itself; this small program takes a fraction of one. It also outlives the tester.
//! When its standard input ends, because the tester has ended or was killed, it ends everything that came from the
//! programs, removes the temporary files that the tester has left, then ends itself. Processes that left their group,
//! as daemons do, are its children then, since it is a subreaper.

#[cfg(target_os = "linux")]
mod children;
#[cfg(target_os = "linux")]
mod delays;
#[cfg(target_os = "linux")]
mod launch;
#[cfg(target_os = "linux")]
mod leftovers;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
mod protocol;
#[cfg(target_os = "linux")]
mod sequence;
#[cfg(target_os = "linux")]
mod serve;

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    if std::env::args().nth(1).as_deref() != Some(protocol::VERSION) {
        let message = "the spawner and the tester have different versions: npm run build, or install quiesce again";
        return Err(std::io::Error::other(message));
    }
    serve::serve()
}

#[cfg(not(target_os = "linux"))]
fn main() {}

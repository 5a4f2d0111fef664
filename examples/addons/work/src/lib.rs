//! What the example addons do, without a host: a request to a loopback server, and a stream of ticks.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;

/// Sends a payload on a connection of its own, and returns what the server sends back.
///
/// # Errors
/// When the server can't be reached, or breaks off.
pub async fn request(port: u16, payload: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    stream.write_all(format!("ECHO {}\n", payload.len()).as_bytes()).await?;
    stream.write_all(&payload).await?;
    let mut answer = vec![0; payload.len()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// A stream of lines that the server sends at an interval.
pub struct Ticks {
    lines: Lines<BufReader<TcpStream>>,
}

impl Ticks {
    /// Asks the server for a tick each `every_us` microseconds.
    ///
    /// # Errors
    /// When the server can't be reached.
    pub async fn connect(port: u16, every_us: u64) -> io::Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(format!("TICK {every_us}\n").as_bytes()).await?;
        Ok(Self { lines: BufReader::new(stream).lines() })
    }

    /// The next tick; `None` once the server has ended the stream.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn next(&mut self) -> io::Result<Option<String>> {
        self.lines.next_line().await
    }
}

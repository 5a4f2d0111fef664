//! The loopback server that the example addons talk to: `addon-server PORT`. The first line of a connection says what it
//! is for: `ECHO n` sends the next n bytes back, `TICK n` sends a line each n microseconds until the client goes.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const MOST_BYTES: u64 = 1 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse::<u16>().ok());
    let port = port.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "addon-server PORT"))?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        // Clients leave without a message, as programs do that are killed.
        tokio::spawn(async move { drop(serve(stream).await) });
    }
}

async fn serve(stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let (verb, number) = line.trim().split_once(' ').unwrap_or_default();
    let number: u64 = number.parse().map_err(|_| ErrorKind::InvalidData)?;
    match verb {
        "ECHO" if number <= MOST_BYTES => {
            let mut body = vec![0; number as usize];
            stream.read_exact(&mut body).await?;
            stream.write_all(&body).await
        }
        "TICK" => loop {
            tokio::time::sleep(Duration::from_micros(number)).await;
            stream.write_all(b"tick\n").await?;
        },
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

//! The framing of what crosses from and to JavaScript: its two halves against each other, and against malformed bytes.
//! The tests of the other half are in packages/etcd/test/framing.test.ts, with the same golden files.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use frames::{
    CallEnd, Command, Commands, Frames, put_broken, put_end, put_headers, put_message, put_sent, put_unary_ok,
};
use reassembly::{Message, Reassembly};

// Included by its source: a program that links the whole addon lacks the host's napi functions.
#[path = "../src/frames.rs"]
mod frames;
#[allow(dead_code)]
#[path = "../src/reassembly.rs"]
mod reassembly;

/// A message that is not in the commands.
const LONG: Bytes = Bytes::from_static(&[7; 100]);

fn golden(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn part(message: &'static [u8]) -> Message {
    Bytes::from_static(message).into()
}

/// A message that arrived in two chunks.
fn parts(message: &'static [u8]) -> Message {
    let mut reassembly = Reassembly::default();
    reassembly.put(Bytes::from([&[0][..], &(message.len() as u32).to_be_bytes(), &message[..1]].concat()));
    assert!(reassembly.take().unwrap().is_none());
    reassembly.put(Bytes::from_static(&message[1..]));
    reassembly.take().unwrap().unwrap()
}

fn metadata(entries: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in entries {
        map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    map
}

#[test]
fn reads_the_commands_that_javascript_writes() {
    let batch = golden(include_str!("framing/commands.hex"));
    let commands: Vec<Command> =
        Commands::new(batch.into(), VecDeque::from([LONG])).map(|command| command.expect("well formed")).collect();
    let [
        Command::Unary(first, hello),
        Command::Unary(second, empty),
        Command::OpenStream(stream),
        Command::Send(2, sent),
        Command::Send(2, long),
        Command::Credit(2, 8),
        Command::CloseSend(2),
        Command::Refuse(3, reason),
        Command::Cancel(2),
    ] = &commands[..]
    else {
        panic!("other commands: {commands:?}")
    };
    assert_eq!((first.id, first.method.as_str(), &hello[..]), (1, "/etcdserverpb.KV/Range", &b"\0\0\0\0\x05hello"[..]));
    assert_eq!((first.timeout, first.headers.len()), (Some(Duration::from_millis(250)), 0));
    assert_eq!((second.id, second.timeout, empty.len()), (u32::MAX, None, 5));
    assert_eq!(
        (&second.headers["token"], second.headers["other"].as_bytes()),
        (&"abc".parse().unwrap(), "é".as_bytes())
    );
    assert_eq!((stream.id, stream.timeout), (2, Some(Duration::from_millis(u32::MAX.into()))));
    assert_eq!((stream.method.as_str(), &stream.headers["token"]), ("/etcdserverpb.Watch/Watch", &"".parse().unwrap()));
    assert_eq!((&sent[..5], &sent[5..]), (&[0, 0, 0, 1, 44][..], &[7; 300][..]));
    assert_eq!(*long, LONG);
    assert_eq!(reason, "malformed metadata: bad name");
}

#[test]
fn writes_the_completions_that_javascript_reads() {
    let mut out = Frames::default();
    let none = HeaderMap::new();
    let trailers = metadata(&[("grpc-status", "0"), ("many", "1"), ("many", "2")]);
    put_unary_ok(
        &mut out,
        1,
        &metadata(&[("content-type", "application/grpc"), ("seen", "abc")]),
        &trailers,
        part(b"hello"),
    );
    put_headers(&mut out, 2, &none);
    put_message(&mut out, 2, part(&[7; 300]));
    put_message(&mut out, 2, parts(&[8; 100]));
    put_message(&mut out, 2, parts(&[9; 100_000]));
    put_unary_ok(&mut out, 4, &none, &none, part(&[10; 200_000]));
    put_sent(&mut out, 2);
    put_end(&mut out, 2, &CallEnd { code: 0, details: String::new(), sent: true }, &none);
    let end = CallEnd { code: 14, details: "nicht möglich".to_owned(), sent: false };
    put_end(&mut out, u32::MAX, &end, &metadata(&[("why", "because")]));
    put_broken(&mut out, "unreadable");
    assert_eq!(out.held(), out.bytes.len() + 300_000);
    let Frames { bytes: out, long } = out;
    let long: Vec<_> = long.iter().map(|message| message.pieces().collect::<Vec<_>>().concat()).collect();
    assert_eq!(long, [vec![9; 100_000], vec![10; 200_000]]);
    // After a change of the format: `UPDATE_GOLDEN=1 cargo test -p etcd-transport --test framing`.
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
        let lines: Vec<_> = hex.as_bytes().chunks(100).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/framing/completions.hex");
        std::fs::write(file, lines.join("\n") + "\n").unwrap();
        return;
    }
    assert_eq!(out, golden(include_str!("framing/completions.hex")));
}

/// Numbers that are the same for the same seed (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }
}

/// The golden batch, cut up, reassembled and changed: at frame boundaries, with wrong lengths, with random bytes.
#[test]
fn no_batch_whatever_is_in_it_panics_or_goes_on_for_ever() {
    let whole = golden(include_str!("framing/commands.hex"));
    let mut random = Random(20_261_124);
    for _ in 0..100_000 {
        let mut batch = Vec::new();
        for _ in 0..=random.below(3) {
            let from = random.below(whole.len());
            let to = from + random.below(whole.len() - from + 1);
            batch.extend_from_slice(if random.below(2) == 0 { &whole[from..to] } else { &whole });
        }
        for _ in 0..random.below(8) {
            let at = random.below(batch.len().max(1));
            if let Some(byte) = batch.get_mut(at) {
                *byte = [0, 1, 6, 0x7f, 0xff, random.below(256) as u8][random.below(6)];
            }
        }
        batch.truncate(random.below(batch.len() + 1));
        let bytes = batch.len();
        let commands: Vec<_> = Commands::new(Bytes::from(batch), VecDeque::from([LONG; 2])).collect();
        // Each command has at least five bytes, and nothing is read after a malformed one.
        assert!(commands.len() <= bytes / 5 + 1);
        assert!(commands.iter().rev().skip(1).all(Result::is_ok));
        let held: usize = commands
            .iter()
            .map(|command| match command {
                Ok(Command::Unary(_, message) | Command::Send(_, message)) => message.len(),
                _ => 0,
            })
            .sum();
        assert!(held <= bytes + 2 * LONG.len(), "messages longer than their batch");
    }
}

/// More names than a header map can hold. Only that call is refused. This once was a panic that left all calls pending.
#[test]
fn too_much_metadata_refuses_its_call_alone() {
    let mut batch = vec![1, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, b'/'];
    batch.extend_from_slice(&60_000u16.to_le_bytes());
    for i in 0..60_000 {
        let name = format!("h{i}");
        batch.extend_from_slice(&(name.len() as u16).to_le_bytes());
        batch.extend_from_slice(name.as_bytes());
        batch.extend_from_slice(&[1, 0, 0, 0, b'x']);
    }
    batch.extend_from_slice(&[0, 0, 0, 0]);
    batch.extend_from_slice(&[6, 10, 0, 0, 0]);
    let commands: Vec<_> = Commands::new(batch.into(), VecDeque::new()).collect();
    assert!(
        matches!(&commands[..], [Ok(Command::Refuse(9, why)), Ok(Command::Cancel(10))] if why == "too much metadata")
    );
}

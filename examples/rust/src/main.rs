// SPDX-License-Identifier: GPL-2.0

//! AF_MYPROTO in Rust: an echo server and client, and "check", which shows
//! time-outs, shutdown(), credentials, a full backlog, messages, and tokio over
//! it. Other programs can use myproto.rs beside it. In a kernel that has the
//! family, with Rust 1.63 or newer, in this folder:
//!
//!     cargo build --release
//!     target/release/echo-rust server stream 4711 &   # or seqpacket, dgram
//!     target/release/echo-rust client stream 4711 hello
//!     target/release/echo-rust check

mod check;
mod myproto;

use socket2::{SockAddr, Socket, Type};
use std::io::{self, Read, Write};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);
const MESSAGE_MAX: usize = 512 << 10;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["check"] => check::all(),
        ["server", ty, channel] => parse(ty, channel).and_then(|(ty, channel)| server(ty, channel)),
        ["client", ty, channel, ref messages @ ..] => {
            parse(ty, channel).and_then(|(ty, channel)| client(ty, channel, messages))
        }
        _ => usage(),
    };
    if let Err(e) = result {
        eprintln!("echo-rust: {e}");
        std::process::exit(1);
    }
}

fn usage<T>() -> io::Result<T> {
    let text = "usage: echo-rust server TYPE CHANNEL | client TYPE CHANNEL MESSAGE... | check";
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

fn parse(ty: &str, channel: &str) -> io::Result<(Type, u32)> {
    let ty = match ty {
        "stream" => Type::STREAM,
        "seqpacket" => Type::SEQPACKET,
        "dgram" => Type::DGRAM,
        _ => return usage(),
    };
    channel
        .parse()
        .or_else(|_| usage())
        .map(|channel| (ty, channel))
}

fn server(ty: Type, channel: u32) -> io::Result<()> {
    if ty == Type::DGRAM {
        return dgram_server(myproto::bind(ty, channel)?);
    }
    let listener = myproto::listen(ty, channel, 128)?;
    tell_channel(&listener)?;
    loop {
        let (client, from) = listener.accept()?;
        std::thread::spawn(move || {
            // It has gone: the others are not concerned.
            let _ = echo(ty, client, from);
        });
    }
}

fn tell_channel(socket: &Socket) -> io::Result<()> {
    println!("listening on {}", myproto::channel(&socket.local_addr()?));
    Ok(())
}

fn echo(ty: Type, mut client: Socket, from: SockAddr) -> io::Result<()> {
    let cred = myproto::peer_cred(&client)?;
    println!(
        "client from channel {}, pid {}, uid {}",
        myproto::channel(&from),
        cred.pid,
        cred.uid
    );
    let mut buf = vec![0; MESSAGE_MAX];
    while let Some(n) = receive(ty, &mut client, &mut buf)? {
        send(ty, &mut client, &buf[..n])?;
    }
    Ok(())
}

fn dgram_server(socket: Socket) -> io::Result<()> {
    tell_channel(&socket)?;
    // One that does not read must not stop the others for long.
    socket.set_write_timeout(Some(Duration::from_secs(1)))?;
    let mut buf = vec![0; MESSAGE_MAX];
    while let Some((n, from)) = myproto::recv_from(&socket, &mut buf)? {
        let _ = socket.send_to(&buf[..n], &myproto::address(from));
    }
    Ok(())
}

/// Some bytes, or one message; None is the end.
fn receive(ty: Type, socket: &mut Socket, buf: &mut [u8]) -> io::Result<Option<usize>> {
    if ty == Type::STREAM {
        return socket.read(buf).map(|n| (n > 0).then_some(n));
    }
    Ok(myproto::recv_from(socket, buf)?.map(|(n, _)| n))
}

fn send(ty: Type, socket: &mut Socket, data: &[u8]) -> io::Result<()> {
    if ty == Type::STREAM {
        return socket.write_all(data);
    }
    socket.send(data).map(|_| ())
}

fn client(ty: Type, channel: u32, messages: &[&str]) -> io::Result<()> {
    let mut socket = myproto::connect(ty, channel, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    for message in messages {
        send(ty, &mut socket, message.as_bytes())?;
        let mut buf = vec![0; MESSAGE_MAX];
        let n = if ty == Type::STREAM {
            buf.resize(message.len(), 0);
            socket.read_exact(&mut buf)?;
            message.len()
        } else {
            receive(ty, &mut socket, &mut buf)?.ok_or(io::ErrorKind::UnexpectedEof)?
        };
        if &buf[..n] != message.as_bytes() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "another message came back",
            ));
        }
        println!("{message}");
    }
    Ok(())
}

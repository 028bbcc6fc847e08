// SPDX-License-Identifier: GPL-2.0

use crate::myproto::{self, AsyncSocket};
use socket2::{Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(5);

const CHECKS: [(&str, fn()); 10] = [
    ("a time-out passes", time_out),
    ("shutdown() ends read() in another thread", shutdown_read),
    (
        "shutdown() ends accept() in another thread",
        shutdown_accept,
    ),
    ("credentials of the peer", credentials),
    ("connection refused", refused),
    ("connect waits while the backlog is full", backlog),
    (
        "messages keep their boundaries, the empty one too",
        messages,
    ),
    ("10 MB arrive as they were sent", large),
    (
        "tokio: a time-out passes in accept, connect and receive",
        async_time_outs,
    ),
    ("tokio: 10 MB go to a task and back", async_large),
];

pub fn all() -> io::Result<()> {
    let mut passed = true;
    for (what, run) in CHECKS {
        // What fails is a panic, which says why on stderr.
        let ok = std::panic::catch_unwind(run).is_ok();
        println!("{} - {what}", if ok { "ok" } else { "not ok" });
        passed &= ok;
    }
    passed
        .then_some(())
        .ok_or_else(|| io::Error::new(ErrorKind::Other, "not all checks passed"))
}

fn listen(ty: Type) -> (Socket, u32) {
    let listener = myproto::listen(ty, 0, 0).unwrap();
    let channel = myproto::channel(&listener.local_addr().unwrap());
    (listener, channel)
}

fn pair(ty: Type) -> (Socket, Socket) {
    let (listener, channel) = listen(ty);
    let client = myproto::connect(ty, channel, LONG).unwrap();
    (client, listener.accept().unwrap().0)
}

fn time_out() {
    let (mut a, _b) = pair(Type::STREAM);
    a.set_read_timeout(Some(SHORT)).unwrap();
    assert_eq!(a.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

// A socket cannot be closed while another thread uses it: Rust does not let it.
fn shutdown_read() {
    let (a, _b) = pair(Type::STREAM);
    thread::scope(|scope| {
        let reader = scope.spawn(|| (&a).read(&mut [0]));
        thread::sleep(SHORT);
        a.shutdown(Shutdown::Both).unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 0);
    });
}

fn shutdown_accept() {
    let (listener, _) = listen(Type::STREAM);
    thread::scope(|scope| {
        let acceptor = scope.spawn(|| listener.accept());
        thread::sleep(SHORT);
        listener.shutdown(Shutdown::Both).unwrap();
        let error = acceptor.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

fn credentials() {
    let (a, b) = pair(Type::SEQPACKET);
    for socket in [a, b] {
        let cred = myproto::peer_cred(&socket).unwrap();
        assert_eq!(cred.pid as u32, std::process::id());
        assert_eq!(cred.uid, unsafe { libc::getuid() });
    }
}

fn refused() {
    let (listener, channel) = listen(Type::STREAM);
    drop(listener);
    let error = myproto::connect(Type::STREAM, channel, LONG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

fn backlog() {
    let (listener, channel) = listen(Type::STREAM);
    let _first = myproto::connect(Type::STREAM, channel, SHORT).unwrap();
    let error = myproto::connect(Type::STREAM, channel, SHORT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    thread::scope(|scope| {
        let begin = Instant::now();
        let third = scope.spawn(|| myproto::connect(Type::STREAM, channel, LONG));
        thread::sleep(SHORT);
        listener.accept().unwrap();
        third.join().unwrap().unwrap();
        assert!((SHORT..LONG).contains(&begin.elapsed()));
    });
}

fn messages() {
    let (a, b) = pair(Type::SEQPACKET);
    let sent: [&[u8]; 3] = [b"one", b"", b"three"];
    for message in sent {
        a.send(message).unwrap();
    }
    drop(a);
    let mut buf = [0; 100];
    for message in sent {
        let (n, _) = myproto::recv_from(&b, &mut buf).unwrap().unwrap();
        assert_eq!(&buf[..n], message);
    }
    assert_eq!(myproto::recv_from(&b, &mut buf).unwrap(), None);
}

fn data() -> Vec<u8> {
    (0..10_000_000u32)
        .map(|i| (i.wrapping_mul(i) >> 8) as u8)
        .collect()
}

fn large() {
    let (mut a, mut b) = pair(Type::STREAM);
    let sender = thread::spawn(move || a.write_all(&data()));
    let mut received = Vec::new();
    b.read_to_end(&mut received).unwrap();
    sender.join().unwrap().unwrap();
    assert!(received == data());
}

fn run<F: std::future::Future>(future: F) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(future);
}

fn async_time_outs() {
    run(async {
        let (listener, channel) = listen(Type::SEQPACKET);
        let listener = AsyncSocket::new(listener).unwrap();
        timeout(SHORT, listener.accept()).await.err().unwrap();

        let connect = || AsyncSocket::connect(Type::SEQPACKET, channel);
        let first = connect().await.unwrap();
        timeout(SHORT, connect()).await.err().unwrap();
        let waiting = tokio::spawn(connect());
        tokio::time::sleep(SHORT).await;
        assert!(!waiting.is_finished());
        let (accepted, _) = listener.accept().await.unwrap();
        waiting.await.unwrap().unwrap();

        let mut buf = [0; 10];
        timeout(SHORT, accepted.recv_from(&mut buf))
            .await
            .unwrap_err();
        first.send(b"after").await.unwrap();
        let received = accepted.recv_from(&mut buf).await.unwrap();
        assert_eq!(received.map(|(n, _)| &buf[..n]), Some(&b"after"[..]));
    });
}

fn async_large() {
    run(async {
        let (listener, channel) = listen(Type::STREAM);
        let listener = AsyncSocket::new(listener).unwrap();
        tokio::spawn(async move {
            let (client, _) = listener.accept().await.unwrap();
            let (mut from, mut to) = tokio::io::split(client);
            tokio::io::copy(&mut from, &mut to).await.unwrap();
            to.shutdown().await.unwrap();
        });
        let client = AsyncSocket::connect(Type::STREAM, channel).await.unwrap();
        let (mut from, mut to) = tokio::io::split(client);
        let sender = tokio::spawn(async move {
            to.write_all(&data()).await.unwrap();
            to.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        from.read_to_end(&mut received).await.unwrap();
        sender.await.unwrap();
        assert!(received == data());
    });
}

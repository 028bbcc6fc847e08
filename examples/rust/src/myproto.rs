// SPDX-License-Identifier: GPL-2.0

//! What socket2::Socket lacks for AF_MYPROTO, addresses and credentials, and a
//! socket for tokio. All else is as with other families.

use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, Read, Write};
use std::mem::{self, MaybeUninit};
use std::os::unix::io::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub const AF_MYPROTO: i32 = 46;

/// struct sockaddr_my
#[repr(C)]
struct SockaddrMy {
    family: u16,
    pad: u16,
    channel: u32,
}

/// The address of a channel.
pub fn address(channel: u32) -> SockAddr {
    let my = SockaddrMy {
        family: AF_MYPROTO as u16,
        pad: 0,
        channel,
    };
    // SAFETY: sockaddr_storage is made to hold any address.
    unsafe {
        let mut storage: libc::sockaddr_storage = mem::zeroed();
        (&mut storage as *mut _ as *mut SockaddrMy).write(my);
        SockAddr::new(storage, mem::size_of::<SockaddrMy>() as u32)
    }
}

/// The channel in an address, 0 if it is empty.
pub fn channel(address: &SockAddr) -> u32 {
    // SAFETY: behind it is a sockaddr_storage, of which unused bytes are 0.
    unsafe { (*(address.as_ptr() as *const SockaddrMy)).channel }
}

pub fn socket(ty: Type) -> io::Result<Socket> {
    Socket::new(Domain::from(AF_MYPROTO), ty, None)
}

/// A bound socket. Channel 0 is one that is free.
pub fn bind(ty: Type, channel: u32) -> io::Result<Socket> {
    let socket = socket(ty)?;
    socket.bind(&address(channel))?;
    Ok(socket)
}

/// A listening socket. There are places for backlog + 1 connections.
pub fn listen(ty: Type, channel: u32, backlog: i32) -> io::Result<Socket> {
    let socket = bind(ty, channel)?;
    socket.listen(backlog)?;
    Ok(socket)
}

/// Waits at most this long while the backlog of the other is full.
pub fn connect(ty: Type, channel: u32, timeout: Duration) -> io::Result<Socket> {
    let socket = socket(ty)?;
    socket.connect_timeout(&address(channel), timeout)?;
    Ok(socket)
}

/// Receives one message: its length and the channel of its sender. None is the
/// end of the connection, which has no sender. An empty message has one.
pub fn recv_from(socket: &Socket, buf: &mut [u8]) -> io::Result<Option<(usize, u32)>> {
    // SAFETY: recv_from() writes nothing but bytes.
    let buf = unsafe { &mut *(buf as *mut [u8] as *mut [MaybeUninit<u8>]) };
    let (n, from) = socket.recv_from(buf)?;
    Ok((from.len() > 0).then(|| (n, channel(&from))))
}

/// Which process is at the other end of a connection.
pub fn peer_cred(socket: &Socket) -> io::Result<libc::ucred> {
    // SAFETY: ucred is three numbers, and len says how large it is.
    unsafe {
        let mut cred: libc::ucred = mem::zeroed();
        let mut len = mem::size_of_val(&cred) as u32;
        let fd = socket.as_raw_fd();
        let value = &mut cred as *mut _ as *mut libc::c_void;
        match libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, value, &mut len) {
            0 => Ok(cred),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// A socket for tokio. Of type STREAM it is AsyncRead and AsyncWrite.
pub struct AsyncSocket(AsyncFd<Socket>);

impl AsyncSocket {
    pub fn new(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self(AsyncFd::new(socket)?))
    }

    pub async fn connect(ty: Type, channel: u32) -> io::Result<Self> {
        let socket = socket(ty)?;
        socket.set_nonblocking(true)?;
        let result = socket.connect(&address(channel));
        let this = Self::new(socket)?;
        match result {
            Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {
                this.0.writable().await?.retain_ready();
                this.0.get_ref().take_error()?.map_or(Ok(this), Err)
            }
            result => result.map(|()| this),
        }
    }

    pub async fn accept(&self) -> io::Result<(Self, u32)> {
        loop {
            if let Ok(result) = self.0.readable().await?.try_io(|s| s.get_ref().accept()) {
                let (socket, from) = result?;
                return Ok((Self::new(socket)?, channel(&from)));
            }
        }
    }

    /// See recv_from() above.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<Option<(usize, u32)>> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(result) = ready.try_io(|s| recv_from(s.get_ref(), buf)) {
                return result;
            }
        }
    }

    /// Sends one message.
    pub async fn send(&self, message: &[u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.writable().await?;
            if let Ok(result) = ready.try_io(|s| s.get_ref().send(message)) {
                return result;
            }
        }
    }
}

impl AsyncRead for AsyncSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = match self.0.poll_read_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return Poll::Pending,
            };
            if let Ok(n) = ready.try_io(|s| s.get_ref().read(buf.initialize_unfilled())) {
                return Poll::Ready(n.map(|n| buf.advance(n)));
            }
        }
    }
}

impl AsyncWrite for AsyncSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = match self.0.poll_write_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return Poll::Pending,
            };
            if let Ok(n) = ready.try_io(|s| s.get_ref().write(buf)) {
                return Poll::Ready(n);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.get_ref().shutdown(std::net::Shutdown::Write))
    }
}

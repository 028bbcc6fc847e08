"""Sockets of AF_MYPROTO for Python: socket.socket, with channels as addresses.

    from myproto import Socket
    with Socket() as sock:          # or Socket(type=socket.SOCK_SEQPACKET)
        sock.connect(4711)
        sock.sendall(b"hello")

It takes a kernel that has the family, and nothing but Python's own library.
For programs that use it see echo.py.

CPython knows no addresses of this family and refuses the calls that have one.
But where the kernel gives an address, CPython only looks whether the socket is
of a family it knows, and hands out what it does not know as bytes. So to
CPython these are sockets of AF_UNIX, and only the calls that take an address go
to the C library from here. Time-outs, signals, selectors and the calls of
asyncio's loop that begin with sock_ work as with any socket. So do
asyncio.open_connection(sock=...) and asyncio.start_server(sock=...), with TLS
too, and loop.create_datagram_endpoint(sock=...). socket.send_fds() works if the
receiver has set SO_PASSRIGHTS.

Four things do not work:
- asyncio has streams for SOCK_STREAM alone, and its datagram endpoints take an
  empty message from the end of a connection for ever. So for SOCK_SEQPACKET use
  loop.sock_recv() and the like. An endpoint sends no empty messages.
- poll() does not tell whether the receiver of sendto() is full. So a datagram
  endpoint keeps the processor busy while it is, unless the socket is associated
  with the receiver by connect().
- SSLContext.wrap_socket() makes a socket of its own class, which does not know
  the addresses. ssl.MemoryBIO does not need one.
- As with any socket, close() does not wake another thread that waits in recv()
  or accept(). shutdown(SHUT_RDWR) does.
"""

import ctypes
import errno
import os
import select
import socket
import struct
import time

AF_MYPROTO = 46
SO_PASSRIGHTS = 83
SOL_MYPROTO = 288
MYPROTO_MESSAGE_MAX = 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.sendto.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t,
                         ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_libc.sendto.restype = ctypes.c_ssize_t


def _sockaddr(channel):
    """struct sockaddr_my"""
    return struct.pack("=HHI", AF_MYPROTO, 0, channel)


def _channel(address):
    """The channel in what CPython makes of an address, None if there is none"""
    return struct.unpack_from("=HI", address[1])[1] if address else None


class Socket(socket.socket):
    """socket.socket, whose addresses are channels, that is int"""

    def __init__(self, family=AF_MYPROTO, type=socket.SOCK_STREAM, proto=0, fileno=None):
        if fileno is None:
            fileno = socket.socket(family, type, proto).detach()
        super().__init__(socket.AF_UNIX, type, proto, fileno)

    @property
    def family(self):
        return AF_MYPROTO

    def bind(self, channel):
        self._call(_libc.bind, _sockaddr(channel), 8)

    def connect(self, channel):
        try:
            self._call(_libc.connect, _sockaddr(channel), 8)
        except (BlockingIOError, InterruptedError) as error:
            # It goes on connecting. A second connect() would say so too.
            if self.gettimeout() == 0 or error.errno not in (errno.EINPROGRESS, errno.EINTR):
                raise
            self._wait(select.POLLOUT, self._deadline())
            result = self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if result:
                raise OSError(result, os.strerror(result)) from None

    def connect_ex(self, channel):
        try:
            self.connect(channel)
        except TimeoutError:
            return errno.EAGAIN  # as CPython does
        except OSError as error:
            return error.errno
        return 0

    def accept(self):
        """(connection, channel of the peer)"""
        fd, address = self._accept()
        connection = Socket(type=self.type, fileno=fd)
        if self.gettimeout():
            connection.setblocking(True)
        return connection, _channel(address)

    def getsockname(self):
        return _channel(super().getsockname())

    def getpeername(self):
        return _channel(super().getpeername())

    def sendto(self, data, *flags_channel):
        """sendto(data, channel) or sendto(data, flags, channel)"""
        *flags, channel = flags_channel
        data = bytes(data)
        return self._call(_libc.sendto, data, len(data), *(flags or [0]), _sockaddr(channel), 8)

    def recvfrom(self, *args):
        """(data, channel of the sender)"""
        data, address = super().recvfrom(*args)
        return data, _channel(address)

    def recvfrom_into(self, *args):
        length, address = super().recvfrom_into(*args)
        return length, _channel(address)

    def recvmsg(self, *args):
        *result, address = super().recvmsg(*args)
        return *result, _channel(address)

    def recvmsg_into(self, *args):
        *result, address = super().recvmsg_into(*args)
        return *result, _channel(address)

    def peercred(self):
        """(process, user, group) of the peer"""
        return struct.unpack("3i", self.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))

    def at_end(self):
        """After recv() of a message gave b"": was that the end, or an empty one?"""
        poll = select.poll()
        poll.register(self, select.POLLRDHUP)
        return bool(poll.poll(0))

    def _deadline(self):
        timeout = self.gettimeout()
        return timeout and time.monotonic() + timeout

    def _wait(self, event, deadline):
        left = deadline and deadline - time.monotonic()
        poll = select.poll()
        poll.register(self, event)
        if left and left < 0 or not poll.poll(left and left * 1000):
            raise TimeoutError("timed out")

    def _call(self, function, *args):
        """A call of the C library with CPython's time-out, again after a signal.

        connect() is not repeated: it goes on by itself.
        """
        deadline = self._deadline()
        while (result := function(self.fileno(), *args)) < 0:
            error = ctypes.get_errno()
            if error == errno.EAGAIN and deadline:
                self._wait(select.POLLOUT, deadline)
                time.sleep(0.001)  # in case poll() cannot tell, see above
            elif error != errno.EINTR or function is _libc.connect:
                raise OSError(error, os.strerror(error))
        return result


def socketpair(type=socket.SOCK_STREAM):
    return tuple(Socket(type=type, fileno=end.detach())
                 for end in socket.socketpair(AF_MYPROTO, type))

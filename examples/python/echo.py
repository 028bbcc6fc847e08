#!/usr/bin/env python3
"""Echo over AF_MYPROTO, by threads or, after --asyncio, by asyncio.

In a kernel that has the family:
    ./echo.py server stream 4711 &
    ./echo.py client stream 4711 hello world
    ./echo.py check

The types are stream, seqpacket and dgram. check shows what the sockets do:
time-outs, waking threads, credentials, a full backlog and so on.
"""

import asyncio
import errno
import hashlib
import os
import select
import selectors
import signal
import socket
import sys
import threading
import time

import myproto
from myproto import Socket

TYPES = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET,
         "dgram": socket.SOCK_DGRAM}
LONGEST = 512 * 1024  # no message is longer
TIMEOUT = 5


def listener(kind, channel, backlog=socket.SOMAXCONN):
    sock = Socket(type=kind)
    sock.bind(channel)
    if kind != socket.SOCK_DGRAM:
        sock.listen(backlog)
    return sock


def announce(connection, channel):
    pid, uid, _ = Socket.peercred(connection)  # asyncio gives another class
    print(f"client from channel {channel}, pid {pid}, uid {uid}", flush=True)


def ended(connection, data):
    return not data and (connection.type == socket.SOCK_STREAM or connection.at_end())


def answer(sock, data, channel):
    """Of a datagram: drop it if the client does not read, or is gone."""
    try:
        sock.sendto(data, socket.MSG_DONTWAIT, channel)
    except OSError:
        pass


# Threads

def serve_one(connection):
    with connection:
        try:
            while not ended(connection, data := connection.recv(LONGEST)):
                connection.sendall(data)
        except ConnectionError:
            pass  # the client went away


def serve(sock):
    while sock.type == socket.SOCK_DGRAM:
        answer(sock, *sock.recvfrom(LONGEST))
    while True:
        connection, channel = sock.accept()
        announce(connection, channel)
        threading.Thread(target=serve_one, args=(connection,), daemon=True).start()


def client(kind, channel, messages):
    with Socket(type=kind) as sock:
        sock.settimeout(TIMEOUT)
        sock.connect(channel)
        for message in messages:
            sock.sendall(message)
            data = sock.recv(LONGEST)
            while kind == socket.SOCK_STREAM and 0 < len(data) < len(message):
                data += sock.recv(LONGEST)
            show(message, data)


def show(message, data):
    if data != message:
        sys.exit(f"the answer to {message!r} was {data!r}")
    print(data.decode(errors="surrogateescape"), flush=True)


# asyncio: streams for SOCK_STREAM, an endpoint for the server of SOCK_DGRAM, and
# the loop's sock_* for the rest

async def serve_stream(reader, writer):
    announce(writer.get_extra_info("socket"), writer.get_extra_info("peername"))
    try:
        while data := await reader.read(LONGEST):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


class Datagrams(asyncio.DatagramProtocol):
    """A server. Not transport.sendto(), which would keep what cannot be sent."""

    def __init__(self, sock):
        self.sock = sock

    def datagram_received(self, data, channel):
        answer(self.sock, data, channel)


class Answers(asyncio.DatagramProtocol):
    def __init__(self):
        self.received = asyncio.Queue()

    def datagram_received(self, data, channel):
        self.received.put_nowait(data)


async def serve_message(loop, connection):
    with connection:
        try:
            while not ended(connection, data := await loop.sock_recv(connection, LONGEST)):
                await loop.sock_sendall(connection, data)
        except ConnectionError:
            pass


async def async_serve(sock):
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    if sock.type == socket.SOCK_STREAM:
        server = await asyncio.start_server(serve_stream, sock=sock)
        await server.serve_forever()
    elif sock.type == socket.SOCK_DGRAM:
        await loop.create_datagram_endpoint(lambda: Datagrams(sock), sock=sock)
        await asyncio.Event().wait()
    tasks = set()  # asyncio itself holds no reference
    while True:
        connection, channel = await loop.sock_accept(sock)
        announce(connection, channel)
        tasks.add(task := asyncio.create_task(serve_message(loop, connection)))
        task.add_done_callback(tasks.discard)


async def async_connect(kind, channel):
    sock = Socket(type=kind)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, channel)
    return sock


async def async_client(kind, channel, messages):
    loop = asyncio.get_running_loop()
    sock = await async_connect(kind, channel)
    if kind == socket.SOCK_STREAM:
        reader, writer = await asyncio.open_connection(sock=sock)
    for message in messages:
        if kind == socket.SOCK_STREAM:
            writer.write(message)
            data = reader.readexactly(len(message))
        else:
            await loop.sock_sendall(sock, message)
            data = loop.sock_recv(sock, LONGEST)
        show(message, await asyncio.wait_for(data, TIMEOUT))


# What the sockets do

failures = 0


def check(what, passed=True):
    global failures
    failures += not passed
    print("ok" if passed else "not ok", "-", what, flush=True)


def raises(exception, function, *args, number=None):
    try:
        function(*args)
    except exception as error:
        return number is None or error.errno == number
    return False


def connected(kind=socket.SOCK_STREAM):
    """(client, server's end)"""
    with listener(kind, 0) as sock:
        client = Socket(type=kind)
        client.connect(sock.getsockname())
        return client, sock.accept()[0]


def wakes(sock, function):
    """What function returns or raises in another thread after shutdown()"""
    result = []

    def run():
        try:
            result.append(function())
        except OSError as error:
            result.append(error.errno)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    time.sleep(0.1)
    waited = thread.is_alive()
    sock.shutdown(socket.SHUT_RDWR)
    sock.close()
    thread.join(TIMEOUT)
    return result[0] if waited and result else None


def peer_in_process():
    """(what peercred() says, the process, whether the channels fit)"""
    sock = listener(socket.SOCK_STREAM, 0)
    pid = os.fork()
    if not pid:
        with Socket() as client:
            client.connect(sock.getsockname())
            client.send(str(client.getsockname()).encode())
            client.recv(1)
            os._exit(0)
    connection, channel = sock.accept()
    said = connection.recv(100)
    found = connection.peercred(), pid, said == str(channel).encode() == \
        str(connection.getpeername()).encode()
    connection.close()
    os.waitpid(pid, 0)
    return found


def check_backlog():
    sock = listener(socket.SOCK_STREAM, 0, 0)
    first, waiting, late, slow, threaded = (Socket() for _ in range(5))
    first.connect(sock.getsockname())
    waiting.setblocking(False)
    check("a full backlog: connect() is BlockingIOError (EINPROGRESS), then EALREADY",
          raises(BlockingIOError, waiting.connect, sock.getsockname(), number=errno.EINPROGRESS)
          and waiting.connect_ex(sock.getsockname()) == errno.EALREADY)
    late.settimeout(0.1)
    check("a full backlog: with settimeout(), connect() is TimeoutError",
          raises(TimeoutError, late.connect, sock.getsockname()))
    late.close()
    selector = selectors.DefaultSelector()
    selector.register(waiting, selectors.EVENT_WRITE)
    quiet = not selector.select(0.1)
    sock.accept()[0].close()
    check("a full backlog: after an accept() the selector says that it is connected",
          quiet and len(selector.select(TIMEOUT)) == 1
          and waiting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0)
    thread = threading.Thread(target=threaded.connect, args=(sock.getsockname(),))
    thread.start()
    time.sleep(0.1)
    waited = thread.is_alive()
    slow.settimeout(TIMEOUT)
    other = threading.Thread(target=slow.connect, args=(sock.getsockname(),))
    other.start()
    for _ in range(3):
        sock.accept()[0].close()
    thread.join(TIMEOUT)
    other.join(TIMEOUT)
    check("a full backlog: a blocking connect(), and one with a time-out, wait and connect",
          waited and not thread.is_alive() and not other.is_alive())


def check_signal():
    """A signal whose handler returns does not end a call, one that raises does."""
    calls = []
    signal.signal(signal.SIGALRM, lambda *_: calls.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    sock = listener(socket.SOCK_STREAM, 0, 0)
    clients = [Socket() for _ in range(2)]
    clients[0].connect(sock.getsockname())
    threading.Timer(0.2, sock.accept).start()
    clients[1].connect(sock.getsockname())
    check("a signal does not end connect()", calls == [1])


def check_messages(kind):
    one, other = myproto.socketpair(kind)
    for message in (b"one", b"", b"three"):
        one.send(message)
    return [other.recv(100) for _ in range(3)] == [b"one", b"", b"three"] \
        and not other.at_end()


def check_addresses():
    one, other = (listener(socket.SOCK_DGRAM, 0) for _ in range(2))
    number = one.getsockname()
    other.sendto(b"to", number)
    received = one.recvfrom(10) == (b"to", other.getsockname())
    other.sendto(b"msg", 0, number)
    data, _, _, channel = one.recvmsg(10)
    return received and (data, channel) == (b"msg", other.getsockname())


def check_full_datagrams():
    one, other = (listener(socket.SOCK_DGRAM, 0) for _ in range(2))
    one.settimeout(0.2)

    def fill():
        while True:
            one.sendto(bytes(50000), other.getsockname())

    return raises(TimeoutError, fill)


def check_transfer():
    sender, receiver = connected()
    data = os.urandom(10_000_000)
    digest = hashlib.sha256()

    def send():
        with sender:
            sender.sendall(data)

    threading.Thread(target=send).start()
    with receiver.makefile("rb") as file:
        while piece := file.read(100_000):
            digest.update(piece)
    return digest.digest() == hashlib.sha256(data).digest()


def check_threads():
    one, other = connected()
    one.settimeout(0.1)
    check("a deadline: settimeout() ends recv() with TimeoutError", raises(TimeoutError, one.recv, 1))
    one.setblocking(False)
    check("setblocking(False): BlockingIOError", raises(BlockingIOError, one.recv, 1))
    with listener(socket.SOCK_STREAM, 0) as sock:
        sock.settimeout(0.1)
        check("a deadline: settimeout() ends accept() with TimeoutError",
              raises(TimeoutError, sock.accept))
        check("a channel that is taken is OSError (EADDRINUSE)",
              raises(OSError, Socket().bind, sock.getsockname(), number=errno.EADDRINUSE))
        number = sock.getsockname()
    check("nobody listens: ConnectionRefusedError", raises(ConnectionRefusedError, Socket().connect, number))
    check("shutdown() and close() wake a thread in recv()", wakes(other, lambda: other.recv(1)) == b"")
    sock = listener(socket.SOCK_STREAM, 0)
    check("shutdown() and close() wake a thread in accept()", wakes(sock, sock.accept) == errno.EINVAL)
    cred, pid, channels = peer_in_process()
    check("credentials of the peer", cred == (pid, os.getuid(), os.getgid()))
    check("channels of accept(), getsockname() and getpeername()", channels)
    check("channels of sendto(), recvfrom() and recvmsg()", check_addresses())
    check_backlog()
    check_signal()
    for name in ("seqpacket", "dgram"):
        check(f"{name} keeps messages apart, empty ones too", check_messages(TYPES[name]))
    check("a deadline: sendto() to a full socket", check_full_datagrams())
    check("10 MB with their digest", check_transfer())


async def times_out(awaitable, seconds=0.1):
    try:
        await asyncio.wait_for(awaitable, seconds)
    except asyncio.TimeoutError:
        return True
    return False


async def check_stream():
    """10 MB to a server and back, by asyncio's streams"""
    server = await asyncio.start_server(serve_stream, sock=listener(socket.SOCK_STREAM, 0))
    sock = await async_connect(socket.SOCK_STREAM, server.sockets[0].getsockname())
    reader, writer = await asyncio.open_connection(sock=sock)
    data = os.urandom(10_000_000)
    writer.write(data)
    writer.write_eof()
    digest = hashlib.sha256(await reader.read()).digest()
    writer.close()
    server.close()
    return digest == hashlib.sha256(data).digest()


async def check_async():
    loop = asyncio.get_running_loop()
    sock = listener(socket.SOCK_STREAM, 0, 0)
    sock.setblocking(False)
    number = sock.getsockname()
    check("a deadline: wait_for() ends sock_accept()", await times_out(loop.sock_accept(sock)))
    first = await async_connect(socket.SOCK_STREAM, number)
    check("a deadline: wait_for() ends sock_recv()", await times_out(loop.sock_recv(first, 1)))

    waiting = asyncio.create_task(async_connect(socket.SOCK_STREAM, number))
    await asyncio.sleep(0.1)
    waited = not waiting.done()
    connection, channel = await loop.sock_accept(sock)
    await asyncio.wait_for(waiting, TIMEOUT)
    check("a full backlog: sock_connect() waits and connects", waited)
    check("credentials and channel of the peer", channel == first.getsockname()
          and connection.peercred() == (os.getpid(), os.getuid(), os.getgid()))

    receiving = asyncio.create_task(loop.sock_recv(first, 1))
    await asyncio.sleep(0.1)
    receiving.cancel()
    await asyncio.wait([receiving])
    first.close()
    check("a task that waits in sock_recv() is cancelled, then close()", receiving.cancelled())

    reader, writer = await asyncio.open_connection(sock=await waiting)
    reading = asyncio.create_task(reader.read(1))
    await asyncio.sleep(0.1)
    writer.close()
    check("close() of a stream ends a task that waits in read()",
          await asyncio.wait_for(reading, TIMEOUT) == b"")

    sock.close()
    try:
        await async_connect(socket.SOCK_STREAM, number)
        check("nobody listens", False)
    except ConnectionRefusedError:
        check("nobody listens: ConnectionRefusedError")

    one, other = myproto.socketpair(socket.SOCK_SEQPACKET)
    one.setblocking(False)
    other.setblocking(False)
    for message in (b"one", b"", b"three"):
        await loop.sock_sendall(one, message)
    check("seqpacket keeps messages apart, empty ones too",
          [await loop.sock_recv(other, 100) for _ in range(3)] == [b"one", b"", b"three"])

    server = listener(socket.SOCK_DGRAM, 0)
    server.setblocking(False)
    transport, _ = await loop.create_datagram_endpoint(lambda: Datagrams(server), sock=server)
    client = await async_connect(socket.SOCK_DGRAM, server.getsockname())
    other, protocol = await loop.create_datagram_endpoint(Answers, sock=client)
    for message in (b"one", b"three"):
        other.sendto(message)
    check("datagram endpoints", [await asyncio.wait_for(protocol.received.get(), TIMEOUT)
                                 for _ in range(2)] == [b"one", b"three"])
    transport.close()
    other.close()
    check("10 MB with their digest, to a server of streams and back", await check_stream())


def main(arguments):
    threads = arguments[:1] != ["--asyncio"]
    command, *arguments = arguments if threads else arguments[1:]
    if command == "check":
        check_threads() if threads else asyncio.run(check_async())
        sys.exit(failures != 0)
    kind, channel = TYPES[arguments[0]], int(arguments[1])
    if command == "client":
        messages = [os.fsencode(message) for message in arguments[2:]]
        if threads:
            client(kind, channel, messages)
        else:
            asyncio.run(async_client(kind, channel, messages))
    elif command == "server":
        sock = listener(kind, channel)
        print(f"listening on {channel}", flush=True)
        if threads:
            serve(sock)
        else:
            asyncio.run(async_serve(sock))
    else:
        raise ValueError(command)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, KeyError):
        sys.exit(__doc__)
    except OSError as error:
        sys.exit(f"{sys.argv[0]}: {error}")
    except KeyboardInterrupt:
        pass

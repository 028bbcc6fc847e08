// SPDX-License-Identifier: GPL-2.0

// Package myproto gives AF_MYPROTO sockets as net.Conn, net.Listener and
// net.PacketConn. Package syscall refuses addresses of families that it does
// not know, so the calls with an address are made here. The poller of the
// runtime does the waiting, as for Go's own sockets.
package myproto

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

const family = 46 // AF_MYPROTO

// The types of sockets.
const (
	Stream    = syscall.SOCK_STREAM
	SeqPacket = syscall.SOCK_SEQPACKET
	Dgram     = syscall.SOCK_DGRAM
)

// Addr is a channel. To Listen and ListenPacket, 0 means one that is free.
type Addr uint32

func (Addr) Network() string  { return "myproto" }
func (a Addr) String() string { return strconv.FormatUint(uint64(a), 10) }

// sockaddr is struct sockaddr_my.
type sockaddr struct {
	family, pad uint16
	channel     Addr
}

const addrLen = unsafe.Sizeof(sockaddr{})

// call makes a system call with a socket. The arguments may be pointers.
//
//go:uintptrescapes
func call(number, fd, a, b, c, d, e uintptr) (int, error) {
	n, _, errno := syscall.Syscall6(number, fd, a, b, c, d, e)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// withAddr binds or connects.
func withAddr(number uintptr, fd int, a Addr) error {
	_, err := call(number, uintptr(fd), uintptr(unsafe.Pointer(&sockaddr{family, 0, a})), addrLen, 0, 0, 0)
	return err
}

// socket is what Conn and Listener have in common.
type socket struct {
	file        *os.File
	raw         syscall.RawConn
	typ         int
	local, peer Addr
}

// wrap hands a non-blocking descriptor to the poller.
func wrap(fd, typ int, local, peer Addr) *socket {
	file := os.NewFile(uintptr(fd), "myproto")
	raw, _ := file.SyscallConn()
	return &socket{file, raw, typ, local, peer}
}

// open makes a socket that setup binds or connects.
func open(op string, typ int, peer Addr, setup func(fd int) error) (*socket, error) {
	fd, err := syscall.Socket(family, typ|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	var local sockaddr
	size := uint32(addrLen)
	if err = setup(fd); err == nil {
		_, err = call(syscall.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&local)),
			uintptr(unsafe.Pointer(&size)), 0, 0, 0)
	}
	s := wrap(fd, typ, local.channel, peer)
	if err != nil {
		s.Close()
		return nil, s.fail(op, err)
	}
	return s, nil
}

// wait repeats a call, by way of raw.Read or raw.Write, until it is done.
func wait(raw func(func(fd uintptr) bool) error, f func(fd uintptr) error) (err error) {
	waited := raw(func(fd uintptr) bool {
		err = f(fd)
		return err != syscall.EAGAIN && err != syscall.EINPROGRESS && err != syscall.EALREADY
	})
	switch {
	case waited == nil:
		return err
	case errors.Is(waited, os.ErrDeadlineExceeded):
		return waited
	}
	return net.ErrClosed
}

// fail makes of err what package net would return.
func (s *socket) fail(op string, err error) error {
	if path, ok := err.(*os.PathError); ok {
		err = path.Err
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, os.ErrClosed) {
		err = net.ErrClosed
	}
	return &net.OpError{Op: op, Net: "myproto", Source: s.local, Addr: s.peer, Err: err}
}

func (s *socket) set(err error) error                   { return s.fail("set", err) }
func (s *socket) SetDeadline(t time.Time) error         { return s.set(s.file.SetDeadline(t)) }
func (s *socket) SetReadDeadline(t time.Time) error     { return s.set(s.file.SetReadDeadline(t)) }
func (s *socket) SetWriteDeadline(t time.Time) error    { return s.set(s.file.SetWriteDeadline(t)) }
func (s *socket) SyscallConn() (syscall.RawConn, error) { return s.raw, nil }
func (s *socket) Close() error                          { return s.fail("close", s.file.Close()) }

// Listener is a net.Listener. Its read deadline is for Accept.
type Listener struct{ *socket }

// Listen makes a listening socket. There are places for backlog + 1
// connections. Others wait until Accept makes a place.
func Listen(typ int, on Addr, backlog int) (*Listener, error) {
	s, err := open("listen", typ, 0, func(fd int) error {
		if err := withAddr(syscall.SYS_BIND, fd, on); err != nil {
			return err
		}
		return syscall.Listen(fd, backlog)
	})
	if err != nil {
		return nil, err
	}
	return &Listener{s}, nil
}

func (l *Listener) Addr() net.Addr { return l.local }

// Accept returns a *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	var peer sockaddr
	var accepted int
	err := wait(l.raw.Read, func(fd uintptr) (err error) {
		size := uint32(addrLen)
		accepted, err = call(syscall.SYS_ACCEPT4, fd, uintptr(unsafe.Pointer(&peer)),
			uintptr(unsafe.Pointer(&size)), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
		return err
	})
	if err != nil {
		return nil, l.fail("accept", err)
	}
	return &Conn{wrap(accepted, l.typ, l.local, peer.channel)}, nil
}

// Conn is a net.Conn, and a net.PacketConn if it is of type Dgram. If it is not
// of type Stream, Read takes one message. What does not fit is lost. An empty
// message is 0 bytes and no error.
type Conn struct{ *socket }

// Dial connects to a channel. While the backlog there is full, it waits, as
// long as ctx allows.
func Dial(ctx context.Context, typ int, to Addr) (*Conn, error) {
	var waiting bool
	s, err := open("dial", typ, to, func(fd int) error {
		err := withAddr(syscall.SYS_CONNECT, fd, to)
		if waiting = err == syscall.EINPROGRESS; waiting {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if waiting {
		ended := make(chan error, 1)
		go func() {
			// Another connect() tells how it has ended.
			ended <- wait(s.raw.Write, func(fd uintptr) error {
				return withAddr(syscall.SYS_CONNECT, int(fd), to)
			})
		}()
		select {
		case err = <-ended:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		s.Close()
		return nil, s.fail("dial", err)
	}
	return &Conn{s}, nil
}

// ListenPacket makes a socket of type Dgram that receives on a channel.
func ListenPacket(on Addr) (*Conn, error) {
	s, err := open("listen", Dgram, 0, func(fd int) error { return withAddr(syscall.SYS_BIND, fd, on) })
	if err != nil {
		return nil, err
	}
	return &Conn{s}, nil
}

func (c *Conn) LocalAddr() net.Addr  { return c.local }
func (c *Conn) RemoteAddr() net.Addr { return c.peer }

func (c *Conn) Read(p []byte) (int, error) {
	n, _, err := c.ReadFrom(p)
	return n, err
}

// ReadFrom is Read, and tells who sent the message.
func (c *Conn) ReadFrom(p []byte) (n int, from net.Addr, err error) {
	if c.typ == Stream && len(p) == 0 {
		return 0, nil, nil
	}
	var sa sockaddr
	var size uint32
	err = wait(c.raw.Read, func(fd uintptr) (err error) {
		size = uint32(addrLen)
		n, err = call(syscall.SYS_RECVFROM, fd, uintptr(start(p)), uintptr(len(p)), 0,
			uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
		return err
	})
	// An empty message has a sender. The end of the connection has none.
	if err == nil && n == 0 && (c.typ == Stream || size == 0) {
		return 0, nil, io.EOF
	}
	return n, sa.channel, c.fail("read", err)
}

func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.file.Write(p)
	return n, c.fail("write", err)
}

var errFull = errors.New("full")

// WriteTo sends a message to a channel.
func (c *Conn) WriteTo(p []byte, to net.Addr) (n int, err error) {
	channel, _ := to.(Addr)
	for {
		err = wait(c.raw.Write, func(fd uintptr) (err error) {
			n, err = call(syscall.SYS_SENDTO, fd, uintptr(start(p)), uintptr(len(p)), 0,
				uintptr(unsafe.Pointer(&sockaddr{family, 0, channel})), addrLen)
			if err == syscall.EAGAIN {
				return errFull
			}
			return err
		})
		if err != errFull {
			return n, c.fail("write", err)
		}
		// When the receiver has room again, only a send can tell.
		time.Sleep(time.Millisecond)
	}
}

func start(p []byte) unsafe.Pointer {
	if len(p) == 0 {
		return nil
	}
	return unsafe.Pointer(&p[0])
}

// PeerCred tells which process is at the other end of a connection.
func (c *Conn) PeerCred() (cred *syscall.Ucred, err error) {
	if c.raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}) != nil {
		err = net.ErrClosed
	}
	return cred, c.fail("getsockopt", err)
}

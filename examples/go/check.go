// SPDX-License-Identifier: GPL-2.0

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"example/myproto"
)

var background = context.Background()

var checks = []struct {
	what string
	run  func()
}{
	{"a read deadline passes", func() {
		a, b := pair(myproto.Stream)
		defer b.Close()
		a.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, err := a.Read(make([]byte, 1))
		timeout, ok := err.(net.Error)
		expect(errors.Is(err, os.ErrDeadlineExceeded) && ok && timeout.Timeout(), err)
	}},
	{"a write deadline passes when the receiver is full", func() {
		a, b := pair(myproto.Stream)
		defer b.Close()
		data := make([]byte, 10<<20)
		a.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := a.Write(data)
		expect(errors.Is(err, os.ErrDeadlineExceeded) && n > 0, n, err)
	}},
	{"Close() ends Read() in another goroutine", func() {
		a, b := pair(myproto.SeqPacket)
		defer b.Close()
		time.AfterFunc(50*time.Millisecond, func() { a.Close() })
		_, err := a.Read(make([]byte, 1))
		expect(errors.Is(err, net.ErrClosed), err)
	}},
	{"Close() ends Accept() in another goroutine", func() {
		l := listen(myproto.Stream, 0)
		time.AfterFunc(50*time.Millisecond, func() { l.Close() })
		_, err := l.Accept()
		expect(errors.Is(err, net.ErrClosed), err)
	}},
	{"credentials of the peer", func() {
		a, b := pair(myproto.Stream)
		for _, conn := range []*myproto.Conn{a, b} {
			cred, err := conn.PeerCred()
			expect(err == nil && int(cred.Pid) == os.Getpid() && int(cred.Uid) == os.Getuid(), cred, err)
		}
	}},
	{"connection refused", func() {
		l := listen(myproto.Stream, 0)
		l.Close()
		_, err := myproto.Dial(background, myproto.Stream, l.Addr().(myproto.Addr))
		expect(errors.Is(err, syscall.ECONNREFUSED), err)
	}},
	{"Dial() waits while the backlog is full, until its context ends or there is a place", func() {
		l := listen(myproto.Stream, 0)
		first := dial(myproto.Stream, l)
		short, cancel := context.WithTimeout(background, 50*time.Millisecond)
		defer cancel()
		_, err := myproto.Dial(short, myproto.Stream, l.Addr().(myproto.Addr))
		expect(errors.Is(err, context.DeadlineExceeded), err)
		time.AfterFunc(50*time.Millisecond, func() { l.Accept() })
		began := time.Now()
		second := dial(myproto.Stream, l)
		expect(time.Since(began) > 40*time.Millisecond, "it did not wait")
		expect(second.LocalAddr() != myproto.Addr(0) && second.LocalAddr() != first.LocalAddr(), "wrong channel")
	}},
	{"messages keep their boundaries, the empty one too, and the end is io.EOF", func() {
		a, b := pair(myproto.SeqPacket)
		messages := []string{"one", "", "three"}
		for _, m := range messages {
			_, err := a.Write([]byte(m))
			expect(err == nil, err)
		}
		a.Close()
		buf := make([]byte, 100)
		for _, m := range messages {
			n, err := b.Read(buf)
			expect(err == nil && string(buf[:n]) == m, m, n, err)
		}
		_, err := b.Read(buf)
		expect(err == io.EOF, err)
	}},
	{"WriteTo() a full receiver waits, and nothing is lost", func() {
		a, _ := myproto.ListenPacket(0)
		b, _ := myproto.ListenPacket(0)
		go func() {
			for i := 0; i < 100; i++ {
				a.WriteTo(bytes.Repeat([]byte{byte(i)}, 8000), b.LocalAddr())
			}
		}()
		time.Sleep(50 * time.Millisecond)
		buf := make([]byte, 9000)
		for i := 0; i < 100; i++ {
			n, from, err := b.ReadFrom(buf)
			expect(err == nil && n == 8000 && buf[0] == byte(i) && from == a.LocalAddr(), i, n, from, err)
		}
	}},
	{"10 MB arrive as they were sent", func() {
		a, b := pair(myproto.Stream)
		data := make([]byte, 10_000_000)
		for i := range data {
			data[i] = byte(i * i >> 8)
		}
		go func() {
			io.Copy(a, bytes.NewReader(data))
			a.Close()
		}()
		sum := sha256.New()
		n, err := io.Copy(sum, b)
		want := sha256.Sum256(data)
		expect(err == nil && n == int64(len(data)) && bytes.Equal(sum.Sum(nil), want[:]), n, err)
	}},
	{"net/http, unchanged, serves and asks over it", func() {
		l := listen(myproto.Stream, 10)
		server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s from %s", r.URL.Path, r.RemoteAddr)
		})}
		go server.Serve(l)
		var local string
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := myproto.Dial(ctx, myproto.Stream, l.Addr().(myproto.Addr))
			if err == nil {
				local = conn.LocalAddr().String()
			}
			return conn, err
		}}
		client := http.Client{Transport: transport, Timeout: 5 * time.Second}
		for i := 0; i < 2; i++ { // the second on the same connection
			answer, err := client.Get("http://any/path")
			expect(err == nil, err)
			body, err := io.ReadAll(answer.Body)
			expect(err == nil && string(body) == "/path from "+local, string(body), err)
			answer.Body.Close()
		}
		expect(server.Shutdown(background) == nil, "Shutdown() failed")
	}},
}

func listen(typ, backlog int) *myproto.Listener {
	l, err := myproto.Listen(typ, 0, backlog)
	expect(err == nil, err)
	return l
}

func dial(typ int, l *myproto.Listener) *myproto.Conn {
	conn, err := myproto.Dial(background, typ, l.Addr().(myproto.Addr))
	expect(err == nil, err)
	return conn
}

func pair(typ int) (*myproto.Conn, *myproto.Conn) {
	l := listen(typ, 0)
	defer l.Close()
	conn := dial(typ, l)
	accepted, err := l.Accept()
	expect(err == nil, err)
	return conn, accepted.(*myproto.Conn)
}

func check() (err error) {
	for _, c := range checks {
		func() {
			defer func() {
				if why := recover(); why != nil {
					fmt.Printf("not ok - %s: %v\n", c.what, why)
					err = errors.New("not all checks passed")
				} else {
					fmt.Println("ok -", c.what)
				}
			}()
			c.run()
		}()
	}
	return err
}

func expect(ok bool, seen ...any) {
	if !ok {
		panic(fmt.Sprint(seen...))
	}
}

// SPDX-License-Identifier: GPL-2.0

// AF_MYPROTO in Go: an echo server and client, and "check", which shows
// deadlines, Close(), credentials, a full backlog, messages, and HTTP over it.
// Other programs can use the package myproto beside it. In a kernel that has the
// family, with Go 1.19 or newer, in this folder:
//
//	go build -o /tmp/echo-go .
//	/tmp/echo-go server stream 4711 &          # or seqpacket, dgram
//	/tmp/echo-go client stream 4711 hello
//	/tmp/echo-go check
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"example/myproto"
)

var types = map[string]int{"stream": myproto.Stream, "seqpacket": myproto.SeqPacket, "dgram": myproto.Dgram}

const messageMax = 512 << 10

func main() {
	err := errors.New("usage: echo-go server TYPE CHANNEL | client TYPE CHANNEL MESSAGE... | check")
	args := append(os.Args[1:], "", "", "")
	typ, known := types[args[1]]
	channel, notNumber := strconv.ParseUint(args[2], 0, 32)
	switch {
	case args[0] == "check":
		err = check()
	case !known || notNumber != nil:
	case args[0] == "server":
		err = server(typ, myproto.Addr(channel))
	case args[0] == "client":
		err = client(typ, myproto.Addr(channel), os.Args[4:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "echo-go:", err)
		os.Exit(1)
	}
}

func server(typ int, channel myproto.Addr) error {
	if typ == myproto.Dgram {
		conn, err := myproto.ListenPacket(channel)
		if err != nil {
			return err
		}
		fmt.Println("listening on", conn.LocalAddr())
		buf := make([]byte, messageMax)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return err
			}
			// One that does not read must not stop the others for long.
			conn.SetWriteDeadline(time.Now().Add(time.Second))
			conn.WriteTo(buf[:n], from)
		}
	}
	listener, err := myproto.Listen(typ, channel, 128)
	if err != nil {
		return err
	}
	fmt.Println("listening on", listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go echo(conn.(*myproto.Conn))
	}
}

func echo(conn *myproto.Conn) {
	defer conn.Close()
	cred, err := conn.PeerCred()
	if err != nil {
		return
	}
	fmt.Printf("client from channel %v, pid %d, uid %d\n", conn.RemoteAddr(), cred.Pid, cred.Uid)
	buf := make([]byte, messageMax)
	for {
		n, err := conn.Read(buf)
		if err == nil {
			_, err = conn.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

func client(typ int, channel myproto.Addr, messages []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := myproto.Dial(ctx, typ, channel)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, message := range messages {
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Write([]byte(message)); err != nil {
			return err
		}
		buf, n := make([]byte, messageMax), 0
		if typ == myproto.Stream {
			n, err = io.ReadFull(conn, buf[:len(message)])
		} else {
			n, err = conn.Read(buf)
		}
		if err != nil {
			return err
		}
		if string(buf[:n]) != message {
			return fmt.Errorf("%q came back for %q", buf[:n], message)
		}
		fmt.Println(message)
	}
	return nil
}

"""What profile-report.py and apps-report.py share: the monitor of QEMU and the second
serial port of its guest, which are sockets in the folder RUN of qemu.sh."""
import socket
import sys
import time


def connect(run, name):
    end = time.monotonic() + 60
    while True:
        peer = socket.socket(socket.AF_UNIX)
        try:
            peer.connect(f"{run}/{name}")
            return peer
        except OSError:
            peer.close()
            if time.monotonic() > end:
                sys.exit(f"error: QEMU does not open {run}/{name}")
            time.sleep(0.1)


class Monitor:
    def __init__(self, run):
        self.socket = connect(run, "monitor")
        self.answer()

    def answer(self):
        text = b""
        while not text.endswith(b"(qemu) "):
            part = self.socket.recv(4096)
            if not part:
                sys.exit("error: the guest ended before its time")
            text += part

    def tell(self, *commands):
        for command in commands:
            self.socket.sendall(command.encode() + b"\n")
            self.answer()

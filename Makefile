# AF_MYPROTO: see README.md. Everything real is in scripts/.

# KERNEL=/path/to/linux and the like reach the scripts through the environment.
export KERNEL PART MUTATIONS APPS

help:
	@echo "make demo        build a small kernel, boot it, see two programs talk over AF_MYPROTO"
	@echo "make examples    programs in Python, C, Go, Rust and shell, unchanged programs, channels between hosts"
	@echo "make test        check, selftest and kunit; the last line is N passed, N failed"
	@echo "make test-all    make test, coverage, and what needs QEMU: KCSAN, programs of 32 bits"
	@echo "make check       the series: applies, builds, checkpatch, sparse, W=1 and the like"
	@echo "make selftest    its kselftests in a kernel with the debug options (KASAN, lockdep, ...)"
	@echo "make kunit       its KUnit tests, by the kernel's kunit.py, with the same options"
	@echo "make coverage    the lines they execute, in a kernel that counts them; then a search for leaks"
	@echo "make stress      those of them that look for races, three minutes each"
	@echo "make fuzz        random calls for an hour in the kernel of make selftest"
	@echo "make model       the waiting and waking as a model, all orders of its steps searched"
	@echo "make mutate      whether the selftests find small faults, one at a time"
	@echo "make bench       its speed beside AF_UNIX, TCP, UDP, VSOCK and TIPC, and the bars it has to meet;"
	@echo "                 APPS=1: of Redis and nginx over AF_MYPROTO, AF_UNIX and TCP"
	@echo "make profile     the instructions of one operation, by function of the kernel"
	@echo "make tree        build/linux: the base kernel with the series, to read, build and work in"
	@echo "make refresh     write patches/, series and the source folders from build/linux"
	@echo "make outgoing    PART=n: part n of the series as mails in build/outgoing, signed off by you; sends nothing"
	@echo "make menuconfig  configure the kernel of make demo: Networking support, Networking options"
	@echo "make clean       remove build/ (never with work in it that is not in patches/)"
	@echo
	@echo "The base is Debian's linux-source-7.3, or your own tree of v7.3: make tree KERNEL=/path/to/linux"
	@echo "(a git tree gets a worktree and a branch of its own, any other is copied; make clean before"
	@echo "changing it). Packages that are missing are installed when you are root."

demo examples test test-all check selftest kunit coverage stress fuzz model mutate bench profile tree refresh outgoing menuconfig clean:
	@scripts/$@.sh

.PHONY: help demo examples test test-all check selftest kunit coverage stress fuzz model mutate bench profile tree refresh outgoing menuconfig clean
.NOTPARALLEL:

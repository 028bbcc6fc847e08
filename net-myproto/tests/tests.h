/* SPDX-License-Identifier: GPL-2.0 */
/* AF_MYPROTO: what the KUnit tests share */

#ifndef _MYPROTO_TESTS_H
#define _MYPROTO_TESTS_H

#include <linux/net.h>
#include <linux/sizes.h>
#include <linux/types.h>
#include <kunit/test.h>
#include <net/sock.h>

#define MYPROTO_TEST_SOCKS	8
#define MYPROTO_TEST_SIZE	(SZ_512K + 1)

/**
 * struct myproto_test - what a test case has, in kunit.priv
 * @count: how many sockets it has made
 * @sock: the sockets, NULL if closed
 * @sk: their other halves, each with a reference, to look at when closed
 * @in_use: how many sockets there were before
 * @sent: how many bytes have been sent
 * @received: how many of them have been received
 * @buf: room for MYPROTO_TEST_SIZE bytes
 */
struct myproto_test {
	int		count;
	struct socket	*sock[MYPROTO_TEST_SOCKS];
	struct sock	*sk[MYPROTO_TEST_SOCKS];
	int		in_use;
	u32		sent;
	u32		received;
	u8		*buf;
};

int myproto_test_init(struct kunit *test);
void myproto_test_exit(struct kunit *test);
struct sock *myproto_test_socket(struct kunit *test, int type);
void myproto_test_close(struct kunit *test, struct sock *sk);
struct sock *myproto_test_pair(struct kunit *test, int type);
int myproto_test_send(struct kunit *test, int len);
int myproto_test_recv(struct kunit *test, int len, int flags);

#endif /* _MYPROTO_TESTS_H */

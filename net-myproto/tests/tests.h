/* SPDX-License-Identifier: GPL-2.0 */
/* AF_MYPROTO: what the KUnit tests share */

#ifndef _MYPROTO_TESTS_H
#define _MYPROTO_TESTS_H

#include <linux/net.h>
#include <linux/sizes.h>
#include <linux/types.h>
#include <kunit/test.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#define MYPROTO_TEST_NETS	2
#define MYPROTO_TEST_SOCKS	8
#define MYPROTO_TEST_ENTRIES	128
#define MYPROTO_TEST_SIZE	(SZ_512K + 1)

/**
 * struct myproto_test - the state of a test case, in kunit.priv
 * @net: its network namespaces; sockets are in the first
 * @nets: how many there are
 * @sock: its sockets, NULL if closed
 * @sk: their other halves, each with a reference, to look at when closed
 * @socks: how many there are
 * @entry: see myproto_test_entry()
 * @entries: how many there are
 * @sent: how many bytes have been sent
 * @received: how many of them have been received
 * @buf: MYPROTO_TEST_SIZE bytes
 */
struct myproto_test {
	struct net	*net[MYPROTO_TEST_NETS];
	int		nets;
	struct socket	*sock[MYPROTO_TEST_SOCKS];
	struct sock	*sk[MYPROTO_TEST_SOCKS];
	int		socks;
	struct sock	*entry[MYPROTO_TEST_ENTRIES];
	int		entries;
	u32		sent;
	u32		received;
	u8		*buf;
};

int myproto_test_init(struct kunit *test);
void myproto_test_exit(struct kunit *test);
struct net *myproto_test_net(struct kunit *test);
struct sock *myproto_test_socket(struct kunit *test, int type);
struct sock *myproto_test_entry(struct kunit *test, struct net *net);
void myproto_test_close(struct kunit *test, struct sock *sk);
struct sock *myproto_test_pair(struct kunit *test, int type);
int myproto_test_send(struct kunit *test, int len);
int myproto_test_recv(struct kunit *test, int len, int flags);

#endif /* _MYPROTO_TESTS_H */

/* SPDX-License-Identifier: GPL-2.0 */
/* AF_MYPROTO: helpers for the KUnit tests */

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
 * @net: network namespaces; sockets are in the first one
 * @nets: number of network namespaces
 * @sock: sockets, NULL if closed
 * @sk: the struct sock of each, with a reference, to check it after close()
 * @socks: number of sockets
 * @entry: see myproto_test_entry()
 * @entries: number of entries
 * @sent: number of bytes sent
 * @received: number of bytes received
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

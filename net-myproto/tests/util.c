// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: sockets for the KUnit tests, and what goes from one to another */

#include <linux/err.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/socket.h>
#include <linux/uio.h>
#include <kunit/test.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "tests.h"

/**
 * myproto_test_init - begin a test case
 * @test: the test case
 *
 * Return: 0 or -ENOMEM.
 */
int myproto_test_init(struct kunit *test)
{
	struct myproto_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	if (!t)
		return -ENOMEM;

	t->buf = kvmalloc(MYPROTO_TEST_SIZE, GFP_KERNEL);
	if (!t->buf)
		return -ENOMEM;

	test->priv = t;
	return 0;
}

/**
 * myproto_test_exit - end a test case
 * @test: the test case
 *
 * Closes its sockets, and fails if anything is left of them then.
 */
void myproto_test_exit(struct kunit *test)
{
	struct myproto_test *t = test->priv;
	int i;

	if (!t)
		return;

	for (i = 0; i < t->count; i++)
		if (t->sock[i])
			sock_release(t->sock[i]);

	if (t->count)
		KUNIT_EXPECT_EQ(test, t->in_use,
				sock_prot_inuse_get(&init_net,
						    t->sk[0]->sk_prot));

	for (i = 0; i < t->count; i++) {
		KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(t->sk[i]), 0);
		KUNIT_EXPECT_EQ(test, refcount_read(&t->sk[i]->sk_refcnt), 1);
		sock_put(t->sk[i]);
	}
	kvfree(t->buf);
}

/**
 * myproto_test_socket - make a socket, which lasts as long as the test case
 * @test: the test case
 * @type: SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM
 *
 * Return: the socket. There is none if the test case ends here.
 */
struct sock *myproto_test_socket(struct kunit *test, int type)
{
	struct myproto_test *t = test->priv;
	struct socket *sock;

	KUNIT_ASSERT_LT(test, t->count, MYPROTO_TEST_SOCKS);
	KUNIT_ASSERT_EQ(test, 0, sock_create_kern(&init_net, AF_MYPROTO, type,
						  0, &sock));
	if (!t->count)
		t->in_use = sock_prot_inuse_get(&init_net,
						sock->sk->sk_prot) - 1;
	sock_hold(sock->sk);
	t->sk[t->count] = sock->sk;
	t->sock[t->count++] = sock;
	return sock->sk;
}

/**
 * myproto_test_close - close a socket before the test case ends
 * @test: the test case
 * @sk: the socket
 */
void myproto_test_close(struct kunit *test, struct sock *sk)
{
	struct myproto_test *t = test->priv;
	int i;

	for (i = 0; t->sk[i] != sk; i++)
		;
	sock_release(t->sock[i]);
	t->sock[i] = NULL;
}

/**
 * myproto_test_pair - make two sockets with plenty of room, connected
 * @test: the test case, with no sockets so far: the first sends to the second
 * @type: SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM
 *
 * Return: the one that receives.
 */
struct sock *myproto_test_pair(struct kunit *test, int type)
{
	struct sock *sender = myproto_test_socket(test, type);
	struct sock *receiver = myproto_test_socket(test, type);
	struct socket *sock = sender->sk_socket;

	KUNIT_ASSERT_EQ(test, 0,
			sock->ops->socketpair(sock, receiver->sk_socket));
	sender->sk_sndbuf = SZ_2M;
	receiver->sk_rcvbuf = SZ_2M;
	return receiver;
}

/* The byte that is sent after @pos others */
static u8 myproto_test_byte(u32 pos)
{
	return 167 * pos + (pos >> 8);
}

/**
 * myproto_test_send - send to the second socket of myproto_test_pair()
 * @test: the test case
 * @len: how many bytes
 *
 * Return: what sendmsg() returns.
 */
int myproto_test_send(struct kunit *test, int len)
{
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
	struct myproto_test *t = test->priv;
	struct kvec vec = { .iov_base = t->buf, .iov_len = len };
	int i, ret;

	KUNIT_ASSERT_LE(test, len, MYPROTO_TEST_SIZE);
	for (i = 0; i < len; i++)
		t->buf[i] = myproto_test_byte(t->sent + i);

	ret = kernel_sendmsg(t->sock[0], &msg, &vec, 1, len);
	if (ret > 0)
		t->sent += ret;
	return ret;
}

/**
 * myproto_test_recv - receive, and look whether it is what was sent
 * @test: the test case
 * @len: how many bytes at most
 * @flags: MSG_PEEK to leave it there
 *
 * Return: what recvmsg() returns.
 */
int myproto_test_recv(struct kunit *test, int len, int flags)
{
	struct myproto_test *t = test->priv;
	struct kvec vec = { .iov_base = t->buf, .iov_len = len };
	struct msghdr msg = {};
	int i, ret;

	KUNIT_ASSERT_LE(test, len, MYPROTO_TEST_SIZE);
	memset(t->buf, 0, len);
	ret = kernel_recvmsg(t->sock[1], &msg, &vec, 1, len,
			     flags | MSG_DONTWAIT);
	if (ret <= 0)
		return ret;

	for (i = 0; i < ret; i++)
		if (t->buf[i] != myproto_test_byte(t->received + i))
			break;
	KUNIT_EXPECT_EQ_MSG(test, i, ret, "wrong byte after %u others",
			    t->received + i);
	if (!(flags & MSG_PEEK))
		t->received += ret;
	return ret;
}

MODULE_DESCRIPTION("KUnit tests for AF_MYPROTO");
MODULE_LICENSE("GPL");

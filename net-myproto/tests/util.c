// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: sockets for the KUnit tests, and sending and receiving on them */

#include <linux/err.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/ref_tracker.h>
#include <linux/slab.h>
#include <linux/socket.h>
#include <linux/uio.h>
#include <linux/user_namespace.h>
#include <kunit/test.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>
#include <net/sock.h>

#include "../myproto.h"
#include "tests.h"

/* A private network namespace, with only the parts that AF_MYPROTO and the core
 * use. Modules cannot create a real one.
 */
struct myproto_test_net {
	struct net		net;
	struct myproto_net	mnet;
	struct net_generic	*gen;
};

static void myproto_test_net_free(struct net *net)
{
	struct myproto_test_net *tn;

	tn = container_of(net, struct myproto_test_net, net);
	if (tn->mnet.buckets)
		myproto_sockets_exit(net);
	ref_tracker_dir_exit(&net->notrefcnt_tracker);
	free_percpu(net->core.prot_inuse);
	kfree(tn->gen);
	kfree(tn);
}

static struct net *myproto_test_net_alloc(void)
{
	struct myproto_test_net *tn = kzalloc_obj(*tn);
	unsigned int i, len;
	struct net *net;

	if (!tn)
		return NULL;

	net = &tn->net;
	refcount_set(&net->passive, 1);
	ref_tracker_dir_init(&net->notrefcnt_tracker, 128, "net_notrefcnt");
	net->user_ns = &init_user_ns;

	rcu_read_lock();
	len = rcu_dereference(init_net.gen)->s.len;
	rcu_read_unlock();
	tn->gen = kzalloc_flex(*tn->gen, ptr, len);
	net->core.prot_inuse = alloc_percpu(struct prot_inuse);
	if (!tn->gen || !net->core.prot_inuse) {
		myproto_test_net_free(net);
		return NULL;
	}

	/* Only AF_MYPROTO uses this array, so set all entries to its data. */
	for (i = sizeof(*tn->gen) / sizeof(void *); i < len; i++)
		tn->gen->ptr[i] = &tn->mnet;
	tn->gen->s.len = len;
	rcu_assign_pointer(net->gen, tn->gen);
	if (myproto_sockets_init(net)) {
		myproto_test_net_free(net);
		return NULL;
	}
	return net;
}

/**
 * myproto_test_init - begin a test case
 * @test: the test case
 *
 * Return: 0 or -ENOMEM.
 */
int myproto_test_init(struct kunit *test)
{
	struct myproto_test *t;

	if (!IS_ENABLED(CONFIG_NET_NS))
		kunit_skip(test, "no network namespaces");

	t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	if (!t)
		return -ENOMEM;

	test->priv = t;
	t->buf = kvmalloc(MYPROTO_TEST_SIZE, GFP_KERNEL);
	if (!t->buf)
		return -ENOMEM;

	t->net[0] = myproto_test_net_alloc();
	if (!t->net[0])
		return -ENOMEM;

	t->nets = 1;
	return 0;
}

/* Close all sockets, and check that no reference and no charge is left. */
static void myproto_test_release(struct kunit *test)
{
	struct myproto_test *t = test->priv;
	int i;

	for (i = 0; i < t->socks; i++)
		if (t->sock[i])
			sock_release(t->sock[i]);

	for (i = 0; i < t->socks; i++) {
		KUNIT_EXPECT_EQ(test, 0,
				sock_prot_inuse_get(t->net[0],
						    t->sk[i]->sk_prot));
		KUNIT_EXPECT_EQ(test, sk_rmem_alloc_get(t->sk[i]), 0);
		KUNIT_EXPECT_EQ(test, refcount_read(&t->sk[i]->sk_refcnt), 1);
		sock_put(t->sk[i]);
	}
}

/**
 * myproto_test_exit - end a test case
 * @test: the test case
 *
 * Closes the sockets, and fails if a socket, a reference or a charge is left.
 */
void myproto_test_exit(struct kunit *test)
{
	struct myproto_test *t = test->priv;
	int i;

	if (!t)
		return;

	myproto_test_release(test);
	for (i = 0; i < t->entries; i++) {
		myproto_channel_unbind(t->entry[i]);
		kfree_rcu(t->entry[i], sk_rcu);
	}

	/* Sockets refer to the network namespace until they are freed. */
	rcu_barrier();
	for (i = 0; i < t->nets; i++) {
		KUNIT_EXPECT_EQ(test, refcount_read(&t->net[i]->passive), 1);
		myproto_test_net_free(t->net[i]);
	}
	kvfree(t->buf);
}

/**
 * myproto_test_net - create another network namespace
 * @test: the test case
 *
 * Return: the namespace, which exists until the end of the test case. On
 * failure this does not return and the test case ends.
 */
struct net *myproto_test_net(struct kunit *test)
{
	struct myproto_test *t = test->priv;
	struct net *net;

	KUNIT_ASSERT_LT(test, t->nets, MYPROTO_TEST_NETS);
	net = myproto_test_net_alloc();
	KUNIT_ASSERT_NOT_NULL(test, net);
	t->net[t->nets++] = net;
	return net;
}

/**
 * myproto_test_socket - create a socket, which exists until the test case ends
 * @test: the test case
 * @type: SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM
 *
 * Return: the socket. On failure this does not return and the test case ends.
 */
struct sock *myproto_test_socket(struct kunit *test, int type)
{
	struct myproto_test *t = test->priv;
	struct socket *sock;

	KUNIT_ASSERT_LT(test, t->socks, MYPROTO_TEST_SOCKS);
	KUNIT_ASSERT_EQ(test, 0, sock_create_kern(t->net[0], AF_MYPROTO, type,
						  0, &sock));
	sock_hold(sock->sk);
	t->sk[t->socks] = sock->sk;
	t->sock[t->socks++] = sock;
	return sock->sk;
}

/**
 * myproto_test_entry - create an entry for the channel table
 * @test: the test case
 * @net: its network namespace
 *
 * It is not a complete socket: it is not in the table of sockets.c, and its
 * reference count is 0.
 *
 * Return: the entry, which exists until the end of the test case. On failure
 * this does not return and the test case ends.
 */
struct sock *myproto_test_entry(struct kunit *test, struct net *net)
{
	struct myproto_test *t = test->priv;
	struct myproto_sock *msk;

	KUNIT_ASSERT_LT(test, t->entries, MYPROTO_TEST_ENTRIES);
	msk = kzalloc_obj(*msk);
	KUNIT_ASSERT_NOT_NULL(test, msk);
	sock_net_set(&msk->sk, net);
	t->entry[t->entries++] = &msk->sk;
	return &msk->sk;
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
 * myproto_test_pair - create two connected sockets with large buffers
 * @test: the test case, which has no sockets yet; the first sends to the second
 * @type: SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM
 *
 * Return: the second socket, which receives.
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

/* Returns the byte at position @pos of all bytes sent. */
static u8 myproto_test_byte(u32 pos)
{
	return 167 * pos + (pos >> 8);
}

/**
 * myproto_test_send - send to the second socket of myproto_test_pair()
 * @test: the test case
 * @len: number of bytes
 *
 * Return: the result of sendmsg().
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
	KUNIT_EXPECT_EQ(test, msg_data_left(&msg), len - max(ret, 0));
	if (ret > 0)
		t->sent += ret;
	return ret;
}

/**
 * myproto_test_recv - receive, and check that the data is what was sent
 * @test: the test case
 * @len: maximum number of bytes
 * @flags: MSG_PEEK to peek
 *
 * Return: the result of recvmsg().
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

MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_DESCRIPTION("KUnit tests for AF_MYPROTO");
MODULE_LICENSE("GPL");

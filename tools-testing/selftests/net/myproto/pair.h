/* SPDX-License-Identifier: GPL-2.0 */
/* A fixture with two connected sockets, made by connect() or socketpair(). */
#ifndef MYPROTO_PAIR_H
#define MYPROTO_PAIR_H

#include "util.h"

FIXTURE(pair)
{
	int fd[2];
};

FIXTURE_VARIANT(pair)
{
	void (*make)(struct __test_metadata *_metadata, int fd[2]);
};

FIXTURE_VARIANT_ADD(pair, connection)
{
	.make = my_connection,
};

FIXTURE_VARIANT_ADD(pair, socketpair)
{
	.make = my_socketpair,
};

FIXTURE_SETUP(pair)
{
	self->fd[0] = -1;
	self->fd[1] = -1;
	variant->make(_metadata, self->fd);
}

FIXTURE_TEARDOWN(pair)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

/* close() one end now rather than in the teardown */
static inline void close_end(int *fd)
{
	close(*fd);
	*fd = -1;
}

#endif /* MYPROTO_PAIR_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A fixture with two connected sockets. Who includes this adds the variants:
 * the types, and whether connect() or socketpair() makes them.
 */
#ifndef MYPROTO_PAIR_H
#define MYPROTO_PAIR_H

#include "util.h"

FIXTURE(pair)
{
	int fd[2];
};

FIXTURE_VARIANT(pair)
{
	int type;
	bool by_socketpair;
};

FIXTURE_SETUP(pair)
{
	self->fd[0] = -1;
	self->fd[1] = -1;
	my_type = variant->type;
	if (variant->by_socketpair)
		my_socketpair(_metadata, self->fd);
	else
		my_connection(_metadata, self->fd);
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

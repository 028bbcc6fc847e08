/* SPDX-License-Identifier: GPL-2.0 */
/* A fixture with a link of each type, and of DGRAM with and without address. */
#ifndef MYPROTO_ANY_H
#define MYPROTO_ANY_H

#include "link.h"

FIXTURE(any)
{
	struct link link;
};

FIXTURE_VARIANT(any)
{
	int type;
	enum made made;
};

FIXTURE_VARIANT_ADD(any, stream_connection)
{
	.type = SOCK_STREAM,
	.made = BY_CONNECT,
};

FIXTURE_VARIANT_ADD(any, seqpacket_connection)
{
	.type = SOCK_SEQPACKET,
	.made = BY_CONNECT,
};

FIXTURE_VARIANT_ADD(any, dgram_socketpair)
{
	.type = SOCK_DGRAM,
	.made = BY_PAIR,
};

FIXTURE_VARIANT_ADD(any, dgram_unconnected)
{
	.type = SOCK_DGRAM,
	.made = BY_ADDRESS,
};

FIXTURE_SETUP(any)
{
	link_make(_metadata, &self->link, variant->type, variant->made);
}

FIXTURE_TEARDOWN(any)
{
	link_destroy(&self->link);
}

#endif /* MYPROTO_ANY_H */

/* SPDX-License-Identifier: GPL-2.0 */
/* A fixture with a link of each type, and of DGRAM with and without address.
 * Who defines ANY_MESSAGE has none of STREAM.
 */
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

#ifndef ANY_MESSAGE
FIXTURE_VARIANT_ADD(any, stream_connection) { SOCK_STREAM, BY_CONNECT };
#endif
FIXTURE_VARIANT_ADD(any, seqpacket_connection) { SOCK_SEQPACKET, BY_CONNECT };
FIXTURE_VARIANT_ADD(any, dgram_socketpair) { SOCK_DGRAM, BY_PAIR };
FIXTURE_VARIANT_ADD(any, dgram_unconnected) { SOCK_DGRAM, BY_ADDRESS };

FIXTURE_SETUP(any)
{
	link_make(_metadata, &self->link, variant->type, variant->made);
}

FIXTURE_TEARDOWN(any)
{
	link_destroy(&self->link);
}

#endif /* MYPROTO_ANY_H */

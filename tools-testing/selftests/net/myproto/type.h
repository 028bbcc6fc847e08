/* SPDX-License-Identifier: GPL-2.0 */
/* A fixture for tests that hold for several types: these are its variants, to
 * which SOCK_DGRAM is added where they hold for that too.
 */
#ifndef MYPROTO_TYPE_H
#define MYPROTO_TYPE_H

#include "util.h"

FIXTURE(type) {};

FIXTURE_VARIANT(type)
{
	int type;
};

FIXTURE_VARIANT_ADD(type, stream) { SOCK_STREAM };
FIXTURE_VARIANT_ADD(type, seqpacket) { SOCK_SEQPACKET };

FIXTURE_SETUP(type)
{
	my_type = variant->type;
}

FIXTURE_TEARDOWN(type)
{
}

#endif /* MYPROTO_TYPE_H */

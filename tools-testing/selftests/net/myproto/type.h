/* SPDX-License-Identifier: GPL-2.0 */
/* A fixture for tests that hold for several types, which are its variants. */
#ifndef MYPROTO_TYPE_H
#define MYPROTO_TYPE_H

#include "util.h"

FIXTURE(type) {};

FIXTURE_VARIANT(type)
{
	int type;
};

FIXTURE_SETUP(type)
{
	my_type = variant->type;
}

FIXTURE_TEARDOWN(type)
{
}

#endif /* MYPROTO_TYPE_H */

// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: where the tracepoints of trace.h are defined */

/* sparse does not like the tracepoint macros. */
#ifndef __CHECKER__
#define CREATE_TRACE_POINTS
#include "trace.h"
#endif

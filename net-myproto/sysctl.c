// SPDX-License-Identifier: GPL-2.0
/* AF_MYPROTO: sysctl net.myproto.unprivileged_channel_start */

#include <linux/slab.h>
#include <linux/sysctl.h>
#include <net/net_namespace.h>

#include "myproto.h"

static const unsigned int myproto_unprivileged_max = MYPROTO_DYNAMIC_FIRST;

static const struct ctl_table myproto_ctl_table[] = {
	{
		.procname	= "unprivileged_channel_start",
		.maxlen		= sizeof(unsigned int),
		.mode		= 0644,
		.proc_handler	= proc_douintvec_minmax,
		.extra2		= (void *)&myproto_unprivileged_max,
	},
};

int __net_init myproto_sysctl_register(struct net *net)
{
	struct ctl_table *const table = kmemdup(myproto_ctl_table,
						sizeof(myproto_ctl_table),
						GFP_KERNEL);
	struct myproto_net *mnet = myproto_net(net);

	if (!table)
		return -ENOMEM;

	table->data = &mnet->unprivileged_start;

	mnet->sysctl = register_net_sysctl_sz(net, "net/myproto", table,
					      ARRAY_SIZE(myproto_ctl_table));
	if (!mnet->sysctl) {
		kfree(table);
		return -ENOMEM;
	}
	return 0;
}

void __net_exit myproto_sysctl_unregister(struct net *net)
{
	struct myproto_net *mnet = myproto_net(net);
	const struct ctl_table *table = mnet->sysctl->ctl_table_arg;

	unregister_net_sysctl_table(mnet->sysctl);
	kfree(table);
}

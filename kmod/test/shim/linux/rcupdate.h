/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The harness has one thread, which never writes while it reads */
#ifndef SHIM_LINUX_RCUPDATE_H
#define SHIM_LINUX_RCUPDATE_H

#include <stdlib.h>

#define __rcu

struct rcu_head {
	void *unused;
};

#define rcu_dereference(pointer) (pointer)
#define rcu_dereference_protected(pointer, condition) (pointer)
#define rcu_assign_pointer(pointer, value) ((pointer) = (value))
#define RCU_INIT_POINTER(pointer, value) ((pointer) = (value))
#define kfree_rcu(pointer, member) free(pointer)
#define kvfree_rcu(pointer, member) free(pointer)

#endif

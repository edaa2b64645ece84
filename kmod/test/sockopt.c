// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What Rust has no safe call for: an option of the socket that standard input is.
 *
 *	sockopt forget	its encapsulation, which makes it a plain UDP socket
 *	sockopt deafen	by a filter that lets nothing in
 *	sockopt hear	without that filter
 */
#include <linux/filter.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog filter = { .len = 1, .filter = &nothing };
	const char *what = argc > 1 ? argv[1] : "";
	int none = 0;
	int err = -1;

	if (!strcmp(what, "forget"))
		err = setsockopt(0, IPPROTO_UDP, UDP_ENCAP, &none, sizeof(none));
	if (!strcmp(what, "deafen"))
		err = setsockopt(0, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
	if (!strcmp(what, "hear"))
		err = setsockopt(0, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none));
	if (err)
		perror(what);
	return err ? 1 : 0;
}

// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Record: an endpoint. Line: what its address says of itself */
#include "../../endpoint.h"
#include "harness.h"

void do_endpoint(const u8 *record, size_t len)
{
	const struct kdht_endpoint *endpoint;

	endpoint = (const void *)next(&record, &len, sizeof(*endpoint));
	printf("v4 %d loopback %d private %d reachable %d\n", kdht_is_v4(endpoint),
	       kdht_is_loopback(endpoint), kdht_is_private(endpoint),
	       kdht_is_reachable(endpoint));
}

#!/usr/bin/env python3
"""A node of BitTorrent's Mainline DHT by libtorrent (PyPI), on 127.0.0.1, with no limit that is
there against strangers: what it spends on a request, and not how many it lets through.

usage: libtorrent-node.py PORT [DIRECTORY]

The first line on standard output is JSON with its address. Without the module libtorrent, it is
installed into a virtual environment in DIRECTORY (by default target/bench/peers).
"""

import json
import os
import subprocess
import sys
import time

# The version that the settings below are known to suit.
WANTED = "libtorrent==2.1.1"
# Some limits are multiplied by ten before they are held against a count of 32 bits.
UNLIMITED = 200_000_000
# It tells others only of nodes that answered, and asks those that introduce themselves one in
# five seconds. Lookups ask them at once: so long after the start, so many a second.
LOOKUPS_S = 12
LOOKUPS_PER_S = 20


def module(directory):
    """The module libtorrent: if need be, this program begins anew where it is installed."""
    try:
        import libtorrent

        return libtorrent
    except ImportError:
        pass
    python = os.path.join(directory, "libtorrent", "bin", "python3")
    if os.path.realpath(sys.prefix) == os.path.realpath(os.path.dirname(os.path.dirname(python))):
        sys.exit(f"{WANTED} is installed in {directory} and cannot be used")
    if not os.path.exists(python):
        print(f"installing {WANTED} into {directory}", file=sys.stderr)
        environment = os.path.join(directory, "libtorrent")
        for command in (
            [sys.executable, "-m", "venv", environment],
            [python, "-m", "pip", "install", "--quiet", WANTED],
        ):
            subprocess.run(command, check=True, stdout=sys.stderr)
    os.execv(python, [python, os.path.abspath(__file__), *sys.argv[1:]])


def main():
    if len(sys.argv) not in (2, 3) or not sys.argv[1].isdigit():
        sys.exit(__doc__)
    port = int(sys.argv[1])
    directory = os.path.abspath(sys.argv[2] if len(sys.argv) == 3 else "target/bench/peers")
    libtorrent = module(directory)
    session = libtorrent.session(
        {
            "listen_interfaces": f"127.0.0.1:{port}",
            "enable_dht": True,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            # Nobody but the contacts that it is told of.
            "dht_bootstrap_nodes": "",
            "alert_mask": 0,
            # Many contacts share an address and its neighbourhood, since all are on loopback.
            "dht_restrict_routing_ips": False,
            "dht_restrict_search_ips": False,
            "dht_enforce_node_id": False,
            "dht_prefer_verified_node_ids": False,
            "dht_ignore_dark_internet": False,
            # A generator asks more often than any stranger may.
            "dht_block_ratelimit": UNLIMITED,
            "dht_upload_rate_limit": UNLIMITED,
            "allow_multiple_connections_per_ip": True,
        }
    )
    while not session.is_listening():
        time.sleep(0.05)
    print(json.dumps({"listen": [f"127.0.0.1:{port}"]}), flush=True)
    for _ in range(LOOKUPS_S * LOOKUPS_PER_S):
        session.dht_get_peers(libtorrent.sha1_hash(os.urandom(20)))
        time.sleep(1 / LOOKUPS_PER_S)
    while True:
        time.sleep(3600)


main()

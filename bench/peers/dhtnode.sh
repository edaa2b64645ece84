#!/bin/sh
# A node of OpenDHT, by Debian's dhtnode, with no limit that is there against strangers.
#
# usage: dhtnode.sh PORT
#
# The first line on standard output is JSON with its address.
set -eu

if [ $# -ne 1 ]; then
	echo "usage: dhtnode.sh PORT" >&2
	exit 2
fi
if ! command -v dhtnode >/dev/null; then
	echo "dhtnode is missing: install the Debian package dhtnode. It brings a service that" >&2
	echo "runs a public node; systemctl disable --now dhtnode ends that" >&2
	exit 1
fi
printf '{"listen":["127.0.0.1:%s"]}\n' "$1"
# -s: without a prompt; -U: without limits.
exec dhtnode -s -U -p "$1"

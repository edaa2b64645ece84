# The two commands that matter: `make demo` and `make test`.

CARGO ?= cargo

.PHONY: all demo test test-kmod test-kmod-sanitize count-kmod sim mutants bench needs lint no-std \
	clean

all:
	$(CARGO) build --release

# A network of 32 nodes that stores and finds a thousand values.
demo:
	$(CARGO) run --release -- swarm --nodes 32 --values 1000

# Every test there is. The guest gets the kdht that the tests before it have run: with the features
# of the tests' own crates it is another than `cargo build` makes, which would take as long again.
test: needs
	$(CARGO) test --workspace --all-features
	./kmod/test/build bookworm-backports
	KDHT=$${CARGO_TARGET_DIR:-target}/debug/kdht ./kmod/test/guest
	$(MAKE) count-kmod

# The kernel module's tests alone: its C beside the Rust crates, then the module in a guest.
test-kmod: needs
	$(CARGO) test -p kdht-kmod -p kdht-kmod-test
	./kmod/test/build bookworm-backports
	./kmod/test/guest

# Holds the instructions of kernel path, engine and bare echoes to bench/kernel/baseline.json.
count-kmod:
	$(CARGO) build --release -p kdht -p kdht-bench
	target/release/kdht-bench kernel --quick --check

# The module in kernels with sanitizers, which are built first. For people, not for every change.
test-kmod-sanitize: needs
	./kmod/test/sanitize memory
	./kmod/test/sanitize locks

# Puts known bugs back and takes defences away, one at a time, and shows that a test finds each.
mutants:
	./engine/sim/mutants.sh

# Single operations, then the node against bare echoes; prints where the report is.
bench:
	$(CARGO) bench -p kdht-bench
	$(CARGO) build --release -p kdht -p kdht-bench
	target/release/kdht-bench compare --quick

# Every scenario of the simulator in full size; figures and their plots go to target/sim.
sim:
	$(CARGO) build --release
	./engine/sim/full target/release/kdht target/sim
	target/release/kdht-bench sim target/sim/*.json --out target/sim/report.html

# Installs the Debian packages that the tests need where it may, else names them.
needs:
	./.ci/needs

lint:
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --all-features

# The crates below the engine, for a machine without an operating system.
no-std:
	./.ci/no-std

clean:
	$(CARGO) clean

# Every command of the project. What each needs beyond Rust and a C compiler stands in its line of `make help`.
.DEFAULT_GOAL := help
.PHONY: help build images demo cluster test peers soak bench lint fuzz

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do \
		printf 'make %-8s %s\n' "$$name" "$$text"; done

build: ## the collector, as it is shipped
	@scripts/build.sh

images: ## the images of collector and operator as tars under target/images, without a registry; needs Python 3
	@scripts/images.sh

demo: ## builds the collector, runs it against a fake X-Ray under the traffic of an order system, shows what it did
	@scripts/demo.sh

cluster: ## a two-node Kubernetes cluster with the operator, left running to play with; needs root, Go and Python 3
	@scripts/cluster.sh

test: ## every test this machine can run; needs Go, Python 3.11 and Node 20 for the real peers and clients
	@scripts/test.sh

peers: ## what `make test` compares with other programs in part, in full; needs Go, for the Java agent a JDK 17 and Maven
	@scripts/peers.sh

bench: ## a quarter of an hour of ours and upstream's side by side, FULL=1 for hours; needs Go, two cores, root for a cgroup
	@scripts/bench.sh $(if $(FULL),--full)

soak: ## an hour of waves, then ten minutes of faults on the way to X-Ray: nothing lost that has room, memory flat; root for one
	@scripts/soak.sh

lint: ## format, clippy, docs: what a commit must pass, without the tests
	@scripts/test.sh lint

fuzz: ## looks for input that breaks the walk, the JSON reader or the translation, a minute each; needs nightly Rust and a C++ compiler
	@scripts/fuzz.sh

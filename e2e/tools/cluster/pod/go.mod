module tracepipe.dev/e2e/tools/cluster/pod

go 1.26.0

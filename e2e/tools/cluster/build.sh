#!/usr/bin/env bash
# Makes the programs of the two-node test cluster (tracepipe-cluster) and prints where they are, for a shell to take in:
#   eval "$(e2e/tools/cluster/build.sh)"
# TRACEPIPE_CLUSTER_BIN   a folder with
#   etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy, kubectl, coredns  (kubernetes/)
#   helm3, helm4, kstatus                                                                                 (helm/)
#   pause, echo, and both as images: pause.tar, echo.tar                                                  (pod/)
# It lies under ~/.cache/tracepipe (or XDG_CACHE_HOME) by the hash of its inputs. Each program is put there when it is
# built, so that a build which was interrupted goes on where it was; a second run takes a second.
# What Debian has is installed from it when it is missing (containerd, runc, iptables, CNI plugins): needs root then.
# Needs Go 1.26 and, cold, the Go module proxy: about 10 minutes on two cores, 2 GiB of Go's caches.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
readonly VERSION=v1.34.4 # of Kubernetes, as in kubernetes/go.mod
# Programs of Debian's that a cluster runs, and the packages that they come in.
readonly PROGRAMS="containerd ctr runc iptables ip nsenter unshare setpriv mount tar sha256sum"
readonly PACKAGES="containerd runc iptables containernetworking-plugins iproute2 util-linux mount tar coreutils"
readonly CNI=/usr/lib/cni

[ "$(uname -s)" = Linux ] || die "the cluster needs Linux"
need go "install Go 1.26 or newer"
# The build depends on its inputs only: no flags, workspace or cgo setting of whoever runs it.
unset GOFLAGS GOOS GOARCH
export GOWORK=off CGO_ENABLED=0
# Debian keeps some of them where only root's path leads.
PATH="$PATH:/usr/sbin:/sbin"

# absent: what of PROGRAMS and of the CNI plugins is not there.
absent() {
    for program in $PROGRAMS; do command -v "$program" >/dev/null 2>&1 || printf '%s ' "$program"; done
    for plugin in ptp host-local portmap loopback; do [ -x "$CNI/$plugin" ] || printf 'cni/%s ' "$plugin"; done
}

system_packages() {
    local gone had_containerd=1
    gone=$(absent)
    [ -n "$gone" ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        die "missing: $gone: install them (on Debian: apt-get install $PACKAGES)"
    fi
    say "cluster: installing from Debian: $gone"
    command -v containerd >/dev/null 2>&1 || had_containerd=0
    # shellcheck disable=SC2086 # words on purpose
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        $PACKAGES; } </dev/null >&2
    # The package starts a service of its own; the cluster starts its own containerd and nothing else needs one.
    if [ "$had_containerd" -eq 0 ] && [ -d /run/systemd/system ]; then
        systemctl disable --now --quiet containerd.service >&2
    fi
    gone=$(absent)
    [ -z "$gone" ] || die "still missing after apt-get install: $gone"
}

# build PROGRAM MODULE-FOLDER PACKAGE LDFLAGS: into the final folder, unless it is there.
build() {
    local program=$1 module=$2 package=$3 ldflags=$4 started=$SECONDS
    [ ! -x "$final/$program" ] || return 0
    [ "$program" != kube-apiserver ] || say "cluster: building kube-apiserver, which takes minutes when it is new to Go's cache"
    (cd "$here/$module" && go build -mod=readonly -buildvcs=false -trimpath -ldflags "-s -w $ldflags" \
        -o "$scratch/$program" "$package") >&2
    mv "$scratch/$program" "$final/$program"
    built=$((built + 1))
    say "cluster: $program built in $((SECONDS - started)) s ($SECONDS s in all)"
}

# module_version MODULE-FOLDER MODULE: as go.mod has it.
module_version() { sed -n "s|^[[:space:]]*$2 \\(v[^ ]*\\).*|\\1|p" "$here/$1/go.mod" | head -n 1; }

# image PROGRAM: a docker-archive of a static program alone in an empty root, tracepipe.dev/PROGRAM:test, as its user
# 65532. Same program, same bytes.
image() {
    local name=$1 work="$scratch/image-$1" layer config
    [ ! -f "$final/$name.tar" ] || return 0
    local tar=(tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar)
    mkdir -p "$work/root" "$work/archive"
    cp "$final/$name" "$work/root/$name"
    "${tar[@]}" -C "$work/root" -cf "$work/archive/layer.tar" "$name"
    layer=$(sha256sum <"$work/archive/layer.tar" | cut -d' ' -f1)
    printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":["/%s"],"User":"65532:65532"},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
        "$(go env GOARCH)" "$name" "$layer" >"$work/config.json"
    config=$(sha256sum <"$work/config.json" | cut -d' ' -f1)
    mv "$work/config.json" "$work/archive/$config.json"
    printf '[{"Config":"%s.json","RepoTags":["tracepipe.dev/%s:test"],"Layers":["layer.tar"]}]' "$config" "$name" \
        >"$work/archive/manifest.json"
    "${tar[@]}" -C "$work/archive" -cf "$work/$name.tar" "$config.json" layer.tar manifest.json
    mv "$work/$name.tar" "$final/$name.tar"
}

[ $# -eq 0 ] || die "unknown argument $1: there are none"
system_packages
cache=$(cache_dir)
key=$(printf '%s\n' "$(go env GOVERSION GOOS GOARCH)" "$VERSION" | hash_of "$here/build.sh" \
    "$here"/*/go.mod "$here"/*/go.sum "$here"/*/*.go "$here"/*/*/*.go)
final="$cache/cluster-$VERSION-$key"
mkdir -p "$final"
scratch=$(mktemp -d "$cache/cluster-build.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
built=0

# Without its version flags a server says that it is v0.0.0, and clients believe it.
minor=${VERSION#v1.}
minor=${minor%%.*}
component=k8s.io/component-base/version
kubernetes="-X $component.gitVersion=$VERSION -X $component.gitMajor=1 -X $component.gitMinor=$minor"
build pause pod ./pause ""
build echo pod ./echo ""
image pause
image echo
for program in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
    build "$program" kubernetes "k8s.io/kubernetes/cmd/$program" "$kubernetes"
done
build etcd kubernetes ./etcd ""
build coredns kubernetes ./coredns ""
# Without a cluster Helm 3 takes the Kubernetes that it was built with, which it knows by flags only.
client_minor=$(module_version helm k8s.io/client-go)
client_minor=${client_minor#v0.}
client_minor=${client_minor%%.*}
build helm3 helm helm.sh/helm/v3/cmd/helm "-X helm.sh/helm/v3/internal/version.version=$(module_version helm helm.sh/helm/v3)
    -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=$client_minor -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=$client_minor"
build helm4 helm helm.sh/helm/v4/cmd/helm "-X helm.sh/helm/v4/internal/version.version=$(module_version helm helm.sh/helm/v4)"
build kstatus helm ./kstatus ""

if [ "$built" -gt 0 ]; then say "cluster: $built programs built in $SECONDS s"; else say "cluster: programs are built"; fi
printf 'export TRACEPIPE_CLUSTER_BIN=%q\n' "$final"

#!/bin/sh
# Makes this machine ready to run the lab (`setup.sh lab`) or the tests (`setup.sh test`).
#
#   check the machine  →  install missing Debian packages  →  npm packages  →  build dist/bin
#
# Everything is looked at before anything is changed, each step is skipped when its result is already there, and with
# nothing to do it returns in well under a second. Services that a package would start are not started, and not enabled
# at boot either: the lab runs its own copies, with their own configuration, in network namespaces.

set -eu

purpose=${1:-lab}
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
policy=/usr/sbin/policy-rc.d
policy_mark='Put here by deploy/setup.sh of Twill'

say() { printf '%s\n' "$*" >&2; }

# Ends with one line that says what is wrong and what would help.
fail() {
  say "setup: $*"
  [ "$purpose" != test ] || echo '0 passed, 1 failed'
  exit 1
}

# run "what this is" command…: silent when quick, a line when it starts, one every 5 s while it lasts.
run() {
  what=$1
  shift
  say "setup: $what"
  "$@" >"$log" 2>&1 &
  command_pid=$!
  waited=0
  while sleep 0.2 && kill -0 "$command_pid" 2>/dev/null; do
    waited=$((waited + 1))
    [ $((waited % 25)) -ne 0 ] || say "setup:   … $((waited / 5)) s: $(tail -n 1 "$log" | cut -c 1-90)"
  done
  if ! wait "$command_pid"; then
    tail -n 25 "$log" >&2
    return 1
  fi
}

# --- the machine, looked at and not changed -------------------------------------------------------------------------

[ "$(id -u)" = 0 ] || fail "root is needed for network namespaces and nftables: run it again with sudo"

command -v node >/dev/null || fail "Node.js is missing: install version 20 or newer (https://nodejs.org/en/download)"
node_version=$(node -p process.versions.node)
[ "${node_version%%.*}" -ge 20 ] ||
  fail "Node.js $node_version is too old: install version 20 or newer (https://nodejs.org/en/download)"

unshare --net true 2>/dev/null ||
  fail "network namespaces can not be made here: needs CONFIG_NET_NS, and in a container the option --privileged"
unshare --net sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward' 2>/dev/null ||
  fail "/proc/sys is read-only, so forwarding can not be switched on: in a container add the option --privileged"

# has_feature module symbol: loaded, loadable, or built in.
has_feature() {
  grep -qs "^$1 " /proc/modules || modprobe --dry-run --quiet "$1" 2>/dev/null || grep -qs " $2\$" /proc/kallsyms
}
# Trying is the surest test, where the tool for it is already here.
if command -v nft >/dev/null; then
  unshare --net nft add table inet twill_setup 2>/dev/null || nft_missing=1
else
  has_feature nf_tables nf_tables_newtable || nft_missing=1
fi
[ -z "${nft_missing:-}" ] ||
  fail "this kernel ($(uname -r)) has no nf_tables: boot one with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET"
if command -v ip >/dev/null; then
  unshare --net ip link add t0 type veth peer name t1 2>/dev/null || veth_missing=1
else
  has_feature veth veth_newlink || veth_missing=1
fi
[ -z "${veth_missing:-}" ] || fail "this kernel ($(uname -r)) has no veth devices: boot one with CONFIG_VETH"

# --- Debian packages ------------------------------------------------------------------------------------------------

# One line each: package, what shows that it is here, why it is wanted. The names are the same in Debian 12, 13 and Ubuntu 24.04.
wanted() {
  cat <<'LIST'
nftables      nft                       shows the rules that felix writes
libnftables1  libnftables.so.1          is how felix writes them
iproute2      ip                        makes the lab's namespaces, links and routes
iputils-ping  ping                      is the lab's probe for lost packets
bird2         bird                      is the top-of-rack router of each rack
frr           /usr/lib/frr/bgpd         is the spine router
LIST
  [ "$purpose" != test ] || cat <<'LIST'
gcc           gcc                       builds the small C client of the CNI plugin
libc6-dev     /usr/include/stdio.h      builds the small C client of the CNI plugin
etcd-server   etcd                      is the datastore of a real cluster
etcd-client   etcdctl                   reads our keys as anybody's client would
iptables      iptables-nft-restore      loads rules as Docker and kube-proxy write theirs
conntrack     conntrack                 shows the flows that a policy change cuts
tcpdump       tcpdump                   sees what is on the wire
socat         socat                     sends and answers the probes of policies
gobgpd        gobgpd                    is another speaker to talk BGP with
openbgpd      /usr/sbin/bgpd            is another speaker to talk BGP with
exabgp        exabgp                    is another speaker to talk BGP with
openssl       openssl                   makes certificates for mutual TLS
containernetworking-plugins /usr/lib/cni/bridge are chained with our CNI plugin
redis-server  redis-server              holds what is true only for a while
dnsmasq-base  dnsmasq                   answers those who look for etcd in DNS
zsh           zsh                       completes twillctl's commands
fish          fish                      completes twillctl's commands
tshark        tshark                    reads what we tell monitoring stations (BMP)
containerd    containerd                runs pods whose network is our CNI plugin's
runc          runc                      is what containerd starts them with
LIST
}

here() {
  case $1 in
    /*) [ -e "$1" ] ;;
    *.so.*) ldconfig -p | grep -q "^[[:space:]]*$1 " ;;
    *) command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] ;;
  esac
}

missing_packages() {
  wanted | while read -r package proof why; do
    here "$proof" || echo "$package $why"
  done
}

missing=$(missing_packages)

# Services of packages that are not installed yet; what is installed already keeps its state.
services_of() {
  for package in $1; do
    case $package in
      bird2) echo bird ;;
      frr) echo frr ;;
      etcd-server) echo etcd ;;
      redis-server) echo redis-server ;;
      containerd) echo containerd ;;
      gobgpd | exabgp) echo "$package" ;;
      openbgpd) echo openbgpd bgplgd ;;
      nftables) echo nftables ;;
    esac
  done
}

forbid_service_starts() {
  [ ! -e "$policy" ] || mv "$policy" "$policy.twill-saved"
  printf '#!/bin/sh\n# %s while it installs packages: no service is to start.\nexit 101\n' "$policy_mark" >"$policy"
  chmod 755 "$policy"
}

allow_service_starts() {
  ! grep -qs "$policy_mark" "$policy" || rm -f "$policy"
  [ ! -e "$policy.twill-saved" ] || mv "$policy.twill-saved" "$policy"
}

log=$(mktemp "${TMPDIR:-/tmp}/twill-setup.XXXXXX")
# Also puts back what an interrupted run left.
trap 'allow_service_starts; rm -f "$log"' EXIT
trap 'exit 130' INT TERM HUP
allow_service_starts

install_packages() {
  packages=$(echo "$missing" | cut -d ' ' -f 1)
  command -v apt-get >/dev/null ||
    fail "these programs are missing and there is no apt-get to install them: $(echo $packages)"
  say "setup: these Debian packages are missing and will be installed:"
  echo "$missing" | while read -r package why; do say "setup:   $package – $why"; done
  export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
  run 'apt-get update' apt-get update ||
    say "setup: the package lists could not be refreshed; going on with those that are here"
  forbid_service_starts
  # shellcheck disable=SC2086 # one word each
  run "apt-get install $(echo $packages)" apt-get install --yes --no-install-recommends $packages ||
    fail "apt-get could not install them (see above): install them by hand, then run this again"
  for service in $(services_of "$packages"); do
    ! command -v systemctl >/dev/null || systemctl --quiet disable "$service" >/dev/null 2>&1 || true
  done
  allow_service_starts
  still=$(missing_packages | cut -d ' ' -f 1)
  [ -z "$still" ] || fail "still missing after the installation: $(echo $still)"
}

[ -z "$missing" ] || install_packages

# --- npm packages and build -----------------------------------------------------------------------------------------

# One at a time for each clone.
exec 9<package.json
flock 9

modules_are_current() {
  [ -e node_modules/.package-lock.json ] || return 1
  [ package-lock.json -nt node_modules/.package-lock.json ] || return 0
  # Newer by date need not mean different: a checkout touches files.
  node tools/modules-current.mjs && touch node_modules/.package-lock.json
}
modules_are_current || run 'npm ci' npm ci --include=dev --no-audit --no-fund --loglevel=error ||
  fail "npm could not install the packages of package-lock.json (see above)"

build_is_current() {
  [ -e dist/.built ] && [ -x dist/bin/twillctl ] || return 1
  # Directories too: their time changes when a file is removed.
  newer=$(find agent bgp cli cni datastore deploy felix ipam linux net runtime tools package-lock.json -newer dist/.built |
    grep -v '\.md$' | head -n 1)
  [ -z "$newer" ]
}
build_is_current || node tools/build.mjs || fail "the build failed (see above)"

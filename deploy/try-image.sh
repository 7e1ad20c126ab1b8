#!/usr/bin/env bash
# Build the image and run it, as root on a Debian, without a container engine.
#
#   apt-get install buildah debootstrap; bash deploy/try-image.sh
#
# The base image is made of Debian's packages, with Debian's Python; everything else is as the
# Dockerfile says. It runs as in docker-compose.yml: read-only, without capabilities, as process 1.
# All of it, the images included, lies in a temporary folder that is deleted at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

base=$(sed -n 's/^FROM \(.*\) AS build$/\1/p' Dockerfile)
port=${PORT:-9555}
work=$(mktemp --directory --tmpdir modeld-image-XXXXXX)
mirror=$(awk '/^URIs:/ {print $2; exit} /^deb / {print $2; exit}' \
    /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null || true)

build() { buildah --root "$work/images" --runroot "$work/run" --storage-driver vfs "$@"; }
clean_up() {
    [[ -z ${server:-} ]] || kill -KILL "$server" 2>/dev/null || true
    [[ -z ${container:-} ]] || build umount "$container" >/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

echo "== $base, of Debian's packages"
debootstrap --variant=minbase \
    --include=ca-certificates,python3,python3-pip,python3-venv,python-is-python3 \
    bookworm "$work/debian" ${mirror:+"$mirror"} >"$work/debootstrap.log" ||
    { cat "$work/debootstrap.log"; exit 1; }
rm "$work"/debian/usr/lib/python3*/EXTERNALLY-MANAGED
# What this machine needs to reach packages.
cp --archive --no-target-directory /etc/apt/apt.conf.d "$work/debian/etc/apt/apt.conf.d"
cp --archive --no-target-directory /etc/apt/sources.list.d "$work/debian/etc/apt/sources.list.d"
cp /etc/ssl/certs/ca-certificates.crt "$work/debian/etc/ssl/certs/"
[[ ! -e /etc/pip.conf ]] || cp /etc/pip.conf "$work/debian/etc/"
empty=$(build from scratch)
build copy --quiet "$empty" "$work/debian" / >/dev/null
build commit --quiet "$empty" "docker.io/library/$base" >/dev/null
rm -rf "$work/debian"

echo "== the image"
build bud --isolation chroot --pull-never --format docker --tag localhost/modeld .
container=$(build from --pull-never localhost/modeld)
root=$(build mount "$container")

echo "== the image, running"
git clone --quiet . "$work/srv"
mkdir "$work/runtime"
chown -R 1000:1000 "$work/srv" "$work/runtime"
cat >"$work/start.sh" <<'END'
set -e
root=$1 work=$2 port=$3
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
mount --bind "$work/srv" "$root/srv"
mount --bind "$work/runtime" "$root/var/lib/modeld"
exec chroot "$root" setpriv --reuid 1000 --regid 1000 --clear-groups \
    --no-new-privs --bounding-set=-all --inh-caps=-all \
    env -i -C /srv HOME=/tmp PATH=/opt/modeld/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 MODELD_HOST=0.0.0.0 MODELD_RUNTIME_DIR=/var/lib/modeld \
    MODELD_GIT_COMMIT=commit modeld serve --port "$port"
END
unshare --mount --pid --fork --propagation private bash "$work/start.sh" "$root" "$work" "$port" &
parent=$!
for _ in $(seq 120); do
    curl --fail --silent --output /dev/null "http://127.0.0.1:$port/readyz" && break
    sleep 0.5
done
server=$(pgrep --parent "$parent")
url=http://127.0.0.1:$port
curl --fail --silent --show-error "$url/predict" -d '{"features": [6.3, 2.8, 5.1, 1.5]}'
token=$(cat "$work/runtime/admin-token")
curl --fail --silent --show-error --output /dev/null "$url/admin/set-active-version" \
    --header "Authorization: Bearer $token" --json '{"version": "v2", "reason": "try the image"}'
for _ in $(seq 40); do
    subject=$(git -c safe.directory='*' -C "$work/srv" log -1 --format=%s)
    [[ $subject == "Set v1 to v2" ]] && break
    sleep 0.25
done
[[ $subject == "Set v1 to v2" ]] || { echo "the change did not become a commit: $subject"; exit 1; }
kill -TERM "$server"
code=0
wait "$parent" || code=$?
((code == 0)) || { echo "SIGTERM ended it with $code"; exit 1; }
server=
echo "== it answers, commits, and ends in order"

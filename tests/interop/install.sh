#!/usr/bin/env bash
# install.sh DIR   what the interop tests need, on Debian 12, as root: servers from packages, clients and newer servers into DIR.
# No package starts its service.
set -euo pipefail
mkdir -p "${1:?install.sh DIR}"
dir=$(cd "$1" && pwd)
packages="prosody lua-sec lua-socket lua-expat lua-filesystem lua-event lua-unbound ejabberd openssl python3 python3-venv"
command -v node >/dev/null && command -v npm >/dev/null || packages="$packages nodejs npm"
missing=""
for package in $packages; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
  echo "installing:$missing"
  guard=""
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    guard=1
  fi
  trap '[ -z "$guard" ] || rm -f /usr/sbin/policy-rc.d' EXIT
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q update > "$dir/apt.log" 2>&1
  # shellcheck disable=SC2086
  apt-get -q install -y --no-install-recommends $missing >> "$dir/apt.log" 2>&1 || { tail -5 "$dir/apt.log"; exit 1; }
fi
# Newer servers, from the backports of the mirror that this system uses, unpacked aside.
newer="$dir/newer"
wanted="prosody prosody-modules ejabberd erlang-jose"
for part in acme cache-tab eimp mqtree oauth2 pkix stringprep stun tls utils xml xmpp yaml yconf zlib; do wanted="$wanted erlang-p1-$part"; done
if [ "$(cat "$newer/complete" 2>/dev/null)" != "$wanted" ]; then
  echo "unpacking: prosody 13 with its community modules, ejabberd 24.12"
  mirror=$(grep -hoE '^(URIs: *|deb +(\[[^]]*\] +)?)[a-z]+:[^ ]+' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -oE '[a-z]+:/[^ ]+/debian/?$' | head -1 || true)
  [ -n "$mirror" ] || { echo "no Debian mirror in the apt sources"; exit 1; }
  apt="$dir/apt"
  rm -rf "$apt" "$newer"
  mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/debs" "$newer"
  for suite in bookworm bookworm-backports; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
  done > "$apt/list"
  own="-o APT::Sandbox::User=root -o Dir::Etc::sourcelist=$apt/list -o Dir::Etc::sourceparts=- -o Dir::State=$apt/state -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache=$apt/cache"
  # shellcheck disable=SC2086
  {
    apt-get -q $own update
    cd "$apt/debs"
    apt-get -q $own download -t bookworm-backports $wanted
    cd "$OLDPWD"
  } > "$dir/newer.log" 2>&1 || { tail -5 "$dir/newer.log"; exit 1; }
  for package in "$apt"/debs/*.deb; do dpkg -x "$package" "$newer"; done
  sed -i -e "s,^CFG_SOURCEDIR=.*,CFG_SOURCEDIR='$newer/usr/lib/prosody';," -e "s,^CFG_PLUGINDIR=.*,CFG_PLUGINDIR='$newer/usr/lib/prosody/modules/';," "$newer/usr/bin/prosody" "$newer/usr/bin/prosodyctl"
  echo "$wanted" > "$newer/complete"
fi
if ! "$dir/venv/bin/python" -c 'import slixmpp' 2>/dev/null; then
  echo "installing: slixmpp"
  python3 -m venv "$dir/venv"
  "$dir/venv/bin/pip" install -q --disable-pip-version-check slixmpp==1.17.0 > "$dir/pip.log" 2>&1 || { tail -5 "$dir/pip.log"; exit 1; }
fi
if [ ! -d "$dir/npm/node_modules/@xmpp/client" ]; then
  echo "installing: @xmpp/client"
  mkdir -p "$dir/npm"
  echo '{"private":true}' > "$dir/npm/package.json"
  (cd "$dir/npm" && npm install --no-audit --no-fund @xmpp/client@0.14.0 > "$dir/npm.log" 2>&1) || { tail -5 "$dir/npm.log"; exit 1; }
fi

#!/bin/sh
# Installs what firmware/ needs beside Node: Verilator (5.006 or newer), make, a C++ compiler and, for add-ons, CMake and Python; Valgrind for tests, yosys for sizes.
# Debian and Ubuntu, as root or with sudo; does nothing where it is all there. The rest of the project does not need it.
set -eu

complete() {
  for program in make cc c++ cmake python3 valgrind yosys; do command -v $program >/dev/null || return 1; done
  version=$(verilator --version 2>/dev/null | sed -n 's/^Verilator \([0-9]*\)\.\([0-9]*\).*/\1\2/p')
  [ "${version:-0}" -ge 5006 ]
}

if complete; then
  echo "install: $(verilator --version): nothing to do"
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "install: no apt-get here: install Verilator 5.006 or newer (https://verilator.org), make, a C++ compiler, CMake, Python 3, Valgrind and yosys" >&2
  exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
  sudo=""
elif command -v sudo >/dev/null; then
  sudo="sudo"
else
  echo "install: run this as root: apt-get install verilator make g++ cmake python3 valgrind yosys" >&2
  exit 1
fi

export DEBIAN_FRONTEND=noninteractive
apt="$sudo apt-get -q -o DPkg::Lock::Timeout=300"
$apt update
$apt install -y --no-install-recommends verilator make g++ cmake python3 valgrind yosys
complete || { echo "install: $(verilator --version) is too old: 5.006 or newer is needed" >&2; exit 1; }
echo "install: $(verilator --version)"

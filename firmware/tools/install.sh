#!/bin/sh
# Installs what firmware/ needs beside Node. Debian and Ubuntu, as root or with sudo; does nothing where it is all there.
# The rest of the project does not need it.
#   rtl, dma       Verilator (5.006 or newer), make, a C++ compiler and, for add-ons, CMake and Python; Valgrind for tests, yosys for sizes
#   vivado         Tcl, to check the scripts that are written for it
#   runner         the compiler for arm64, QEMU for programs
#   report         a headless browser, to test the page; where the system has it as a package
#   system, image  what U-Boot, TF-A and kernel modules are built with, what images are made with, QEMU for the board
set -eu

packages="bc bison bmap-tools busybox cmake cpio device-tree-compiler dosfstools dpkg-dev e2fsprogs flex g++ gcc-aarch64-linux-gnu genimage libc6-dev-arm64-cross libssl-dev make mtools python3 qemu-system-arm qemu-user-static squashfs-tools tcl u-boot-tools valgrind verilator xilinx-bootgen xz-utils yosys"
programs="aarch64-linux-gnu-gcc bc bison bmaptool bootgen busybox c++ cc cmake cpio dpkg-source dtc flex genimage make mcopy mke2fs mkenvimage mkfs.vfat mkimage mksquashfs python3 qemu-aarch64-static qemu-system-aarch64 tclsh valgrind xz yosys"
files="/usr/aarch64-linux-gnu/lib/libc.a /usr/include/openssl/evp.h"
browser="chromium-headless-shell"
# Where Debian has mke2fs and mkfs.vfat, which is not in everyone's path
PATH="$PATH:/usr/sbin:/sbin"

# Prints what is missing.
missing() {
  for program in $programs; do command -v $program >/dev/null || echo $program; done
  for file in $files; do [ -e $file ] || echo $file; done
  for program in $browser; do command -v $program >/dev/null || echo $program; done
  version=$(verilator --version 2>/dev/null | sed -n 's/^Verilator \([0-9]*\)\.\([0-9]*\).*/\1\2/p')
  [ "${version:-0}" -ge 5006 ] || echo "Verilator 5.006 or newer"
}

if [ -z "$(missing)" ]; then
  echo "install: $(verilator --version): nothing to do"
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "install: no apt-get here: install what these packages of Debian hold, Verilator in 5.006 or newer (https://verilator.org): $packages" >&2
  exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
  sudo=""
elif command -v sudo >/dev/null; then
  sudo="sudo"
else
  echo "install: run this as root: apt-get install $packages" >&2
  exit 1
fi

export DEBIAN_FRONTEND=noninteractive
apt="$sudo apt-get -q -o DPkg::Lock::Timeout=300"
$apt update
# Ubuntu has none but in a snap: tests of the page are skipped there
apt-cache show "$browser" >/dev/null 2>&1 || browser=""
$apt install -y --no-install-recommends $packages $browser
[ -z "$(missing)" ] || { echo "install: these packages did not bring: $(missing | paste -sd ,)" >&2; exit 1; }
echo "install: $(verilator --version)"

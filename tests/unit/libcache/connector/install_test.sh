#!/bin/sh
# What `cmake --install` puts down is enough for a C program that knows pkg-config only.
# Usage: install_test.sh BUILD_DIR CC example.c
set -eu
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
cmake --install "$1" --component libcairn --prefix "$prefix" >/dev/null
pc=$(find "$prefix" -name cairn.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046 # Words, on purpose.
"$2" -std=c11 -Wall -Wextra -Werror -pedantic "$3" -o "$prefix/example" $(pkg-config --cflags --libs cairn)
LD_LIBRARY_PATH=$(pkg-config --variable=libdir cairn) "$prefix/example"

#!/bin/sh
# What libcairn.so exports is what cairn.h declares: nothing less, nothing more.
# Usage: exports_test.sh libcairn.so cairn.h
set -eu
exported=$(nm -D --defined-only "$1" | awk '!/ A CAIRN_1$/ { print $3 }' | sort)
declared=$(tr '\n' ' ' <"$2" | grep -o 'CAIRN_API [^;]*;' | grep -o 'cairn_[a-z_0-9]*(' |
  sed 's/(/@@CAIRN_1/' | sort)
if [ "$exported" != "$declared" ]; then
  echo "exported: $exported"
  echo "declared: $declared"
  exit 1
fi
echo "$(echo "$exported" | wc -l) symbols, all of them cairn_*"

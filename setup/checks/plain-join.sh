#!/bin/sh
# Compiles as on a system without a bounded join: cargo starts it as "plain-join.sh rustc ARGUMENTS".
exec "$@" --cfg owned_runtime_plain_join

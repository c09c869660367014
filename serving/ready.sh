#!/usr/bin/env bash
# Exit status 0 if the server on this machine has loaded all models of models.config: ready.sh [REST_PORT]
set -u
config="$(dirname "$0")/models.config"
models=$(sed 's/#.*//' "$config" | grep -oE '\bname: *"[^"]*"' | cut -d '"' -f 2)
[ -n "$models" ] || { echo "$config names no model" >&2; exit 1; }
for model in $models; do
  exec 3<> "/dev/tcp/127.0.0.1/${1:-8501}" || exit 1
  printf 'GET /v1/models/%s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$model" >&3
  timeout 5 grep -q '"state": "AVAILABLE"' <&3 || { echo "$model is not available" >&2; exit 1; }
  exec 3>&-
done

#!/bin/bash
# Runs the broker for `rabbitmq-server` (the default), and anything else as it is.
# Settings: /etc/rabbitmq/rabbitmq.conf and /etc/rabbitmq/conf.d, unless the environment names others.
set -eu

if [ -z "${RABBITMQ_CONFIG_FILE:-}" ] && [ -f /etc/rabbitmq/rabbitmq.conf ]; then
  export RABBITMQ_CONFIG_FILE=/etc/rabbitmq/rabbitmq.conf
fi
if [ -d /etc/rabbitmq/conf.d ]; then
  export RABBITMQ_CONFIG_FILES="${RABBITMQ_CONFIG_FILES:-/etc/rabbitmq/conf.d}"
fi

case "${1:-rabbitmq-server}" in
  rabbitmq-server) shift || true; exec leveret serve "$@" ;;
  -*) exec leveret serve "$@" ;;
  *) exec "$@" ;;
esac

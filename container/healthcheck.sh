#!/bin/bash
# Healthy: the readiness check of the HTTP API succeeds. If the API is disabled: the AMQP port accepts a connection.
# If the port or the path is another one, as a mounted rabbitmq.conf may have it, rabbitmq-diagnostics asks the broker.
# HEALTHCHECK_SECONDS: how long the answer may take.
# Bash opens the socket itself, so that a check costs a few milliseconds and starts no other process.
http=${LEVERET_SERVER_HTTP_PORT:-${RABBITMQ_MANAGEMENT_PORT_NUMBER:-15672}}
amqp=${LEVERET_SERVER_PORT:-${RABBITMQ_NODE_PORT:-${RABBITMQ_NODE_PORT_NUMBER:-5672}}}

if [ "$http" = -1 ]; then
  exec 3<>"/dev/tcp/127.0.0.1/$amqp" || exit 1
  exit 0
fi
trap '' PIPE # another service may close the connection during the request
status=
if exec 3<>"/dev/tcp/127.0.0.1/$http"; then
  printf 'GET /api/health/checks/ready-to-serve-clients HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
  read -r -t "${HEALTHCHECK_SECONDS:-1}" _ status _ <&3
fi 2>/dev/null
case "$status" in
  200) exit 0 ;;
  "" | 404) rabbitmq-diagnostics -q check_running >/dev/null 2>&1 || exit 1 ;;
  *) exit 1 ;;
esac

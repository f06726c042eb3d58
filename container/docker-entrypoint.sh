#!/bin/bash
# Runs the broker for `rabbitmq-server` (the default), and anything else as it is, as RabbitMQ's image does.
# Started as root, it gives the data directory to the user rabbitmq and goes on as that user.
# Settings: the files in /etc/rabbitmq, unless the environment names others.
set -eu

conf=${RABBITMQ_CONF_DIR:-/etc/rabbitmq}
export HOME=${HOME:-/var/lib/rabbitmq}

case "${1:-}" in
  "" | -*) set -- rabbitmq-server "$@" ;;
esac

if [[ "$1" == rabbitmq* && "$(id -u)" = 0 ]]; then
  if [ "$1" = rabbitmq-server ]; then
    # A volume that is mounted for the first time belongs to root. One that is read-only cannot be changed.
    find "$HOME" \! -user rabbitmq -exec chown rabbitmq:rabbitmq '{}' + 2>/dev/null || true
  fi
  exec setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups "$BASH" "$0" "$@"
fi

# RabbitMQ's defaults for the files of its configuration; what is not there is not named.
default() { # NAME PATH TEST: sets a variable to a path that is there, unless it is set
  if [ -z "${!1:-}" ] && test "$3" "$2"; then export "$1=$2"; fi
}
default RABBITMQ_CONF_ENV_FILE "$conf/rabbitmq-env.conf" -f
default RABBITMQ_CONFIG_FILE "$conf/rabbitmq.conf" -f
default RABBITMQ_CONFIG_FILE "$conf/rabbitmq.config" -f
default RABBITMQ_ADVANCED_CONFIG_FILE "$conf/advanced.config" -f
default RABBITMQ_ENABLED_PLUGINS_FILE "$conf/enabled_plugins" -f
if [ -z "${RABBITMQ_CONFIG_FILES:-}" ] && [ -d "$conf/conf.d" ]; then
  export RABBITMQ_CONFIG_FILES="$conf/conf.d/*.conf"
fi

if [ "$1" = rabbitmq-server ]; then
  shift
  exec leveret serve "$@"
fi
exec "$@"

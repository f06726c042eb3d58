# Container image that replaces rabbitmq:4-management: same ports, user, directories and variables.
#
# BASE is any Debian with python3 (3.11 or later) and its venv module. Both stages must use the same.
#     docker build -t leveret/rabbitmq .
#     container/build-and-run            the same without Docker: with buildah, on a base made by debootstrap

ARG BASE=python:3.13-slim

FROM ${BASE} AS build
# python3-dev is for Debian's own Python. The Python of the python images includes its headers.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
    $(test -x /usr/local/bin/python3 || echo python3-dev)
WORKDIR /src
# The virtual environment of the image has no pip. The pip that installs into it is not copied to the image.
RUN python3 -m venv /pip && python3 -m venv --without-pip /opt/leveret
COPY pyproject.toml setup.py README.md LICENSE ./
COPY broker broker
# Without debugging symbols the hot path is a third of the size.
RUN CFLAGS=-g0 /pip/bin/pip --python /opt/leveret/bin/python install --no-cache-dir --disable-pip-version-check ".[oauth2,cluster]" \
 && /opt/leveret/bin/leveret --version | grep --quiet 'hot path compiled' \
 && /opt/leveret/bin/leveret link-commands /opt/leveret/bin
# Debugging symbols of libraries, Cython's compiler and the sources that pcre2's wheel puts in src are not needed at run
# time, and are two thirds of the size.
RUN rm -rf /opt/leveret/src \
 && cd /opt/leveret/lib/python3*/site-packages \
 && find . -name '*.so' -exec strip --strip-unneeded '{}' + \
 && find Cython -mindepth 1 -maxdepth 1 ! -name __init__.py ! -name Shadow.py -exec rm -rf '{}' + \
 && leveret=/opt/leveret/bin/leveret \
 && LEVERET_PURE=1 $leveret --version \
 && $leveret --version | grep --quiet 'hot path compiled'

FROM ${BASE}
LABEL org.opencontainers.image.title="Leveret" \
      org.opencontainers.image.description="A self-hosted AMQP 0-9-1 broker that stands in for RabbitMQ" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.springframework.boot.service-connection="rabbitmq"
# Any user may run the image, so that directories are open to all, as in RabbitMQ's image.
RUN groupadd --gid 999 rabbitmq \
 && useradd --uid 999 --gid 999 --home-dir /var/lib/rabbitmq --no-create-home --shell /bin/bash rabbitmq \
 && install --directory --owner=rabbitmq --group=rabbitmq --mode=1777 \
    /var/lib/rabbitmq /var/log/rabbitmq /etc/rabbitmq /etc/rabbitmq/conf.d
COPY --from=build /opt/leveret /opt/leveret
COPY container/docker-entrypoint.sh container/healthcheck.sh container/rabbitmq-server /usr/local/bin/
COPY --chown=999:999 container/10-defaults.conf /etc/rabbitmq/conf.d/
COPY --chown=999:999 container/enabled_plugins /etc/rabbitmq/
# RabbitMQ's names for the commands are in /opt/leveret/bin. /usr/local/bin comes first: `rabbitmq-server` there knows the
# image's defaults.
# Durable queues and persistent messages are in the volume, and survive a restart with it.
# frozenlist's extension would load libstdc++: 2 MB of resident memory for short lists.
ENV FROZENLIST_NO_EXTENSIONS=1 \
    PATH=/usr/local/sbin:/usr/local/bin:/opt/leveret/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/var/lib/rabbitmq \
    LEVERET_STORE=disk \
    RABBITMQ_MNESIA_BASE=/var/lib/rabbitmq/leveret-data \
    RABBITMQ_ENABLED_PLUGINS_FILE=/etc/rabbitmq/enabled_plugins \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/rabbitmq
VOLUME /var/lib/rabbitmq
EXPOSE 4369 5671 5672 15671 15672 15691 15692 25672
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=2s --timeout=1s --start-period=10s --retries=3 CMD ["healthcheck.sh"]
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["rabbitmq-server"]

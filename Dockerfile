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
RUN CFLAGS=-g0 /pip/bin/pip --python /opt/leveret/bin/python install --no-cache-dir --disable-pip-version-check . \
 && /opt/leveret/bin/leveret --version | grep --quiet 'hot path compiled'

FROM ${BASE}
LABEL org.opencontainers.image.title="Leveret" \
      org.opencontainers.image.description="A self-hosted AMQP 0-9-1 broker that stands in for RabbitMQ" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.springframework.boot.service-connection="rabbitmq"
RUN groupadd --gid 999 rabbitmq \
 && useradd --uid 999 --gid 999 --home-dir /var/lib/rabbitmq --create-home --shell /bin/bash rabbitmq \
 && install --directory --owner=rabbitmq --group=rabbitmq /etc/rabbitmq /etc/rabbitmq/conf.d
COPY --from=build /opt/leveret /opt/leveret
COPY container/docker-entrypoint.sh container/healthcheck.sh /usr/local/bin/
COPY --chown=999:999 container/10-defaults.conf /etc/rabbitmq/conf.d/
# frozenlist's extension would load libstdc++: 2 MB of resident memory for short lists.
ENV FROZENLIST_NO_EXTENSIONS=1 \
    PATH=/opt/leveret/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/var/lib/rabbitmq \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/rabbitmq
VOLUME /var/lib/rabbitmq
EXPOSE 5672 15672 15692
USER rabbitmq
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=2s --timeout=1s --start-period=10s --retries=3 CMD ["healthcheck.sh"]
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["rabbitmq-server"]

"""When the certificates of listeners expire (rabbit_mgmt_wm_health_check_certificate_expiration)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from leveret.management.site import Expiring, Listener
from leveret.server import x509


def expiring(listeners: Iterable[Listener], now: datetime, within_s: float) -> list[Expiring]:
    """Return the AMQP listeners with TLS that have certificates which expire within that time, or cannot be used.

    RabbitMQ looks at these listeners only. Files are read as they are now. A time that is too long for the calendar
    finds them all.
    """
    try:
        end = now + timedelta(seconds=within_s)
    except OverflowError:
        end = datetime.max.replace(tzinfo=now.tzinfo)
    found = []
    for listener in listeners:
        tls = listener.tls
        if tls is not None and listener.protocol == "amqp/ssl":
            one = Expiring(listener, tls, _ends(tls.certfile, now, end), _ends(tls.cacertfile, now, end))
            if one.certfile_ends or one.cacertfile_ends:
                found.append(one)
    return found


def _ends(path: str, now: datetime, end: datetime) -> list[str]:
    """Return the dates before `end` in a file, and what is wrong with it."""
    if not path:
        return []
    try:
        blocks = x509.pem_blocks(path)
    except (OSError, x509.MalformedCertificate) as error:
        return [str(error)]
    if not blocks:
        return ["The certificate file provided does not contain any PEM entry."]
    return [text for label, der in blocks if (text := _end(label, der, now, end))]


def _end(label: str, der: bytes, now: datetime, end: datetime) -> str:
    """Return the date of one certificate, or what is wrong with it; nothing if it expires later."""
    if label != "CERTIFICATE":
        return f"The certificate file provided contains a {label} entry"
    try:
        dates = x509.dates(der)
    except x509.MalformedCertificate as error:
        return str(error)
    if dates.begins > now:
        return "Certificate is not yet valid"
    return f"{dates.ends:%Y-%m-%d} {dates.ends.hour}:{dates.ends:%M:%S}" if dates.ends < end else ""

"""Its certificates: an authority that nobody trusts by default, and what the server shows, which may have expired."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import trustme

HOST_NAME = "sha.daily-emr.test"
VALID = dt.timedelta(days=60)
EXPIRED_FOR = dt.timedelta(hours=5)


class Certificates:
    """One authority and the certificate that a server shows in its next handshakes."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._authority = trustme.CA(organization_name="Synthetic Health Authority")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.num_tickets = 0
        self.renew()

    def write_authority(self, file: Path) -> None:
        """Leave the certificate that clients have to trust."""
        self._authority.cert_pem.write_to_path(str(file))

    def renew(self) -> None:
        self._show(dt.datetime.now(dt.UTC) + VALID)

    def expire(self) -> None:
        self._show(dt.datetime.now(dt.UTC) - EXPIRED_FOR)

    def _show(self, not_after: dt.datetime) -> None:
        issued = self._authority.issue_cert(
            self._address, HOST_NAME, not_before=not_after - 2 * VALID, not_after=not_after
        )
        issued.configure_cert(self.context)

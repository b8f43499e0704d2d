"""Messages of Amazon SNS over HTTP: who sent them, and how a subscription is confirmed.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from .alert import NotVerified, require_recent, text_in

if TYPE_CHECKING:
    from datetime import datetime

Get = Callable[[str], Awaitable[bytes]]
"""Fetches an HTTPS address without following redirects. Raises OSError."""

TOPIC = re.compile(r"arn:aws:sns:(?P<region>[a-z0-9-]{3,30}):(?P<account>\d{12}):[A-Za-z0-9_-]{1,256}", re.ASCII)
CERTIFICATE = re.compile(r"https://(?P<host>[a-z0-9.-]+)/SimpleNotificationService-[0-9a-f]{16,64}\.pem", re.ASCII)
TOKEN = re.compile(r"[0-9a-f]{32,1024}", re.ASCII)
NOTIFICATION, CONFIRMATION, END = "Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"
_CONFIRMED = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
SIGNED = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRMATION: _CONFIRMED,
    END: _CONFIRMED,
}
"""What is signed of each type, in order; a missing Subject is left out."""
HASHES: dict[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303 - a topic's default
MOST_KEYS = 8
"""Certificates that are kept. AWS replaces its own about once a year."""


class Topic:
    """The one topic that is listened to. Every address is made of its region; none is taken from a message as it is."""

    def __init__(self, arn: str, get: Get) -> None:
        """Raises ValueError when that is no ARN of a topic."""
        if not (parts := TOPIC.fullmatch(arn)):
            raise ValueError(f"{arn!a} is not the ARN of a topic of SNS (arn:aws:sns:REGION:ACCOUNT:NAME).")
        self.arn, self.account = arn, parts["account"]
        self.host = f"sns.{parts['region']}.amazonaws.com"
        self._get = get
        self._keys: dict[str, RSAPublicKey] = {}

    async def verify(self, message: Any, now: datetime) -> str:
        """The type of a message of this topic. Raises NotVerified for any other, OSError without a certificate."""
        kind = text_in(message, "Type")
        if kind not in SIGNED or text_in(message, "TopicArn") != self.arn:
            raise NotVerified("It is not a message of the topic.")
        version = HASHES.get(text_in(message, "SignatureVersion"))
        address = CERTIFICATE.fullmatch(text_in(message, "SigningCertURL"))
        if version is None or address is None or address["host"] != self.host:
            raise NotVerified("Its certificate is not one of SNS in the region of the topic.")
        require_recent(text_in(message, "Timestamp"), now)
        key = await self._key(address[0], now)
        try:
            signature = base64.b64decode(text_in(message, "Signature"), validate=True)
            key.verify(signature, signed(message), PKCS1v15(), version)
        except (InvalidSignature, binascii.Error, ValueError) as error:
            raise NotVerified("The signature is not that of the message.") from error
        return kind

    async def confirm(self, message: Any) -> None:
        """Confirm the subscription. Raises NotVerified, OSError."""
        token = text_in(message, "Token")
        if not TOKEN.fullmatch(token):
            raise NotVerified("Its token is not one of SNS.")
        asked = urlencode({"Action": "ConfirmSubscription", "TopicArn": self.arn, "Token": token})
        await self._get(f"https://{self.host}/?{asked}")

    async def _key(self, address: str, now: datetime) -> RSAPublicKey:
        if address not in self._keys:
            try:
                certificate = x509.load_pem_x509_certificate(await self._get(address))
            except ValueError as error:
                raise NotVerified("What lies at the address of the certificate is none.") from error
            key = certificate.public_key()
            if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
                raise NotVerified("Its certificate is not valid now.")
            if not isinstance(key, RSAPublicKey):
                raise NotVerified("Its certificate has another kind of key than those of SNS.")
            if len(self._keys) >= MOST_KEYS:
                self._keys.clear()
            self._keys[address] = key
        return self._keys[address]


def signed(message: dict[str, Any]) -> bytes:
    """What is signed of a message."""
    keys = [key for key in SIGNED[message["Type"]] if key in message]
    return "".join(f"{key}\n{text_in(message, key)}\n" for key in keys).encode()

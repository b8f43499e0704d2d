"""What monitoring systems post, as their documentation shows it, signed with keys that are made here."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

TOKENS = {
    "alertmanager_token": "token-of-alertmanager-0123",
    "pagerduty_token": "token-of-pagerduty-456789",
    "pagerduty_secret": "secret-of-pagerduty-abcdef",
    "cloudwatch_token": "token-of-cloudwatch-fedcba",
}
ACCOUNT = "123456789012"
TOPIC = f"arn:aws:sns:af-south-1:{ACCOUNT}:daily-emr-sandbox-oncall"
SNS_HOST = "sns.af-south-1.amazonaws.com"
Headers = dict[str, str]


def now_text(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def bearer(source: str) -> Headers:
    return {"Authorization": f"Bearer {TOKENS[f'{source}_token']}"}


def alertmanager(alertname: str, component: Any, **changes: Any) -> tuple[Headers, bytes]:
    """One firing alert; no component at all when it is None."""
    labels = {"alertname": alertname, "severity": "page"} | ({} if component is None else {"component": component})
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": "No target answers."},
        "startsAt": now_text(minutes=3),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example.org/graph",
        "fingerprint": "f6c3a1d0b9e85a27",
    }
    document = {
        "version": "4",
        "groupKey": '{}:{alertname="x"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "runbooks",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example.org",
        "alerts": [alert | changes],
    }
    return bearer("alertmanager"), json.dumps(document).encode()


def pagerduty(
    service: str, *, occurred_at: str = "", kind: str = "incident.triggered", **data: Any
) -> tuple[Headers, bytes]:
    """An incident that was triggered, signed."""
    event = {
        "id": "01DEN4HPBQAAAG05V5QQYBRZMF",
        "event_type": kind,
        "resource_type": "incident",
        "occurred_at": occurred_at or now_text(seconds=2),
        "agent": None,
        "client": {"name": "Monitoring"},
        "data": {
            "id": "PGR0VU2",
            "type": "incident",
            "html_url": "https://emr.pagerduty.com/incidents/PGR0VU2",
            "number": 42,
            "status": "triggered",
            "incident_key": "d3640fbd41094207a1c11e58e46b1662",
            "created_at": now_text(minutes=1),
            "title": "Somebody may have typed this",
            "service": {"id": "PF9KMXH", "summary": service, "type": "service_reference"},
            "urgency": "high",
            **data,
        },
    }
    body = json.dumps({"event": event}).encode()
    return {**bearer("pagerduty"), "X-PagerDuty-Signature": pagerduty_signature(body)}, body


def pagerduty_signature(body: bytes, secret: str = TOKENS["pagerduty_secret"]) -> str:
    return f"v1={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def alarm(name: str, **changes: Any) -> dict[str, Any]:
    """What CloudWatch puts into a message."""
    return {
        "AlarmName": f"daily-emr-sandbox-{name}",
        "AlarmDescription": f"Daily EMR: {name}",
        "AWSAccountId": ACCOUNT,
        "NewStateValue": "ALARM",
        "NewStateReason": "Threshold Crossed: 1 datapoint [0.0] was less than the threshold (1.0).",
        "StateChangeTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
        "Region": "Africa (Cape Town)",
        "AlarmArn": f"arn:aws:cloudwatch:af-south-1:{ACCOUNT}:alarm:daily-emr-sandbox-{name}",
        "OldStateValue": "OK",
        "Trigger": {"MetricName": "HealthyHostCount", "Namespace": "AWS/ApplicationELB"},
        **changes,
    }


class Sns:
    """A sender with a key of its own, as SNS signs."""

    def __init__(self, valid: timedelta = timedelta(days=1)) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        until = datetime.now(UTC) + valid
        certificate = (
            x509.CertificateBuilder(name, name, self._key.public_key(), x509.random_serial_number())
            .not_valid_before(until - timedelta(days=2))
            .not_valid_after(until)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM)

    def message(self, kind: str = "Notification", *, version: str = "2", **changes: Any) -> dict[str, Any]:
        """A message with its signature; `changes` are signed too."""
        about = {
            "Type": kind,
            "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
            "TopicArn": TOPIC,
            "Message": json.dumps(alarm("no-healthy-targets")),
            "Timestamp": now_text(seconds=1),
            "SignatureVersion": version,
            "SigningCertURL": f"https://{SNS_HOST}/SimpleNotificationService-7ff5318490ec183fbaddaa2a969abfda.pem",
        }
        if kind == "Notification":
            about["Subject"] = "ALARM"
            signed = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
        else:
            about |= {"Token": "2336412f37fb687f5d51e6e2425c464d", "SubscribeURL": "https://evil.example.org/?confirm"}
            signed = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
        about |= changes
        text = "".join(f"{name}\n{about[name]}\n" for name in signed)
        scheme = hashes.SHA1() if version == "1" else hashes.SHA256()
        about["Signature"] = base64.b64encode(self._key.sign(text.encode(), padding.PKCS1v15(), scheme)).decode()
        return about


def cloudwatch(message: dict[str, Any]) -> tuple[Headers, bytes]:
    """A message as SNS posts it, with the token as the password of the address of the subscription."""
    word = base64.b64encode(f"sns:{TOKENS['cloudwatch_token']}".encode()).decode()
    return {"Authorization": f"Basic {word}", "Content-Type": "text/plain; charset=UTF-8"}, json.dumps(message).encode()

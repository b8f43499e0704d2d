"""Where everything of one sandbox lives: names, addresses, ports and folders.

All other parts import this module and none of them knows an address of its own. The whole of 127/8 is
loopback on Linux, so every sandbox takes its own 127.x.y.0/24 and uses the same ports inside it: several
sandboxes (and several checkouts) live side by side without agreeing on anything else than the network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ACCOUNT_ID = "123456789012"
REGION = "af-south-1"
COPY_REGION = "eu-west-1"
DEFAULT_TIME_FACTOR = 20.0

PROJECT = Path(__file__).resolve().parents[2]
"""The checkout this package belongs to."""


def default_state_dir() -> Path:
    """State folder of the sandbox when none is named: $DAILY_EMR_SANDBOX, else <project>/.sandbox/default."""
    return Path(os.environ.get("DAILY_EMR_SANDBOX") or PROJECT / ".sandbox" / "default").absolute()


AWS_PORT, BALANCER_PORT, EDGE_PORT, LAUNCHDARKLY_PORT, TASK_PORT = 26080, 26081, 26082, 26083, 26090
CLAIMS_PORT, SHA_PORT = 26084, 26085
DATABASE_PORT, CACHE_PORT = 26100, 26200
QUEUE_PORT, QUEUE_NODE_PORTS, GATEWAY_PORT, PRODUCER_PORT = 26300, (26301, 26302), 26303, 26304
TELEHEALTH_PORT, TURN_PORT, PEOPLE_PORT = 26400, 26478, 26500
PORTS = (
    AWS_PORT, BALANCER_PORT, EDGE_PORT, LAUNCHDARKLY_PORT, CLAIMS_PORT, SHA_PORT, TASK_PORT, DATABASE_PORT, CACHE_PORT,
    QUEUE_PORT, *QUEUE_NODE_PORTS, GATEWAY_PORT, PRODUCER_PORT, TELEHEALTH_PORT, TURN_PORT,
    PEOPLE_PORT,
)  # fmt: skip
"""The same in every sandbox, because each has its own addresses; uncommon, because a program that listens on every
address of the machine takes its port from all of them."""


PARTS = ("queues", "claims", "telehealth", "people", "region")
"""What a sandbox may go without; in the order in which they start."""
ON_REQUEST = frozenset({"region"})
"""What it has only when it is named: a second region is a second set of servers."""
NEEDS = {"claims": ("queues",)}
CORE = "core"
"""On a command line: none of them."""


def chosen_parts(names: Iterable[str] | None) -> frozenset[str]:
    """Parts of these names, and what they need; all but those on request where nothing is said.

    Raises:
        ValueError: no part of that name.
    """
    if names is None:
        return frozenset(PARTS) - ON_REQUEST
    named = set(names)
    if unknown := sorted(named - set(PARTS)):
        raise ValueError(f"There is no part {unknown[0]!r}: use {', '.join(PARTS)}, or {CORE} for none of them.")
    return frozenset(named.union(*(NEEDS.get(name, ()) for name in named)))


def parts_from(text: str) -> frozenset[str]:
    """Parts from a command line: names separated by commas, or "core"."""
    return chosen_parts(() if text == CORE else [name.strip() for name in text.split(",")])


@dataclass(frozen=True)
class Settings:
    """One sandbox. Addresses and names are derived, so that two parts can never disagree about them."""

    state_dir: Path
    network: str
    """First three bytes of the network, for example "127.83.14"."""
    name: str = "default"
    time_factor: float = DEFAULT_TIME_FACTOR
    """How many times faster than AWS waits and windows pass."""
    region: str = REGION
    account_id: str = ACCOUNT_ID
    environment: str = "sandbox"
    parts: frozenset[str] = frozenset(PARTS) - ON_REQUEST
    """Which of the optional parts it has."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"127\.\d{1,3}\.\d{1,3}", self.network):
            raise ValueError(f'network {self.network!r} is not a loopback /24: give three bytes, such as "127.83.14"')
        if self.time_factor < 1:
            raise ValueError(f"time_factor {self.time_factor} would be slower than AWS: give 1 or more")

    def address(self, host: int) -> str:
        """Loopback address of one host of this sandbox; tasks have 20 and above."""
        return f"{self.network}.{host}"

    def scaled(self, aws_seconds: float) -> float:
        """Seconds in this sandbox for a time that takes `aws_seconds` on AWS."""
        return aws_seconds / self.time_factor

    # Names; the same convention in every inventory.

    @property
    def prefix(self) -> str:
        return f"daily-emr-{self.environment}"

    @property
    def web(self) -> str:
        """Service, task family, ECR repository and target group of the web component."""
        return f"{self.prefix}-web"

    @property
    def web_alternate(self) -> str:
        """Its other target group, for releases that begin as a canary."""
        return f"{self.web}-alt"

    @property
    def database_name(self) -> str:
        return f"{self.prefix}-db"

    @property
    def replica_name(self) -> str:
        """The read replica of the database in the second region."""
        return f"{self.database_name}-replica"

    @property
    def recovery_secret(self) -> str:
        """DATABASE_URL of the second region's tasks, a secret of that region alone."""
        return f"daily-emr/{self.environment}/recovery/DATABASE_URL"

    @property
    def dumps_bucket(self) -> str:
        """Bucket of the dumps of the database."""
        return f"{self.prefix}-dumps-{self.account_id}"

    @property
    def dumps_copy_bucket(self) -> str:
        """Its copy in the second region."""
        return f"{self.prefix}-dumps-copy-{self.account_id}"

    @property
    def audit_bucket(self) -> str:
        """Bucket of the audit, in which heads of journals are locked."""
        return f"{self.prefix}-audit-{self.account_id}"

    @property
    def cache_name(self) -> str:
        """Replication group of the sessions."""
        return f"{self.prefix}-sessions"

    @property
    def zones(self) -> tuple[str, str, str]:
        return (f"{self.region}a", f"{self.region}b", f"{self.region}c")

    @property
    def web_logs(self) -> str:
        """Log group of the web component's tasks."""
        return f"/ecs/{self.web}"

    @property
    def database_secret(self) -> str:
        return f"daily-emr/{self.environment}/DATABASE_URL"

    @property
    def session_secret(self) -> str:
        return f"daily-emr/{self.environment}/SESSION_PASSWORD"

    @property
    def queue_group(self) -> str:
        """Replication group of the queues."""
        return f"{self.prefix}-queues"

    @property
    def queue_secret(self) -> str:
        return f"daily-emr/{self.environment}/QUEUE_PASSWORD"

    @property
    def queue_runbook(self) -> str:
        """The user of the runbooks at the queues."""
        return f"{self.prefix}-runbook"

    @property
    def exports_queue(self) -> str:
        """Queue of the exports in SQS."""
        return f"{self.prefix}-exports"

    @property
    def exports_dead_letters(self) -> str:
        return f"{self.exports_queue}-dead-letters"

    def worker_service(self, queue: str) -> str:
        """Service, task family and end of the log group of the workers of a queue."""
        return f"{self.prefix}-{queue}-worker"

    @property
    def sha_secret(self) -> str:
        return f"daily-emr/{self.environment}/SHA_API_KEY"

    @property
    def sha_facility(self) -> str:
        """Our own number at the authority: the client id, and what a harmless question asks for."""
        return "FID-27-104218-6"

    # Addresses.

    @property
    def aws_address(self) -> str:
        return self.address(1)

    @property
    def endpoint_url(self) -> str:
        return f"http://{self.aws_address}:{AWS_PORT}"

    @property
    def control_url(self) -> str:
        return f"{self.endpoint_url}/_sandbox"

    @property
    def aws_port(self) -> int:
        return AWS_PORT

    @property
    def balancer_address(self) -> str:
        return self.address(2)

    @property
    def balancer_port(self) -> int:
        return BALANCER_PORT

    @property
    def balancer_url(self) -> str:
        return f"http://{self.balancer_address}:{self.balancer_port}"

    @property
    def edge_address(self) -> str:
        return self.address(3)

    @property
    def edge_port(self) -> int:
        return EDGE_PORT

    @property
    def edge_url(self) -> str:
        return f"http://{self.edge_address}:{self.edge_port}"

    @property
    def launchdarkly_address(self) -> str:
        return self.address(4)

    @property
    def launchdarkly_port(self) -> int:
        return LAUNCHDARKLY_PORT

    @property
    def launchdarkly_url(self) -> str:
        return f"http://{self.launchdarkly_address}:{self.launchdarkly_port}"

    @property
    def people_address(self) -> str:
        return self.address(4)

    @property
    def people_port(self) -> int:
        return PEOPLE_PORT

    @property
    def people_url(self) -> str:
        return f"http://{self.people_address}:{self.people_port}"

    @property
    def database_address(self) -> str:
        """Endpoint of the database: the same address whichever of the pair is primary."""
        return self.address(5)

    @property
    def database_port(self) -> int:
        return DATABASE_PORT

    @property
    def database_node_addresses(self) -> tuple[str, str]:
        """The two hosts behind the endpoint; each keeps its address when their roles change."""
        return (self.address(7), self.address(8))

    @property
    def cache_address(self) -> str:
        """Endpoint of the session cache: the same address whichever node is primary."""
        return self.address(6)

    @property
    def cache_port(self) -> int:
        return CACHE_PORT

    @property
    def claims_address(self) -> str:
        """The claims service of the Social Health Authority."""
        return self.address(9)

    @property
    def claims_port(self) -> int:
        return CLAIMS_PORT

    @property
    def claims_url(self) -> str:
        return f"http://{self.claims_address}:{self.claims_port}"

    def telehealth_secret(self, provider: str) -> str:
        """The key of the application at a telehealth provider."""
        return f"daily-emr/{self.environment}/TELEHEALTH_{provider.upper()}_KEY"

    @property
    def telehealth_logs(self) -> str:
        """Log group of joins, calls, webhooks and bookings."""
        return f"/ecs/{self.prefix}-telehealth"

    @property
    def telehealth_topic(self) -> str:
        """SNS topic that tells clinics of bookings by phone."""
        return f"{self.prefix}-telehealth-notices"

    def telehealth_address(self, provider: str) -> str:
        """Control API and TURN servers of a telehealth provider."""
        return self.address({"primary": 17, "secondary": 18}[provider])

    def telehealth_url(self, provider: str) -> str:
        return f"http://{self.telehealth_address(provider)}:{TELEHEALTH_PORT}"

    @property
    def telehealth_webhook_address(self) -> str:
        """Where the application takes the webhooks of the providers."""
        return self.address(19)

    @property
    def telehealth_webhook_url(self) -> str:
        return f"http://{self.telehealth_webhook_address}:{TELEHEALTH_PORT}"

    @property
    def queue_address(self) -> str:
        """Endpoint of the queues, the same whichever node is primary; their gateway and producer are there too."""
        return self.address(14)

    @property
    def queue_port(self) -> int:
        return QUEUE_PORT

    @property
    def queue_nodes(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Address and port of each node of the queues; they stay when the roles change."""
        return (self.address(15), QUEUE_NODE_PORTS[0]), (self.address(16), QUEUE_NODE_PORTS[1])

    @property
    def gateway_address(self) -> tuple[str, int]:
        """What sends the messages: the provider behind the queue of notifications."""
        return self.address(14), GATEWAY_PORT

    @property
    def producer_address(self) -> tuple[str, int]:
        return self.address(14), PRODUCER_PORT

    @property
    def sha_port(self) -> int:
        return SHA_PORT

    @property
    def sha_url(self) -> str:
        """Its FHIR API, at the same address as the plain eligibility service."""
        return f"https://{self.claims_address}:{self.sha_port}"

    def zone_address(self, zone: str) -> str:
        """Near end of a zone's path to database and cache (what a subnet's routes are on AWS)."""
        return self.address(10 + self.zones.index(zone))

    # Folders and files.

    @property
    def file(self) -> Path:
        """sandbox.json, written last: the sandbox is ready when it exists."""
        return self.state_dir / "sandbox.json"

    @property
    def credentials_file(self) -> Path:
        return self.state_dir / "credentials"

    @property
    def database_passfile(self) -> Path:
        """Password of the runbooks' role, in the format of libpq."""
        return self.state_dir / "database_passfile"

    @property
    def queue_passfile(self) -> Path:
        """Password of the runbooks' user at the queues, and nothing else."""
        return self.state_dir / "queue_passfile"

    @property
    def launchdarkly_token_file(self) -> Path:
        return self.state_dir / "launchdarkly_token"

    @property
    def telehealth_keys_file(self) -> Path:
        """Keys of the runbooks at the telehealth providers: for tests only."""
        return self.state_dir / "telehealth_keys"

    @property
    def sha_ca_file(self) -> Path:
        """Certificate of the authority that signs those of the claims API."""
        return self.state_dir / "sha_ca.pem"

    @property
    def logs_dir(self) -> Path:
        return self.state_dir / "logs"

    @property
    def data_dir(self) -> Path:
        """Data folders of PostgreSQL and Valkey; thrown away at each start."""
        return self.state_dir / "data"

    @property
    def cache_dir(self) -> Path:
        """What is expensive to make and the same for every sandbox of this checkout."""
        return PROJECT / ".sandbox" / ".cache"

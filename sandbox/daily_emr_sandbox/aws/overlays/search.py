"""OpenSearch and Firehose: a stream that ends in a domain, and what a domain has to be for that and for its access."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.firehose.models import DeliveryStream
from moto.firehose.responses import FirehoseResponse
from moto.opensearch.models import OpenSearchServiceBackend, opensearch_backends

from ..errors import AwsError

if TYPE_CHECKING:
    from ..server import AwsServer

DESTINATION = "Amazonopensearchservice"

_create_stream = FirehoseResponse.create_delivery_stream
_create_domain, _update_domain = OpenSearchServiceBackend.create_domain, OpenSearchServiceBackend.update_domain_config


def create_delivery_stream(self: Any) -> Any:
    """As AWS does, a stream is refused whose domain is not there, or which has no way into its VPC."""
    wanted = self._get_param(f"{DESTINATION}DestinationConfiguration")
    if not wanted:
        return _create_stream(self)
    name, streams = self._get_param("DeliveryStreamName"), self.firehose_backend.delivery_streams
    if name in streams:
        raise AwsError("ResourceInUseException", f"Firehose {name} already exists.", 400)
    domains = opensearch_backends[self.current_account][self.region].domains
    domain = next((one for one in domains.values() if one.arn == wanted.get("DomainARN")), None)
    if domain is None or domain.processing:
        raise AwsError("InvalidArgumentException", "The domain does not exist, or is not active.", 400)
    inside = wanted.pop("VpcConfiguration", None)
    if domain.vpc_options and not (inside and inside["SubnetIds"] and inside["SecurityGroupIds"]):
        raise AwsError("InvalidArgumentException", "The domain is in a VPC: a VpcConfiguration is needed.", 400)
    if inside:
        wanted["VpcConfigurationDescription"] = inside
    wanted.setdefault("S3BackupMode", "FailedDocumentsOnly")
    stream = DeliveryStream(
        self.current_account, self.region, name, self._get_param("DeliveryStreamType"), {}, {}, DESTINATION, wanted
    )
    self.firehose_backend.tagger.tag_resource(stream.delivery_stream_arn, self._get_param("Tags") or [])
    streams[name] = stream
    return ActionResult({"DeliveryStreamARN": stream.delivery_stream_arn})


def check(wanted: dict[str, Any]) -> None:
    """Fine-grained access control needs encryption everywhere, and once on it stays on.

    Raises:
        AwsError: ValidationException.
    """
    if not (wanted.get("advanced_security_options") or {}).get("Enabled"):
        return
    for key, member in (
        ("encryption_at_rest_options", "Enabled"), ("node_to_node_encryption_options", "Enabled"),
        ("domain_endpoint_options", "EnforceHTTPS"),
    ):  # fmt: skip
        if not (wanted.get(key) or {}).get(member):
            raise AwsError("ValidationException", f"Fine-grained access control requires {key}.", 400)
    if not (wanted["advanced_security_options"].get("MasterUserOptions") or {}):
        raise AwsError("ValidationException", "Fine-grained access control requires a master user.", 400)


def create_domain(self: Any, **wanted: Any) -> Any:
    if wanted["domain_name"] in self.domains:
        raise AwsError("ResourceAlreadyExistsException", f"Domain {wanted['domain_name']} already exists.", 409)
    check(wanted)
    return _create_domain(self, **wanted)


def update_domain_config(self: Any, domain_name: str, **wanted: Any) -> Any:
    standing = self.domains[domain_name]
    switched = (wanted.get("advanced_security_options") or {}).get("Enabled")
    if standing.advanced_security_options.get("Enabled") and switched is False:
        raise AwsError("ValidationException", "Fine-grained access control cannot be turned off.", 400)
    check(wanted)
    return _update_domain(self, domain_name=domain_name, **wanted)


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's OpenSearch and Firehose. Harmless when done twice."""
    FirehoseResponse.create_delivery_stream = create_delivery_stream
    OpenSearchServiceBackend.create_domain = create_domain
    OpenSearchServiceBackend.update_domain_config = update_domain_config

"""CloudFront: an update needs the newest ETag, an alias belongs to one distribution, and certificates have to exist."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from moto.acm.models import acm_backends
from moto.cloudfront.models import CloudFrontBackend, DefaultCacheBehaviour

from ..errors import AwsError

if TYPE_CHECKING:
    from ..server import AwsServer

CERTIFICATES = "us-east-1"
LEGACY = ("forwarded_values", "min_ttl", "default_ttl", "max_ttl")

_create = CloudFrontBackend.create_distribution_with_tags
_update = CloudFrontBackend.update_distribution
_behave = DefaultCacheBehaviour.__init__


def behave(self: Any, config: dict[str, Any]) -> None:
    """A behaviour with a cache policy has nothing of what there was before policies."""
    if config.get("CachePolicyId") and config.get("ForwardedValues"):
        raise AwsError("InvalidArgument", "ForwardedValues cannot be specified when a cache policy is.", 400)
    _behave(self, config)
    if self.cache_policy_id:
        for name in LEGACY:
            setattr(self, name, None)


def check(backend: Any, config: dict[str, Any], own_id: str = "") -> None:
    """Refuse what AWS refuses.

    Raises:
        AwsError: CNAMEAlreadyExists, InvalidViewerCertificate.
    """
    aliases = set((config.get("Aliases") or {}).get("Items") or [])
    for one in backend.distributions.values():
        if one.id != own_id and aliases & set(one.distribution_config.Aliases.get("Items") or []):
            raise AwsError("CNAMEAlreadyExists", "The CNAME is already associated with another distribution.", 409)
    arn = (config.get("ViewerCertificate") or {}).get("ACMCertificateArn")
    known = acm_backends[backend.account_id][CERTIFICATES]._certificates
    if aliases and arn not in known:
        raise AwsError("InvalidViewerCertificate", "The certificate doesn't exist, or isn't in us-east-1.", 400)


def create_distribution_with_tags(self: Any, distribution_config: dict[str, Any], tags: list[dict[str, str]]) -> Any:
    check(self, distribution_config)
    return _create(self, distribution_config, tags)


def update_distribution(self: Any, dist_config: dict[str, Any], _id: str, if_match: Any) -> Any:
    standing = self.distributions.get(_id)
    if standing is not None and if_match != standing.etag:
        raise AwsError("PreconditionFailed", "The If-Match version does not match the distribution's.", 412)
    check(self, dist_config, _id)
    found, location, _etag = _update(self, dist_config, _id, if_match)
    found.etag = uuid.uuid4().hex[:13].upper()
    return found, location, found.etag


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's CloudFront. Harmless when done twice."""
    DefaultCacheBehaviour.__init__ = behave
    CloudFrontBackend.create_distribution_with_tags = create_distribution_with_tags
    CloudFrontBackend.update_distribution = update_distribution

"""ElastiCache: parameter groups, which moto does not have, and the end of a subnet group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.elasticache.responses import ElastiCacheResponse

from ..errors import AwsError

if TYPE_CHECKING:
    from ..server import AwsServer


def _groups(response: Any) -> dict[str, dict[str, Any]]:
    """On the backend, so that they go when the sandbox starts with an empty AWS."""
    kept: dict[str, dict[str, Any]] = response.elasticache_backend.__dict__.setdefault("sandbox_parameter_groups", {})
    return kept


def _group(response: Any) -> dict[str, Any]:
    name = response._get_param("CacheParameterGroupName")
    try:
        return _groups(response)[name]
    except KeyError:
        raise AwsError("CacheParameterGroupNotFound", f"CacheParameterGroup {name} not found.", 404) from None


def _described(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "values"}


def create_cache_parameter_group(self: Any) -> ActionResult:
    name = self._get_param("CacheParameterGroupName")
    if name in _groups(self):
        raise AwsError("CacheParameterGroupAlreadyExists", f"CacheParameterGroup {name} already exists.", 400)
    group = {
        "CacheParameterGroupName": name,
        "CacheParameterGroupFamily": self._get_param("CacheParameterGroupFamily"),
        "Description": self._get_param("Description"),
        "IsGlobal": False,
        "values": {"maxmemory-policy": "volatile-lru"},
    }
    group["ARN"] = f"arn:aws:elasticache:{self.region}:{self.current_account}:parametergroup:{name}"
    _groups(self)[name] = group
    return ActionResult({"CacheParameterGroup": _described(group)})


def describe_cache_parameter_groups(self: Any) -> ActionResult:
    named = self._get_param("CacheParameterGroupName")
    found = [_group(self)] if named else list(_groups(self).values())
    return ActionResult({"CacheParameterGroups": [_described(group) for group in found]})


def describe_cache_parameters(self: Any) -> ActionResult:
    values = _group(self)["values"].items()
    return ActionResult({"Parameters": [{"ParameterName": name, "ParameterValue": value} for name, value in values]})


def modify_cache_parameter_group(self: Any) -> ActionResult:
    group = _group(self)
    for one in self._get_param("ParameterNameValues") or []:
        group["values"][one["ParameterName"]] = one["ParameterValue"]
    return ActionResult({"CacheParameterGroupName": group["CacheParameterGroupName"]})


def delete_cache_parameter_group(self: Any) -> ActionResult:
    del _groups(self)[_group(self)["CacheParameterGroupName"]]
    return ActionResult({})


def delete_cache_subnet_group(self: Any) -> ActionResult:
    groups = self.elasticache_backend.cache_subnet_groups
    name = self._get_param("CacheSubnetGroupName")
    if name not in groups:
        raise AwsError("CacheSubnetGroupNotFoundFault", f"CacheSubnetGroup {name} not found.", 400)
    del groups[name]
    return ActionResult({})


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's ElastiCache. Harmless when done twice."""
    for action in (
        create_cache_parameter_group, describe_cache_parameter_groups, describe_cache_parameters,
        modify_cache_parameter_group, delete_cache_parameter_group, delete_cache_subnet_group,
    ):  # fmt: skip
        setattr(ElastiCacheResponse, action.__name__, action)

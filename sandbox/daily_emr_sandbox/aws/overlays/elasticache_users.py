"""ElastiCache: users that change, and groups of users that replication groups ask; moto has only users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.elasticache.responses import ElastiCacheResponse

from ..errors import AwsError

if TYPE_CHECKING:
    from ..server import AwsServer

USER_GROUPS = "sandbox_user_groups"
"""The attribute of moto's backend that has them."""
DEFAULT = "default"
IAM = "iam"
MOST_PASSWORDS = 2

_create_user = ElastiCacheResponse.create_user


def _user_groups(response: Any) -> dict[str, dict[str, Any]]:
    """On the backend, so that they go when the sandbox starts with an empty AWS."""
    kept: dict[str, dict[str, Any]] = response.elasticache_backend.__dict__.setdefault(USER_GROUPS, {})
    return kept


def _user(response: Any, identity: str) -> Any:
    try:
        return response.elasticache_backend.users[identity]
    except KeyError:
        raise AwsError("UserNotFound", f"User {identity} not found.", 404) from None


def _user_group(response: Any, name: str) -> dict[str, Any]:
    try:
        return _user_groups(response)[name]
    except KeyError:
        raise AwsError("UserGroupNotFound", f"User group {name} not found.", 404) from None


def _shown(response: Any, group: dict[str, Any]) -> dict[str, Any]:
    asked = response.elasticache_backend.replication_groups.values()
    using = [one.replication_group_id for one in asked if group["UserGroupId"] in one.user_group_ids]
    return {**group, "ReplicationGroups": using}


def create_user(self: Any) -> Any:
    """Who proves itself by IAM is called by its id; users of Valkey have a password or IAM."""
    mode = self._get_param("AuthenticationMode") or {}
    if mode.get("Type") == IAM and self._get_param("UserId") != self._get_param("UserName"):
        raise AwsError("InvalidParameterValue", "UserId and UserName must be identical for IAM authentication.", 400)
    _check_passwords(mode)
    return _create_user(self)


def _check_passwords(mode: dict[str, Any]) -> None:
    if mode.get("Type") == "no-password-required":
        raise AwsError("InvalidParameterValue", "Users of the engine Valkey need a password or IAM.", 400)
    if len(mode.get("Passwords") or []) > MOST_PASSWORDS:
        raise AwsError("InvalidParameterValue", "A user has two passwords at most.", 400)


def modify_user(self: Any) -> ActionResult:
    user, mode = _user(self, self._get_param("UserId")), self._get_param("AuthenticationMode") or {}
    if mode.get("Type") == IAM and user.id != user.name:
        raise AwsError("InvalidParameterValue", "UserId and UserName must be identical for IAM authentication.", 400)
    _check_passwords(mode)
    user.access_string = self._get_param("AccessString") or user.access_string
    if mode:
        user.authentication_type, user.passwords = mode["Type"], mode.get("Passwords") or []
    return ActionResult(user)


def create_user_group(self: Any) -> ActionResult:
    name = self._get_param("UserGroupId")
    if name in _user_groups(self):
        raise AwsError("UserGroupAlreadyExists", f"User group {name} already exists.", 400)
    group = {
        "UserGroupId": name,
        "Status": "active",
        "Engine": self._get_param("Engine"),
        "UserIds": _checked(self, self._get_param("UserIds") or []),
        "MinimumEngineVersion": "7.2",
        "ARN": f"arn:aws:elasticache:{self.region}:{self.current_account}:usergroup:{name}",
    }
    self.elasticache_backend.tagging_service.tag_resource(group["ARN"], self._get_param("Tags") or [])
    _user_groups(self)[name] = group
    return ActionResult(_shown(self, group))


def _checked(response: Any, users: list[str]) -> list[str]:
    names = [_user(response, user).name for user in users]
    if DEFAULT not in names:
        raise AwsError("DefaultUserRequired", "A user group needs a user named default.", 400)
    if len(set(names)) < len(names):
        raise AwsError("DuplicateUserName", "A user group has each name of a user once.", 400)
    return sorted(users)


def modify_user_group(self: Any) -> ActionResult:
    group = _user_group(self, self._get_param("UserGroupId"))
    gone = set(self._get_param("UserIdsToRemove") or [])
    group["UserIds"] = _checked(self, [*(set(group["UserIds"]) - gone), *(self._get_param("UserIdsToAdd") or [])])
    return ActionResult(_shown(self, group))


def describe_user_groups(self: Any) -> ActionResult:
    named = self._get_param("UserGroupId")
    found = [_user_group(self, named)] if named else list(_user_groups(self).values())
    return ActionResult({"UserGroups": [_shown(self, group) for group in found]})


def delete_user(self: Any) -> ActionResult:
    """A user that a group still names goes from the group as well, as on AWS."""
    user = _user(self, self._get_param("UserId"))
    for group in _user_groups(self).values():
        group["UserIds"] = [one for one in group["UserIds"] if one != user.id]
    del self.elasticache_backend.users[user.id]
    user.status = "deleting"
    return ActionResult(user)


def delete_user_group(self: Any) -> ActionResult:
    group = _user_group(self, self._get_param("UserGroupId"))
    users = [one for one in self.elasticache_backend.replication_groups.values() if one.status != "deleting"]
    if any(group["UserGroupId"] in one.user_group_ids for one in users):
        raise AwsError("InvalidUserGroupState", "A replication group still asks this user group.", 400)
    del _user_groups(self)[group["UserGroupId"]]
    return ActionResult({**group, "Status": "deleting"})


def check(response: Any) -> None:
    """Refuse a new replication group that would ask a group of users that is not there, or in the clear.

    Raises:
        AwsError: UserGroupNotFound, InvalidParameterCombination.
    """
    for name in response._get_param("UserGroupIds") or []:
        _user_group(response, name)
    if response._get_param("UserGroupIds") and not response._get_bool_param("TransitEncryptionEnabled"):
        raise AwsError("InvalidParameterCombination", "User groups need encryption in transit.", 400)


def ask(response: Any, group: Any) -> None:
    """Let a standing replication group of moto ask the groups of users that ModifyReplicationGroup names.

    Raises:
        AwsError: UserGroupNotFound, InvalidParameterValue.
    """
    added = response._get_param("UserGroupIdsToAdd") or []
    removed = response._get_param("UserGroupIdsToRemove") or []
    for name in added:
        _user_group(response, name)
    asked = {*added, *(one for one in group.user_group_ids if one not in removed)}
    if len(asked) > 1:
        raise AwsError("InvalidParameterValue", "A replication group asks one user group.", 400)
    group.user_group_ids = list(asked)


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's ElastiCache. Harmless when done twice."""
    for action in (
        create_user, modify_user, delete_user, create_user_group, modify_user_group, describe_user_groups,
        delete_user_group,
    ):  # fmt: skip
        setattr(ElastiCacheResponse, action.__name__, action)

# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who may log in at the replication groups, and what for: users, their groups, and which group a cache asks.

https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/Clusters.RBAC.html
"""

from __future__ import annotations

import secrets
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import State
from ansible_collections.daily_emr.ops.plugins.module_utils._resources import Json, Resource, absent
from ansible_collections.daily_emr.ops.plugins.module_utils._resources_edge import PREVIOUS, BySecret

ENGINE = "valkey"
ACTIVE = "active"
IAM, PASSWORD, NOBODY = "iam", "password", "nobody"
# What ElastiCache adds to a string of access by itself, or leaves out of it.
IMPLIED = frozenset({"-@all", "resetchannels", "resetkeys", "sanitize-payload"})
VALUE_BYTES = 48


def words(access: str) -> list[str]:
    """A string of access as a set of words, so that what ElastiCache adds to it is no difference."""
    return sorted(set(access.split()) - IMPLIED)


class CacheUser(BySecret):
    """A user of caches: one that a token of IAM proves, one with the password of a secret, or one that nobody is.

    ElastiCache never tells a password, so a new one shows nowhere: set_passwords sends the current and the previous
    value of the secret, both of which then work.
    """

    name: ClassVar[str] = "cache_user"
    spec: ClassVar[Json] = {
        "user_name": {"type": "str", "required": True},
        "access": {"type": "str", "required": True},
        "proof": {"type": "str", "required": True, "choices": [IAM, PASSWORD, NOBODY]},
        "secret": {"type": "str", "default": ""},
        "set_passwords": {"type": "bool", "default": False},
    }

    def read(self) -> Json | None:
        answer = absent(
            lambda: self.clients.read("elasticache").describe_users(UserId=self.called),
            "UserNotFound",
            "UserNotFoundFault",
        )
        if not answer or not answer["Users"]:
            return None
        found = answer["Users"][0]
        return {
            "user_name": found["UserName"],
            "access": words(found["AccessString"]),
            "proof": found["Authentication"]["Type"],
            "context": {"status": found["Status"]},
        }

    def desired(self) -> Json:
        # Nobody is somebody whose password was thrown away: Valkey takes no user without one.
        proof = IAM if self.settings["proof"] == IAM else PASSWORD
        return {"user_name": self.settings["user_name"], "access": words(self.settings["access"]), "proof": proof}

    def wanted(self, before: State) -> State:
        again = before["present"] and self.settings["set_passwords"] and self.settings["proof"] == PASSWORD
        return {**super().wanted(before), **({"passwords": "those of the secret"} if again else {})}

    def refusals(self, before: State) -> list[str]:
        settings = self.settings
        if settings["proof"] == IAM and settings["user_name"] != self.called:
            return [f"{self.called} proves itself by IAM, so its name has to be its id: call it {self.called}."]
        if not before["present"]:
            return []
        if before["user_name"] != settings["user_name"]:
            return [f"{self.called} has the name {before['user_name']}, which ElastiCache does not change."]
        if before["context"]["status"] != ACTIVE:
            return [f"{self.called} is {before['context']['status']}: run again when it is {ACTIVE}."]
        return []

    def done(self, before: State, after: State) -> bool:
        return super().done(before, after) and after["context"]["status"] == ACTIVE

    def _proof(self) -> Json:
        if self.settings["proof"] == IAM:
            return {"Type": IAM}
        if self.settings["proof"] == NOBODY:
            return {"Type": PASSWORD, "Passwords": [secrets.token_urlsafe(VALUE_BYTES)]}
        # ElastiCache takes two, so that tasks with the old one still get in while they are replaced.
        values = dict.fromkeys(value for value in (self.needed(), self.value(PREVIOUS)) if value)
        return {"Type": PASSWORD, "Passwords": list(values)}

    def apply(self, before: State) -> None:
        common = {"UserId": self.called, "AccessString": self.settings["access"], "AuthenticationMode": self._proof()}
        if before["present"]:
            self.clients.write("elasticache", "ModifyUser").modify_user(**common)
            return
        self.clients.write("elasticache", "CreateUser").create_user(
            **common, UserName=self.settings["user_name"], Engine=ENGINE, Tags=self.tags
        )


class CacheUserGroup(Resource):
    """The users that a replication group knows; one of them has to be called default."""

    name: ClassVar[str] = "cache_user_group"
    spec: ClassVar[Json] = {"users": {"type": "list", "elements": "str", "required": True}}

    def read(self) -> Json | None:
        answer = absent(
            lambda: self.clients.read("elasticache").describe_user_groups(UserGroupId=self.called),
            "UserGroupNotFound",
            "UserGroupNotFoundFault",
        )
        if not answer or not answer["UserGroups"]:
            return None
        found = answer["UserGroups"][0]
        return {"users": sorted(found["UserIds"]), "context": {"status": found["Status"]}}

    def desired(self) -> Json:
        return {"users": sorted(self.settings["users"])}

    def refusals(self, before: State) -> list[str]:
        if before["present"] and before["context"]["status"] != ACTIVE:
            return [f"{self.called} is {before['context']['status']}: run again when it is {ACTIVE}."]
        return []

    def apply(self, before: State) -> None:
        wanted = set(self.settings["users"])
        if not before["present"]:
            self.clients.write("elasticache", "CreateUserGroup").create_user_group(
                UserGroupId=self.called, Engine=ENGINE, UserIds=sorted(wanted), Tags=self.tags
            )
            return
        standing = set(before["users"])
        changes = {"UserIdsToAdd": sorted(wanted - standing), "UserIdsToRemove": sorted(standing - wanted)}
        self.clients.write("elasticache", "ModifyUserGroup").modify_user_group(
            UserGroupId=self.called, **{key: users for key, users in changes.items() if users}
        )


class CacheLogin(Resource):
    """Which group of users a standing replication group asks. From then on nobody gets in without a log-in.

    A new replication group is made with its users, so one that stands without any has been used without a log-in.
    """

    name: ClassVar[str] = "cache_login"
    spec: ClassVar[Json] = {
        "user_group": {"type": "str", "required": True},
        "allow_lockout": {"type": "bool", "default": False},
    }

    def read(self) -> Json | None:
        answer = absent(
            lambda: self.clients.read("elasticache").describe_replication_groups(ReplicationGroupId=self.called),
            "ReplicationGroupNotFoundFault",
        )
        if not answer:
            return None
        group = answer["ReplicationGroups"][0]
        pending = ((group.get("PendingModifiedValues") or {}).get("UserGroups") or {}).get("UserGroupIdsToAdd") or []
        # A group has one at most.
        known = next(iter([*pending, *(group.get("UserGroupIds") or [])]), "")
        return {"user_group": known, "context": {"status": group["Status"]}}

    def desired(self) -> Json:
        return {"user_group": self.settings["user_group"]}

    def refusals(self, before: State) -> list[str]:
        if before["present"] and before["user_group"]:
            return [
                f"{self.called} asks {before['user_group']}, a group that somebody else gave it: take it away first."
            ]
        used = before["present"] and before["context"]["status"] != "creating"
        if used and not self.settings["allow_lockout"]:
            return [
                f"{self.called} lets everybody in, and once it asks for a log-in, each task that runs without one is "
                "locked out at once: choose a quiet hour, set cache_allow_lockout for this run, and replace the tasks "
                "right after it. To leave it as it is, set cache_log_in to false."
            ]
        return []

    def apply(self, before: State) -> None:
        self.clients.write("elasticache", "ModifyReplicationGroup").modify_replication_group(
            ReplicationGroupId=self.called, UserGroupIdsToAdd=[self.settings["user_group"]], ApplyImmediately=True
        )


LOGIN_KINDS: dict[str, type[Resource]] = {kind.name: kind for kind in (CacheLogin, CacheUser, CacheUserGroup)}

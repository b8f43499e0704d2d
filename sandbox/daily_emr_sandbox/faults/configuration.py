"""Faults that somebody configured: a count, a flag, a secret, a rule."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from .base import Fault

if TYPE_CHECKING:
    from ..world import World

BLOCKED_PATH = "/api/charts"
OPTIONAL = (
    "Description",
    "CustomResponseBodies",
    "CaptchaConfig",
    "ChallengeConfig",
    "TokenDomains",
    "AssociationConfig",
)
"""Members of a web ACL that an update takes away when it does not name them."""


class ScaledToZero(Fault):
    name = "scaled_to_zero"
    summary = "somebody set the desired count of the service to 0"

    def break_(self) -> None:
        self.web.update(desiredCount=0)
        self.wait(
            lambda: not self.web.running() and self.read_status() == HTTPStatus.SERVICE_UNAVAILABLE, "no task is left"
        )

    def mend(self) -> None:
        self.web.restore_capacity()


class BadFlag(Fault):
    name = "bad_flag"
    summary = "the flag new-chart-view was turned on, and reading charts fails"
    flag: ClassVar[str] = "new-chart-view"

    def break_(self) -> None:
        self.world.launchdarkly.turn(self.flag, on=True, by="release-manager")
        self.wait(lambda: self.read_status() == HTTPStatus.INTERNAL_SERVER_ERROR, "reading charts fails")

    def mend(self) -> None:
        self.world.launchdarkly.turn(self.flag, on=False, by="release-manager")


class BrokenSecret(Fault):
    name = "broken_secret"
    summary = "DATABASE_URL was rotated to a password that the database does not know, and tasks got it"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._secrets = world.aws.boto("secretsmanager")

    def break_(self) -> None:
        if self._current() == self.world.database_url:
            password = urlsplit(self.world.database_url).password or ""
            wrong = self.world.database_url.replace(f":{password}@", f":{password[::-1]}x@")
            self._secrets.put_secret_value(SecretId=self.settings.database_secret, SecretString=wrong)
            self.web.recycle()
        self.wait(self._refused, "every task is refused by the database")

    def mend(self) -> None:
        if self._current() != self.world.database_url:
            self._secrets.put_secret_value(SecretId=self.settings.database_secret, SecretString=self.world.database_url)
        if any(self._auth_fails(task) for task in self.web.running()):
            self.web.recycle()

    def _current(self) -> str:
        value: str = self._secrets.get_secret_value(SecretId=self.settings.database_secret)["SecretString"]
        return value

    def _auth_fails(self, task: Any) -> bool:
        return self.web.database_check(task).get("reason") == "auth"

    def _refused(self) -> bool:
        running = self.web.running()
        return bool(running) and all(self._auth_fails(task) for task in running)


class WafBlock(Fault):
    name = "waf_block"
    summary = "the custom rule of the web ACL was changed and blocks every chart request"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._wafv2 = world.aws.boto("wafv2")
        self._original: list[dict[str, Any]] = self._acl()[0]["Rules"]

    def break_(self) -> None:
        rules = [self._blocking(rule) for rule in self._original]
        if rules == self._original:
            raise RuntimeError(f"Web ACL {self.settings.prefix} has no ByteMatch rule that could block charts.")
        self._put(rules)
        self.wait(lambda: self.read_status() == HTTPStatus.FORBIDDEN, "charts are blocked")

    def mend(self) -> None:
        self._put(self._original)

    def _blocking(self, rule: dict[str, Any]) -> dict[str, Any]:
        match = rule["Statement"].get("ByteMatchStatement")
        if match is None:
            return rule
        path = {
            "SearchString": BLOCKED_PATH.encode(),
            "FieldToMatch": {"UriPath": {}},
            "PositionalConstraint": "STARTS_WITH",
            "TextTransformations": [{"Priority": 0, "Type": "NONE"}],
        }
        return rule | {"Statement": {"ByteMatchStatement": match | path}, "Action": {"Block": {}}}

    def _acl(self) -> tuple[dict[str, Any], str]:
        listed = self._wafv2.list_web_acls(Scope="REGIONAL")["WebACLs"]
        acl = next(acl for acl in listed if acl["Name"] == self.settings.prefix)
        found = self._wafv2.get_web_acl(Name=acl["Name"], Scope="REGIONAL", Id=acl["Id"])
        return found["WebACL"], found["LockToken"]

    def _put(self, rules: list[dict[str, Any]]) -> None:
        acl, token = self._acl()
        if acl["Rules"] == rules:
            return
        self._wafv2.update_web_acl(
            Name=acl["Name"],
            Scope="REGIONAL",
            Id=acl["Id"],
            LockToken=token,
            DefaultAction=acl["DefaultAction"],
            VisibilityConfig=acl["VisibilityConfig"],
            Rules=rules,
            **{key: acl[key] for key in OPTIONAL if acl.get(key)},
        )

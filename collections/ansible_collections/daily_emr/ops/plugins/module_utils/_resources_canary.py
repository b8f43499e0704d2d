# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The canary: asks for the application from outside, all the time, also when no user does."""

from __future__ import annotations

import io
import zipfile
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import State
from ansible_collections.daily_emr.ops.plugins.module_utils._resources import Json, Resource

# One GET, nothing of a patient. The host is checked before it stands here.
SCRIPT = """const synthetics = require('Synthetics');
exports.handler = async () => synthetics.executeHttpStep('application', {
  hostname: '%s', port: 443, protocol: 'https:', path: '%s', method: 'GET',
});
"""
PLACE = "nodejs/node_modules/index.js"
"""Where the runtime looks for the script."""
RUNNING = ("RUNNING", "STARTING")


class Canary(Resource):
    """A canary of CloudWatch Synthetics that asks for one page every few minutes."""

    name: ClassVar[str] = "canary"
    spec: ClassVar[Json] = {
        "host": {"type": "str", "required": True},
        "path": {"type": "str", "required": True},
        "minutes": {"type": "int", "required": True},
        "runtime": {"type": "str", "required": True},
        "role_arn": {"type": "str", "required": True},
        "bucket": {"type": "str", "required": True},
    }

    def found(self) -> Json | None:
        listed = self.clients.read("synthetics").describe_canaries(Names=[self.called])["Canaries"]
        return next((dict(one) for one in listed if one["Name"] == self.called), None)

    def read(self) -> Json | None:
        found = self.found()
        return None if found is None else {"schedule": found["Schedule"]["Expression"]}

    def desired(self) -> Json:
        minutes = self.settings["minutes"]
        return {"schedule": f"rate({minutes} minute{'' if minutes == 1 else 's'})"}

    def refusals(self, before: State) -> list[str]:
        wrong = set(self.settings["host"] + self.settings["path"]) & set("'\\\n")
        return ["Host and path of the canary may hold neither quotes nor backslashes."] if wrong else []

    def apply(self, before: State) -> None:
        schedule = {"Expression": self.desired()["schedule"]}
        if before["present"]:
            self.clients.write("synthetics", "UpdateCanary").update_canary(Name=self.called, Schedule=schedule)
            return
        self.clients.write("synthetics", "CreateCanary").create_canary(
            Name=self.called,
            Code={"ZipFile": self._zipped(), "Handler": "index.handler"},
            ArtifactS3Location=f"s3://{self.settings['bucket']}/canary",
            ExecutionRoleArn=self.settings["role_arn"],
            Schedule=schedule,
            RunConfig={"TimeoutInSeconds": 60},
            RuntimeVersion=self.settings["runtime"],
            Tags={tag["Key"]: tag["Value"] for tag in self.tags},
        )

    def _zipped(self) -> bytes:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            archive.writestr(zipfile.ZipInfo(PLACE), SCRIPT % (self.settings["host"], self.settings["path"]))
        return made.getvalue()


class CanaryRun(Canary):
    """A canary that runs: one that was just made, or that somebody stopped, does not."""

    name: ClassVar[str] = "canary_run"
    spec: ClassVar[Json] = {}

    def read(self) -> Json | None:
        found = self.found()
        return None if found is None else {"runs": found["Status"]["State"] in RUNNING}

    def desired(self) -> Json:
        return {"runs": True}

    def refusals(self, before: State) -> list[str]:
        return [] if before["present"] else [f"There is no canary {self.called}: make it first."]

    def apply(self, before: State) -> None:
        self.clients.write("synthetics", "StartCanary").start_canary(Name=self.called)


CANARY_KINDS: dict[str, type[Resource]] = {kind.name: kind for kind in (Canary, CanaryRun)}

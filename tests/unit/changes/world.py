"""A small world that real botocore clients talk to: every request and every answer is checked against AWS's models."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError
from botocore.validate import ParamValidator

Json = dict[str, Any]

ACCOUNT, REGION, P = "123456789012", "af-south-1", "daily-emr-sandbox"
ARN = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
BALANCER = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/{P}/1"
DIGESTS = {revision: f"sha256:{revision:064x}" for revision in (1, 2, 3)}
ZONES = {"afs1-az1": "af-south-1a", "afs1-az2": "af-south-1b", "afs1-az3": "af-south-1c"}
LOG_GROUP = "/daily-emr/sandbox/web"
BOOKKEEPING = {"dynamodb", "sts", "ssm"}


def ago(**span: float) -> datetime:
    """From when it is asked: some minutes lie between the import of a test and its turn."""
    return datetime.now(UTC).replace(microsecond=0) - timedelta(**span)


class AwsError(Exception):
    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.code, self.status = code, status


class World:
    """State of one web service, and the operations on it. ``mutations`` is what arrived, in order; ``scopes`` are the
    policies of the sessions that were asked for it.
    """

    def __init__(self) -> None:
        self.scopes: list[Json] = []
        self.mutations: list[tuple[str, Json]] = []
        self.lose: dict[str, str] = {}
        self.broken: set[str] = set()
        self.revision, self.desired, self.zone_of_database = 2, 2, "af-south-1c"
        self.status, self.deregistered = "ACTIVE", set[int]()
        self.service_tags: dict[str, str] = {}
        self.container_secrets = [f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:daily-emr/sandbox/DATABASE_URL"]
        self.parameters: set[str] = set()
        self.configuration: Json = {"minimumHealthyPercent": 100, "maximumPercent": 200}
        self.images = set(DIGESTS)
        self.pinned = True
        self.task_tags = {
            1: {"release": "2026.45.3", "schema_compat": "12-13"},
            2: {"release": "2026.47.1", "schema_compat": "12-14"},
            3: {"release": "2026.48.0", "schema_compat": "13-14"},
        }
        self.deployments: list[Json] = []
        self.deployed(1, ago(days=9), source=None)
        self.deployed(2, ago(days=3), source=1)
        self.tasks = [self.task("a", 2, ago(days=3), "af-south-1a"), self.task("b", 2, ago(days=3), "af-south-1b")]
        self.gone: list[Json] = []
        self.database: Json = {"status": "available", "address": "127.0.0.1", "port": 1, "schema_version": "13"}
        self.cache_status = "available"
        self.secrets = {f"daily-emr/sandbox/{name}": ago(days=30) for name in ("DATABASE_URL", "SESSION_PASSWORD")}
        self.minimum, self.maximum, self.suspended = 2, 6, False
        self.metrics = {"CPUUtilization": 20.0, "DatabaseConnections": 40.0, "EngineCPUUtilization": 10.0}
        self.max_connections = "200"
        # Groups of equal requests: what they say, and how many there are.
        self.log: list[tuple[Json, int]] | None = []
        self.queries: list[Json] = []
        self.query_status = "Complete"
        self.unhealthy: set[str] = set()
        self.serving = "arn:tg"
        self.groups = {f"{P}-web": "arn:tg", f"{P}-web-canary": "arn:tg-canary"}
        self.listener: list[Json] = [
            {
                "Type": "forward",
                "ForwardConfig": {
                    "TargetGroups": [
                        {"TargetGroupArn": "arn:tg", "Weight": 90},
                        {"TargetGroupArn": "arn:tg-canary", "Weight": 10},
                    ],
                    "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 600},
                },
            }
        ]
        self.listener_rules: list[Json] = []
        self.shifts: list[Json] | None = []
        self.autoshifts: list[Json] = []
        self.samples: list[Json] = []
        self.population: int | None = None
        self.ip_sets = {"facilities": ["203.0.113.0/24"]}
        self.lock, self.firewall_manager = 1, False
        self.rules = [self.rule("block-bodies", {"Block": {}}, 0), self.rule("rate", {"Block": {}}, 1)]
        group = self.rule("common", {}, 2)
        del group["Action"]
        self.rules.append({**group, "OverrideAction": {"None": {}}})

    # -- building ---------------------------------------------------------------------------------------------------

    def deployed(self, revision: int, at: datetime, source: int | None, status: str = "SUCCESSFUL") -> Json:
        number = len(self.deployments) + 1
        item: Json = {
            "serviceDeploymentArn": f"{ARN}:service-deployment/{P}/{P}-web/d{number}",
            "createdAt": at,
            "status": status,
            "targetServiceRevision": {"arn": revision_arn(revision)},
            "sourceServiceRevisions": [{"arn": revision_arn(source)}] if source else [],
            "deploymentConfiguration": self.configuration,
        }
        if status in ("SUCCESSFUL", "ROLLBACK_SUCCESSFUL"):
            item["finishedAt"] = at + timedelta(minutes=3)
        self.deployments.insert(0, item)
        return item

    def bad_release(self, status: str = "SUCCESSFUL") -> None:
        """Revision 3 was deployed 20 minutes ago."""
        self.deployed(3, ago(minutes=20), source=2, status=status)
        self.revision = 3

    def canary(self) -> Json:
        """The service deploys with a canary, and always did; its deployment configuration."""
        self.configuration |= {
            "strategy": "CANARY",
            "canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 30},
            "bakeTimeInMinutes": 10,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
            "alarms": {"alarmNames": [f"{P}-error-ratio"], "enable": True, "rollback": True},
        }
        return dict(self.configuration)

    def task(self, name: str, revision: int, started: datetime, zone: str) -> Json:
        return {"id": name, "revision": revision, "startedAt": started, "zone": zone, "address": None}

    def rule(self, name: str, action: Json, priority: int) -> Json:
        visible = {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": name}
        statement = {"ByteMatchStatement": {"SearchString": b"x", "FieldToMatch": {"UriPath": {}}}}
        statement["ByteMatchStatement"] |= {
            "TextTransformations": [{"Priority": 0, "Type": "NONE"}],
            "PositionalConstraint": "CONTAINS",
        }
        return {
            "Name": name,
            "Priority": priority,
            "Statement": statement,
            "Action": action,
            "VisibilityConfig": visible,
        }

    def blocked(self, uri: str, count: int = 1, client: str = "192.0.2.1") -> None:
        request = {"ClientIP": client, "URI": uri, "Method": "GET"}
        self.samples += [{"Request": request, "Weight": 1, "Timestamp": ago(), "Action": "BLOCK"}] * count

    def rate_rule(self) -> Json:
        """A rule that counts clients, one of which has sent 40 % of all requests for four minutes."""
        rule = self.rule("per-client", {"Count": {}}, 9)
        rule["Statement"] = {"RateBasedStatement": {"Limit": 500, "AggregateKeyType": "IP"}}
        self.rules.append(rule)
        self.metrics["RequestCount"], self.population = 300.0, 600
        self.counted("192.0.2.1", 20)
        return rule

    def counted(self, client: str, count: int, seconds: float = 240) -> None:
        """Requests that the rule counted, the first one so many seconds ago."""
        for number in range(count):
            at = datetime.now(UTC) - timedelta(seconds=seconds * (1 - number / count))
            request = {"ClientIP": client, "URI": "/api/charts/7", "Method": "GET"}
            self.samples.append({"Request": request, "Weight": 1, "Timestamp": at, "Action": "COUNT"})

    # -- ECS --------------------------------------------------------------------------------------------------------

    def ecs_DescribeServices(self, _params: Json) -> Json:
        newest = self.deployments[0]
        running = newest["status"] in ("PENDING", "IN_PROGRESS")
        primary = {"id": newest["serviceDeploymentArn"], "status": "PRIMARY", "createdAt": newest["createdAt"]}
        return {
            "services": [
                {
                    "serviceArn": f"{ARN}:service/{P}/{P}-web",
                    "status": self.status,
                    "taskDefinition": f"{ARN}:task-definition/{P}-web:{self.revision}",
                    "desiredCount": self.desired,
                    "runningCount": len(self.tasks),
                    "deploymentConfiguration": self.configuration,
                    "deployments": [{**primary, "rolloutState": "IN_PROGRESS" if running else "COMPLETED"}],
                    "tags": [{"key": key, "value": value} for key, value in self.service_tags.items()],
                }
            ]
        }

    def ecs_ListServiceDeployments(self, _params: Json) -> Json:
        keys = ("serviceDeploymentArn", "createdAt", "status")
        return {"serviceDeployments": [{key: item[key] for key in keys} for item in self.deployments]}

    def ecs_DescribeServiceDeployments(self, params: Json) -> Json:
        asked = params["serviceDeploymentArns"]
        return {"serviceDeployments": [item for item in self.deployments if item["serviceDeploymentArn"] in asked]}

    def ecs_DescribeServiceRevisions(self, params: Json) -> Json:
        return {
            "serviceRevisions": [
                {"serviceRevisionArn": arn, "taskDefinition": f"{ARN}:task-definition/{P}-web:{arn[-1]}"}
                for arn in params["serviceRevisionArns"]
            ]
        }

    def ecs_DescribeTaskDefinition(self, params: Json) -> Json:
        revision = int(params["taskDefinition"].rsplit(":", 1)[1])
        if revision not in self.task_tags:
            raise AwsError("ClientException")
        image = f"@{DIGESTS[revision]}" if self.pinned else ":latest"
        container = {
            "name": "web",
            "image": f"{P}-web{image}",
            "secrets": [{"name": f"SECRET_{n}", "valueFrom": name} for n, name in enumerate(self.container_secrets)],
        }
        return {
            "taskDefinition": {
                "status": "INACTIVE" if revision in self.deregistered else "ACTIVE",
                "containerDefinitions": [container],
            },
            "tags": [{"key": key, "value": value} for key, value in self.task_tags[revision].items()],
        }

    def ecs_ListTasks(self, _params: Json) -> Json:
        return {"taskArns": [f"{ARN}:task/{P}/{task['id']}" for task in self.tasks]}

    def ecs_DescribeTasks(self, params: Json) -> Json:
        asked = {name.rsplit("/", 1)[-1] for name in params["tasks"]}
        running = [described(task) for task in self.tasks if task["id"] in asked]
        gone = [{**described(task), "desiredStatus": "STOPPED"} for task in self.gone if task["id"] in asked]
        return {"tasks": running + gone}

    def ecs_StopTask(self, params: Json) -> Json:
        assert params["reason"].startswith("INC-1")
        stopped = next(task for task in self.tasks if task["id"] == params["task"])
        self.tasks.remove(stopped)
        self.gone.append(stopped)
        return {"task": described(stopped)}

    def ecs_UpdateService(self, params: Json) -> Json:
        source = self.revision
        if "taskDefinition" in params:
            self.revision = int(params["taskDefinition"].rsplit(":", 1)[1])
        self.desired = params.get("desiredCount", self.desired)
        self.configuration = params.get("deploymentConfiguration", self.configuration)
        if "taskDefinition" in params or params.get("forceNewDeployment"):
            self.deployed(self.revision, datetime.now(UTC), source, status="IN_PROGRESS")
        return {}

    def ecs_StopServiceDeployment(self, params: Json) -> Json:
        assert params["stopType"] == "ROLLBACK"
        stopped = next(
            item for item in self.deployments if item["serviceDeploymentArn"] == params["serviceDeploymentArn"]
        )
        stopped["status"] = "ROLLBACK_REQUESTED"
        return {"serviceDeploymentArn": params["serviceDeploymentArn"]}

    # -- what the service leans on ------------------------------------------------------------------------------------

    def ecr_DescribeImages(self, params: Json) -> Json:
        if int(params["imageIds"][0]["imageDigest"].removeprefix("sha256:"), 16) not in self.images:
            raise AwsError("ImageNotFoundException")
        return {"imageDetails": [{}]}

    def rds_DescribeDBInstances(self, _params: Json) -> Json:
        version = self.database["schema_version"]
        return {
            "DBInstances": [
                {
                    "DBInstanceStatus": self.database["status"],
                    "AvailabilityZone": self.zone_of_database,
                    "Endpoint": {"Address": self.database["address"], "Port": self.database["port"]},
                    "TagList": [{"Key": "schema_version", "Value": version}] if version else [],
                    "DBParameterGroups": [{"DBParameterGroupName": f"{P}-db"}],
                }
            ]
        }

    def rds_DescribeDBParameters(self, _params: Json) -> Json:
        return {"Parameters": [{"ParameterName": "max_connections", "ParameterValue": self.max_connections}]}

    def elasticache_DescribeReplicationGroups(self, _params: Json) -> Json:
        endpoint = {"Address": self.database["address"], "Port": self.database["port"]}
        node = {"PrimaryEndpoint": endpoint}
        return {
            "ReplicationGroups": [
                {"Status": self.cache_status, "NodeGroups": [node], "MemberClusters": [f"{P}-sessions-001"]}
            ]
        }

    def secretsmanager_ListSecretVersionIds(self, params: Json) -> Json:
        changed = self.secrets[params["SecretId"]]
        return {"Versions": [{"VersionId": "v" * 32, "VersionStages": ["AWSCURRENT"], "CreatedDate": changed}]}

    def secretsmanager_DescribeSecret(self, params: Json) -> Json:
        if params["SecretId"].split("secret:")[-1] not in self.secrets:
            raise AwsError("ResourceNotFoundException")
        return {"Name": params["SecretId"]}

    def cloudwatch_GetMetricData(self, params: Json) -> Json:
        value = self.metrics.get(params["MetricDataQueries"][0]["MetricStat"]["Metric"]["MetricName"])
        return {"MetricDataResults": [{"Id": "m", "Values": [] if value is None else [value]}]}

    def logs_StartQuery(self, params: Json) -> Json:
        if self.log is None or params["logGroupName"] != LOG_GROUP:
            raise AwsError("ResourceNotFoundException")
        assert params["startTime"] < params["endTime"]
        self.queries.append(params)
        return {"queryId": f"q{len(self.queries) - 1}"}

    def logs_GetQueryResults(self, params: Json) -> Json:
        query = self.queries[int(params["queryId"][1:])]["queryString"]
        if self.query_status != "Complete":
            return {"status": self.query_status, "results": []}
        rows = [] if self.log is None else counted(self.log, query)
        return {"status": "Complete", "results": [[{"field": k, "value": str(row[k])} for k in row] for row in rows]}

    # -- capacity, zones, WAF -----------------------------------------------------------------------------------------

    def application_autoscaling_DescribeScalableTargets(self, params: Json) -> Json:
        target = {
            "ServiceNamespace": "ecs",
            "ResourceId": params["ResourceIds"][0],
            "ScalableDimension": "ecs:service:DesiredCount",
            "MinCapacity": self.minimum,
            "MaxCapacity": self.maximum,
            "RoleARN": "arn:aws:iam::123456789012:role/x",
            "CreationTime": ago(),
            "SuspendedState": {"DynamicScalingOutSuspended": self.suspended},
        }
        return {"ScalableTargets": [target] if self.minimum else []}

    def application_autoscaling_RegisterScalableTarget(self, params: Json) -> Json:
        assert params["ResourceId"] == f"service/{P}/{P}-web"
        self.minimum, self.maximum = params["MinCapacity"], params.get("MaxCapacity", self.maximum)
        return {}

    def elbv2_DescribeLoadBalancers(self, _params: Json) -> Json:
        zones = [{"ZoneName": name, "SubnetId": f"subnet-{name}"} for name in ZONES.values()]
        return {"LoadBalancers": [{"LoadBalancerArn": BALANCER, "AvailabilityZones": zones}]}

    def elbv2_DescribeListeners(self, _params: Json) -> Json:
        return {"Listeners": [{"ListenerArn": "arn:listener", "Port": 443, "DefaultActions": self.listener}]}

    def elbv2_DescribeRules(self, _params: Json) -> Json:
        default = {"RuleArn": "arn:default", "Priority": "default", "IsDefault": True, "Actions": self.listener}
        return {"Rules": [*self.listener_rules, default]}

    def elbv2_ModifyListener(self, params: Json) -> Json:
        assert params["ListenerArn"] == "arn:listener"
        self.listener = params["DefaultActions"]
        return {"Listeners": []}

    def elbv2_ModifyRule(self, params: Json) -> Json:
        rule = next(rule for rule in self.listener_rules if rule["RuleArn"] == params["RuleArn"])
        rule["Actions"] = params["Actions"]
        return {"Rules": []}

    def elbv2_DescribeTargetGroups(self, params: Json) -> Json:
        named = [{"TargetGroupArn": arn, "TargetGroupName": name} for name, arn in self.groups.items()]
        names, arns = params.get("Names", []), params.get("TargetGroupArns", [])
        asked = [item for item in named if item["TargetGroupName"] in names or item["TargetGroupArn"] in arns]
        if len(asked) < len(names) + len(arns):
            raise AwsError("TargetGroupNotFound")
        return {"TargetGroups": asked}

    def elbv2_DescribeTargetHealth(self, params: Json) -> Json:
        if params["TargetGroupArn"] != self.serving:
            return {"TargetHealthDescriptions": []}
        return {
            "TargetHealthDescriptions": [
                {
                    "Target": {"Id": address_of(task), "AvailabilityZone": task["zone"]},
                    "TargetHealth": {"State": "unhealthy" if task["id"] in self.unhealthy else "healthy"},
                }
                for task in self.tasks
            ]
        }

    def ec2_DescribeSubnets(self, _params: Json) -> Json:
        return {"Subnets": [{"AvailabilityZone": name, "AvailabilityZoneId": zone} for zone, name in ZONES.items()]}

    def arc_zonal_shift_GetManagedResource(self, _params: Json) -> Json:
        if self.shifts is None:
            raise AwsError("ResourceNotFoundException", 404)
        return {"zonalShifts": self.shifts, "autoshifts": self.autoshifts}

    def arc_zonal_shift_StartZonalShift(self, params: Json) -> Json:
        shift = {"zonalShiftId": "6f1fb4d8-0b1c-4b2c-9f5c-000000000001", "awayFrom": params["awayFrom"]}
        shift |= {"resourceIdentifier": params["resourceIdentifier"], "comment": params["comment"]}
        shift |= {"startTime": datetime.now(UTC), "expiryTime": datetime.now(UTC) + timedelta(hours=2)}
        self.shifts = [{**shift, "appliedStatus": "APPLIED"}]
        return {**shift, "status": "ACTIVE"}

    def arc_zonal_shift_CancelZonalShift(self, _params: Json) -> Json:
        shift = {key: value for key, value in (self.shifts or [{}])[0].items() if key != "appliedStatus"}
        self.shifts = []
        return {**shift, "status": "CANCELED"}

    def wafv2_ListWebACLs(self, _params: Json) -> Json:
        return {"WebACLs": [{"Name": P, "Id": "acl-1"}]}

    def wafv2_GetWebACL(self, _params: Json) -> Json:
        acl = {
            "Name": P,
            "Id": "acl-1",
            "ARN": f"arn:aws:wafv2:{REGION}:{ACCOUNT}:regional/webacl/{P}/acl-1",
            "DefaultAction": {"Allow": {}},
            "Description": "kept",
            "Capacity": 12,
            "Rules": self.rules,
            "VisibilityConfig": {**self.rules[0]["VisibilityConfig"], "MetricName": P},
            "ManagedByFirewallManager": self.firewall_manager,
            "TokenDomains": ["kept.example"],
        }
        return {"WebACL": acl, "LockToken": f"token-{self.lock}"}

    def wafv2_GetIPSet(self, params: Json) -> Json:
        return {"IPSet": {"Name": params["Name"], "Addresses": self.ip_sets[params["Name"]]}, "LockToken": "t"}

    def wafv2_GetSampledRequests(self, params: Json) -> Json:
        population = len(self.samples) if self.population is None else self.population
        mine = self.samples if params["RuleMetricName"] in ("block-bodies", "common", "per-client") else []
        return {"SampledRequests": mine, "PopulationSize": population}

    def wafv2_UpdateWebACL(self, params: Json) -> Json:
        if params["LockToken"] != f"token-{self.lock}":
            raise AwsError("WAFOptimisticLockException")
        assert (params["Description"], params["TokenDomains"]) == ("kept", ["kept.example"])
        self.rules, self.lock = params["Rules"], self.lock + 1
        return {"NextLockToken": f"token-{self.lock}"}

    # -- bookkeeping --------------------------------------------------------------------------------------------------

    def sts_GetCallerIdentity(self, _params: Json) -> Json:
        return {"Account": ACCOUNT, "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{P}-runbook-act/someone"}

    def ssm_DescribeParameters(self, params: Json) -> Json:
        (asked,) = params["ParameterFilters"]
        return {"Parameters": [{"Name": name} for name in asked["Values"] if name in self.parameters]}

    def sts_AssumeRole(self, params: Json) -> Json:
        self.scopes.append(json.loads(params["Policy"]))
        keys = {"AccessKeyId": "ASIASCOPED0000000000", "SecretAccessKey": "x", "SessionToken": "x"}
        return {"Credentials": {**keys, "Expiration": datetime.now(UTC)}}

    def ssm_GetParameter(self, _params: Json) -> Json:
        where = {"environment": "sandbox", "account_id": ACCOUNT, "region": REGION}
        return {"Parameter": {"Value": json.dumps(where)}}

    def dynamodb_TransactWriteItems(self, _params: Json) -> Json:
        return {}

    def dynamodb_PutItem(self, _params: Json) -> Json:
        return {}


class Wire:
    """Answers every call of a botocore session's clients from the world, after botocore has checked the request."""

    def __init__(self, session: Any) -> None:
        self.world, self.session = World(), session
        session.register("before-parameter-build.*.*", self._remember)
        session.register("before-call.*.*", self._answer)

    def _remember(self, params: Json, context: Json, **_event: Any) -> None:
        context["asked"] = params

    def _answer(self, model: Any, context: Json, **_event: Any) -> tuple[Any, Json]:
        world, params, name = self.world, context["asked"], model.name
        service = model.service_model.service_name.replace("-", "_")
        if name in world.broken:
            return _reply({"Error": {"Code": "AccessDeniedException", "Message": ""}}, 400)
        if not name.startswith(("Describe", "List", "Get", "Lookup", "StartQuery")) and service not in BOOKKEEPING:
            world.mutations.append((name, params))
        lost = ReadTimeoutError(endpoint_url="http://127.0.0.1")
        if world.lose.get(name) == "before":
            raise lost
        try:
            answer = getattr(world, f"{service}_{name}")(params)
        except AwsError as error:
            return _reply({"Error": {"Code": error.code, "Message": ""}}, error.status)
        if world.lose.get(name) == "after":
            raise lost
        if model.output_shape:
            # What the changes do not read may be missing; what is there must be as AWS would send it.
            faults = ParamValidator().validate(answer, model.output_shape).generate_report().splitlines()
            assert [fault for fault in faults if "Missing required" not in fault] == []
        return _reply(answer, 200)


Spoil = Callable[[World, Any], object]


def setting(name: str, value: Any) -> Spoil:
    return lambda world, _serve: setattr(world, name, value)


def _reply(answer: Json, status: int) -> tuple[Any, Json]:
    now = format_datetime(datetime.now(UTC), usegmt=True)
    return AWSResponse("", status, {"date": now}, None), {**answer, "ResponseMetadata": {"HTTPStatusCode": status}}


def counted(log: list[tuple[Json, int]], query: str) -> list[Json]:
    """The rows of one of our queries: requests that its filter takes, counted by its fields."""
    least = 500 if "status >= 500" in query else 400 if "status >= 400" in query else 100
    most = 499 if "status < 500" in query else 999
    name = "bad" if "as bad" in query else "requests"
    fields = query.partition(" by ")[2].partition(" |")[0].split(", ")
    groups: dict[tuple[Any, ...], Json] = {}
    for entry, number in log:
        if least <= entry["status"] <= most:
            said = {field: entry[field] for field in fields if field in entry}
            row = groups.setdefault(tuple(said.items()), {**said, name: 0})
            row[name] += number
            if "pct(" in query:
                row["p95"] = max(row.get("p95", 0.0), float(entry["duration"]))
    return list(groups.values())


def revision_arn(revision: int) -> str:
    return f"{ARN}:service-revision/{P}/{P}-web/{revision}"


def address_of(task: Json) -> str:
    return task["address"] or f"10.0.0.{ord(task['id']) % 100}"


def described(task: Json) -> Json:
    details = [{"name": "privateIPv4Address", "value": address_of(task)}]
    return {
        "taskArn": f"{ARN}:task/{P}/{task['id']}",
        "taskDefinitionArn": f"{ARN}:task-definition/{P}-web:{task['revision']}",
        "group": f"service:{P}-web",
        "desiredStatus": "RUNNING",
        "lastStatus": "RUNNING",
        "startedAt": task["startedAt"],
        "availabilityZone": task["zone"],
        "attachments": [{"details": details}],
    }

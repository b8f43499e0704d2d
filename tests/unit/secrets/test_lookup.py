"""The lookup hands values to tasks that hide them, and to nobody else; whatever leaves a task has lost them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils import _clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.plugin_utils.secret_stores import SETTINGS, open_store

from .conftest import Play, World
from .stores import PREFIX, Sops, running_vault

Json = dict[str, Any]

# Shell, JSON, URLs, Jinja and Python each write this one differently.
CANARY = "Kanari \"7'$HOME\\&ü-{{ 7*7 }}-29481733"
URL_CANARY = "postgresql://emr:Kanari%2F55510372-pw@db.internal:5432/emr"
LOOKUP = "{{ lookup('daily_emr.ops.secret', 'CANARY') }}"


def forms(value: str) -> set[bytes]:
    """A value as it could hide: raw, in JSON, in a URL, in base64, quoted for a shell or by Python."""
    raw = value.encode()
    return {raw, json.dumps(value)[1:-1].encode(), quote(value, safe="").encode(), base64.b64encode(raw),
            repr(value)[1:-1].encode(), value.replace("'", "'\"'\"'").encode()}  # fmt: skip


def leaks(folder: Path, output: str, *values: str) -> list[str]:
    """Where one of these is, in what was printed or in any file that is left."""
    everything = {"stdout": output.encode()}
    everything |= {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return [
        where
        for where, data in everything.items()
        if not where.endswith("proof")
        if any(form in data for value in values for form in forms(value))
    ]


def task(name: str, module: str, args: Any, **keywords: Any) -> Json:
    return {"name": name, module: args, "no_log": True, "ignore_errors": True, **keywords}


@pytest.fixture(scope="module", autouse=True)
def planted(stores: World) -> None:
    stores.put("CANARY", CANARY)
    stores.put("DATABASE_URL", URL_CANARY)
    stores.put("SHA_API_KEY", json.dumps({"key": "key-Kanari-1", "secret": "secret-Kanari-88412"}))


IN_A_KEY = "echo {{ {}[lookup('daily_emr.ops.secret', 'CANARY')] }}"
IN_A_TEST = "lookup('daily_emr.ops.secret', 'CANARY') == 1"
PASSWORD = "{{ lookup('daily_emr.ops.secret', 'DATABASE_URL') | urlsplit('password') }}"


def loud_tasks(folder: Path) -> list[Json]:
    """What a task can do with a value: use it, fail on it, keep it, make something of it, say it."""
    field = "{{ lookup('daily_emr.ops.secret', 'SHA_API_KEY', field='secret') }}"
    return [
        task("Say it", "ansible.builtin.command", {"argv": ["echo", LOOKUP]}, register="said"),
        task("Show what was said", "ansible.builtin.debug", {"var": "said"}, no_log=False),
        task("Fail in a module", "ansible.builtin.file", {"path": f"{folder}/x", "state": LOOKUP}),
        task("Fail in a template", "ansible.builtin.command", {"cmd": IN_A_KEY}),
        task("Fail in an assertion", "ansible.builtin.assert", {"that": IN_A_TEST}),
        task("Fail in a request", "ansible.builtin.uri", {"url": "http://127.0.0.1:1/", "headers": {"Key": LOOKUP}}),
        task("Loop over it", "ansible.builtin.command", {"argv": ["false", "{{ item }}"]}, loop=[LOOKUP]),
        task("The password of a URL", "ansible.builtin.fail", {"msg": PASSWORD}),
        task("One field", "ansible.builtin.fail", {"msg": field}),
    ]  # fmt: skip


def test_a_value_is_used_and_appears_nowhere(play: Play, tmp_path: Path, stores: World) -> None:
    backends = ["aws_secrets_manager", "hashi_vault", *(["sops"] if stores.sops else [])]
    tasks = [
        task(f"Prove {backend}", "ansible.builtin.copy", {"content": LOOKUP, "dest": f"{tmp_path}/{backend}.proof"},
             vars={"emr_secrets": stores.backend(backend)})
        for backend in backends
    ]  # fmt: skip
    # What tasks do with a value is the same for all of them.
    output = play.by_runner([*tasks, *loud_tasks(tmp_path)], "aws_secrets_manager", "-vvvv", "--diff")

    proofs = {path.stem: path.read_text() for path in tmp_path.glob("*.proof")}
    assert proofs == dict.fromkeys(backends, CANARY), output
    assert "***" in output, "what was registered holds stars"
    events = list(tmp_path.glob("runner/artifacts/*/job_events/*.json"))
    assert len(events) > len(tasks)
    assert leaks(tmp_path, output, CANARY, "Kanari%2F55510372-pw", "Kanari/55510372-pw", "secret-Kanari-88412") == []


def test_the_search_finds_what_is_printed_when_nothing_hides_it(play: Play, tmp_path: Path) -> None:
    """The control: the same tasks with values from elsewhere and without the callback `quiet`, once with no_log and
    once without."""

    def with_value(name: str, **keywords: Any) -> list[Json]:
        text = json.dumps(loud_tasks(tmp_path)[:3]).replace("'daily_emr.ops.secret', 'CANARY'", f"'env', '{name}'")
        return [{**item, **keywords} for item in json.loads(text)]

    values = {"hidden": "Kanari-hidden-9921", "shown": "Kanari-shown-9922"}
    play.more = {**values, "ANSIBLE_CALLBACKS_ENABLED": "daily_emr.ops.gate"}
    output = play([*with_value("hidden"), *with_value("shown", no_log=False)], "aws_secrets_manager", "-vvvv")

    assert leaks(tmp_path, output, values["hidden"]) != [], "no_log alone lets errors through"
    assert f"got: {values['hidden']}" in output
    assert leaks(tmp_path, output, values["shown"]) != []
    assert output.count(values["shown"]) > output.count(values["hidden"])


REFUSED = [
    (task("No no_log", "ansible.builtin.command", {"argv": ["true", LOOKUP]}, no_log=False), "no `no_log: true`"),
    (task("Kept", "ansible.builtin.set_fact", {"kept": LOOKUP}), "set_fact would keep or show it"),
    (task("Shown", "ansible.builtin.debug", {"msg": LOOKUP}), "debug would keep or show it"),
    (task("Async", "ansible.builtin.command", {"argv": ["true", LOOKUP]}, **{"async": 9}), "leave `async` out"),
    (task("Outside", "ansible.builtin.command", {"argv": ["true"]}, environment={"KEY": LOOKUP}), "printed at -vvv"),
]  # fmt: skip


def test_who_would_keep_or_show_a_value_gets_none_and_nobody_is_asked(
    play: Play, tmp_path: Path, stores: World
) -> None:
    asked = len(stores.vault.asked)

    named = task(f"Named {LOOKUP}", "ansible.builtin.command", {"argv": ["true"]})
    output = play([*[item for item, _why in REFUSED], named], "hashi_vault", "-vvvv")

    for item, why in REFUSED:
        assert why in output, item["name"]
    assert leaks(tmp_path, output, CANARY) == []
    assert len(stores.vault.asked) == asked


def ask(name: str = "CANARY", **variables: Any) -> Json:
    asked = {"argv": ["true", f"{{{{ lookup('daily_emr.ops.secret', '{name}') }}}}"]}
    return task("Ask", "ansible.builtin.command", asked, vars=variables)


def test_each_way_to_fail_has_one_sentence_and_no_value(play: Play, stores: World, tmp_path: Path) -> None:
    stores.aws.client("secretsmanager").create_secret(Name="daily-emr/sandbox/EMPTY_KEY")
    stores.vault.values |= {"GONE_KEY": None, "NUMBER_KEY": 7}
    elsewhere = {**stores.environment, "account_id": "999999999999"}
    vault = {"emr_secrets": stores.backend("hashi_vault")}
    with running_vault() as sealed, running_vault() as strict:
        sealed.state, strict.token = "sealed", "another"
        cases = [
            (ask("MISSING_KEY"), "MISSING_KEY is not in AWS Secrets Manager of sandbox, or has no value AWSCURRENT"),
            (ask("EMPTY_KEY"), "EMPTY_KEY is not in AWS Secrets Manager of sandbox, or has no value AWSCURRENT"),
            (ask("not a name"), "The name of a secret is in capitals"),
            (ask(emr_environment=elsewhere), "The credentials belong to account"),
            (ask("MISSING_KEY", **vault), "daily-emr/sandbox/MISSING_KEY is not in Vault at http"),
            (ask("GONE_KEY", **vault), "daily-emr/sandbox/GONE_KEY is not in Vault at http"),
            (ask("NUMBER_KEY", **vault), "has no text in its field value"),
            (ask(**at(strict.url)), "This log-in may not read daily-emr/sandbox/CANARY in Vault"),
            (ask(**at(sealed.url)), "is sealed or in maintenance"),
            (ask(**at("http://127.0.0.1:9")), "cannot be reached"),
            (ask(**at("http://vault.example.org")), "is not an https address"),
            (ask(emr_secrets={"backend": "a_drawer"}), "emr_secrets is not right"),
        ]
        output = play([item for item, _sentence in cases], "aws_secrets_manager", "-v")
    for _item, sentence in cases:
        assert sentence in " ".join(output.split()), sentence
    assert leaks(tmp_path, output, CANARY) == []


def at(url: str) -> Json:
    return {"emr_secrets": {"backend": "hashi_vault", "url": url, "auth_method": "token"}}


STORE = {
    "component": "emr-secrets",
    "prefix": PREFIX,
    "copy_region": "eu-west-1",
    "kms_key": "alias/secrets",
    "copy_kms_key": "alias/secrets",
}


def test_vault_and_sops_are_looked_at_as_aws_is(play: Play, stores: World, tmp_path: Path) -> None:
    shape = {"kind": "json", "fields": ["key", "secret"], "min_length": 8}
    entries = [{"name": "SHA_API_KEY", "shape": shape}, {"name": "CANARY", "shape": shape}, {"name": "MISSING_KEY"}]
    backends = ["hashi_vault", *(["sops"] if stores.sops else [])]
    tasks = []
    for backend in backends:
        asked = {"store": {**STORE, "backend": stores.backend(backend)}, "entries": entries}
        asked["environment"] = stores.environment
        seen = {"content": "{{ seen.observations | to_json }}", "dest": f"{tmp_path}/{backend}.json"}
        tasks += [
            {"name": "Look", "daily_emr.ops.secrets_health": asked, "register": "seen"},
            {"name": "Keep", "ansible.builtin.copy": seen},
        ]
    output = play(tasks, "hashi_vault", "-vvv")

    for backend in backends:
        assert (tmp_path / f"{backend}.json").exists(), output
        observations = json.loads((tmp_path / f"{backend}.json").read_text())
        found = {(item["subject"], item["name"]): item["status"] for item in observations}
        assert (
            found.items()
            >= {
                ("SHA_API_KEY", "present"): "ok",
                ("SHA_API_KEY", "shape"): "ok",
                ("SHA_API_KEY", "age"): "ok",
                ("CANARY", "present"): "ok",
                ("CANARY", "shape"): "finding",
                ("MISSING_KEY", "present"): "finding",
            }.items()
        ), observations
        recipients = [item["status"] for item in observations if item["name"] == "recipients"]
        assert recipients == (["ok"] if backend == "sops" else [])
    assert leaks(tmp_path, output, CANARY, "secret-Kanari-88412", "key-Kanari-1") == []


@pytest.fixture
def denied(stores: World) -> Iterator[None]:
    stores.aws.server.faults.add(
        "secretsmanager", "GetSecretValue", "error", count=None, code="AccessDeniedException", status=400
    )
    yield
    stores.aws.server.faults.remove()


@pytest.mark.usefixtures("denied")
def test_a_role_that_may_not_read_is_told_what_to_ask_for(stores: World) -> None:
    store = open_store({"backend": "aws_secrets_manager"}, Environment.from_params(stores.environment), PREFIX)

    with pytest.raises(CallFailed, match="ask for secretsmanager:GetSecretValue on it"):
        store.held("CANARY")


def test_an_aws_that_does_not_answer_is_said_to(stores: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_clients, "READ_ATTEMPTS", 1)
    nowhere = Environment.from_params({**stores.environment, "endpoint_url": "http://127.0.0.1:9"})

    with pytest.raises(Refused, match="no connection could be made"):
        open_store({"backend": "aws_secrets_manager"}, nowhere, PREFIX).held("CANARY")


@pytest.mark.skipif(not Sops.there(), reason="sops or age is not there")
class TestSops:
    """The real programs."""

    @pytest.fixture
    def settings(self, stores: World) -> Json:
        checked = ArgumentSpecValidator(SETTINGS).validate(stores.backend("sops"))
        return dict(checked.validated_parameters)

    def fails(self, stores: World, settings: Json, name: str = "CANARY") -> str:
        with pytest.raises(OpsError) as found:
            open_store(settings, Environment.from_params(stores.environment), PREFIX).held(name)
        assert "Kanari" not in found.value.sentence
        return found.value.sentence

    def test_a_key_that_is_not_in_the_file(self, stores: World, settings: Json) -> None:
        assert "OTHER_KEY is not in" in self.fails(stores, settings, "OTHER_KEY")

    def test_an_identity_that_opens_nothing(self, stores: World, settings: Json, tmp_path: Path) -> None:
        assert stores.sops
        settings["age_identities"] = tmp_path / "stranger.txt"
        assert stores.sops.identity(settings["age_identities"]) not in stores.sops.recipients
        assert "None of the age identities at hand opens" in self.fails(stores, settings)

    def test_each_recipient_can_read(self, stores: World, settings: Json) -> None:
        for name in ("identities", "ci", "second_person"):
            settings["age_identities"] = stores.folder / f"{name}.txt"
            held = open_store(settings, Environment.from_params(stores.environment), PREFIX).held("CANARY")
            assert (held.secret.reveal(), str(held.secret)) == (CANARY, "***")

    def test_no_file_and_a_file_that_is_open(self, stores: World, settings: Json, tmp_path: Path) -> None:
        settings["file"] = tmp_path / "secrets.yaml"
        assert "There is no file" in self.fails(stores, settings)
        settings["file"].write_text(f"CANARY: {json.dumps(CANARY)}\n")
        assert "is not encrypted by SOPS" in self.fails(stores, settings)

    def test_a_file_that_was_changed_without_sops(self, stores: World, settings: Json, tmp_path: Path) -> None:
        assert stores.sops
        lines = stores.sops.file.read_text().splitlines(keepends=True)
        settings["file"] = tmp_path / "secrets.yaml"
        settings["file"].write_text("".join(line for line in lines if not line.startswith("DATABASE_URL")))
        assert "was changed without SOPS" in self.fails(stores, settings)
        first, second = (next(line for line in lines if line.startswith(name)) for name in ("CANARY", "DATABASE_URL"))
        swapped = "".join(lines).replace(first, "CANARY:" + second.partition(":")[2])
        settings["file"].write_text(swapped)
        assert "is damaged" in self.fails(stores, settings)

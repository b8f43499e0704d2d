"""The changes of telehealth: check, apply, check again, apply again; lost replies; each refusal next to its control."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils import _telehealth_changes
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_provider import PROVIDERS
from ansible_collections.daily_emr.ops.plugins.module_utils._turn import Relay, Transport
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import iso
from ansible_collections.daily_emr.ops.plugins.modules import telehealth_setting
from ansible_collections.daily_emr.ops.plugins.modules.telehealth_notice import TEXT
from ansible_collections.daily_emr.ops.plugins.modules.telehealth_setting import ENTRY

from tests.unit.changes.world import AwsError, Json

from .conftest import MINUTE, Spoil, Telehealth
from .readings import line, usual

SETTING, NOTICE = "telehealth_setting", "telehealth_notice"


def nothing(_telehealth: Telehealth) -> None:
    """The change is due as it is."""


def both_down(telehealth: Telehealth) -> None:
    telehealth.down()
    telehealth.bot_fails(*PROVIDERS)


def nobody_joins(telehealth: Telehealth) -> None:
    """Patients who want to join at the primary provider cannot."""
    telehealth.patients_fail("token_503")


def far_is_near(telehealth: Telehealth) -> None:
    """The other region is nearer than the one that sessions are relayed in."""
    telehealth.primary.relay.delay_s = 0.05


def back_is_due(telehealth: Telehealth) -> None:
    telehealth.flags.of("provider")["fallthrough"]["variation"] = 1


@dataclass
class Case:
    """Telehealth in which one setting is to be changed."""

    setting: str
    value: str
    before: str
    instruction: Json
    prepare: Spoil = nothing

    @property
    def args(self) -> Json:
        return {"setting": self.setting, "value": self.value}

    @property
    def key(self) -> str:
        return f"telehealth-{self.setting.replace('_', '-')}"


def serves(key: str, number: int) -> Json:
    return {"kind": "updateFallthroughVariationOrRollout", "variationId": f"{key}-{number}"}


ON, OFF = {"kind": "turnFlagOn"}, {"kind": "turnFlagOff"}
SWITCH = Case("provider", "secondary", "primary", serves("telehealth-provider", 1), nobody_joins)
BACK = Case("provider", "primary", "secondary", serves("telehealth-provider", 0), back_is_due)
REGION = Case("media_region", "eu-west-1", "af-south-1", serves("telehealth-media-region", 1), far_is_near)
RELAY, AUDIO, BITRATE = (Case(name, "on", "off", ON) for name in ("relay_only", "audio_only", "bitrate_cap"))
PHONE = Case("bookings_by_phone", "on", "off", ON, both_down)
CASES = [SWITCH, BACK, REGION, RELAY, AUDIO, BITRATE, PHONE]


@pytest.fixture(params=CASES, ids=lambda case: f"{case.setting}={case.value}")
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def arrived(telehealth: Telehealth) -> list[Json]:
    return [instruction for patch in telehealth.flags.patches for instruction in patch["instructions"]]


def test_check_apply_check_apply(case: Case, telehealth: Telehealth) -> None:
    case.prepare(telehealth)
    plan = telehealth.run(SETTING, check=True, **case.args)
    assert plan["outcome"] == "planned", plan["msg"]
    assert plan["diff"] == {"before": {"value": case.before}, "after": {"value": case.value}}
    assert plan["prediction"]
    assert (telehealth.flags.previews, arrived(telehealth)) == (1, [])

    done = telehealth.run(SETTING, **case.args)
    assert done["outcome"] == "ok", done["msg"]
    assert done["target"] == f"flag/daily-emr/sandbox/{case.key}"
    assert arrived(telehealth) == [case.instruction]
    assert telehealth.flags.patches[0]["comment"] == "INC-1 telehealth_setting"

    undo: Any = done["undo"]
    assert undo["module"] == "daily_emr.ops.telehealth_setting"
    spec = {name: ENTRY.argument_spec[name] for name in undo["args"]}
    assert ArgumentSpecValidator(spec).validate(undo["args"]).error_messages == []
    assert (undo["args"]["setting"], undo["args"]["value"]) == (case.setting, case.before)

    for check in (True, False):
        assert telehealth.run(SETTING, check=check, **case.args)["outcome"] == "noop"
    assert (len(arrived(telehealth)), telehealth.sent()) == (1, [])


def test_a_switch_makes_no_room_and_gives_its_relay_back(telehealth: Telehealth) -> None:
    """What a plan asks leaves nothing behind."""
    telehealth.run(SETTING, check=True, **SWITCH.args)
    for provider in (telehealth.primary, telehealth.secondary):
        assert provider.sent("POST") == ["/v1/tokens"]
        assert provider.relay.freed.wait(2)


@pytest.mark.parametrize("case", [SWITCH, AUDIO, PHONE], ids=lambda case: case.setting)
@pytest.mark.parametrize(("lost", "outcome"), [("after", "ok"), ("before", "unknown")])
def test_lost_reply(lost: str, outcome: str, case: Case, telehealth: Telehealth) -> None:
    case.prepare(telehealth)
    telehealth.flags.lose = lost
    assert telehealth.run(SETTING, **case.args)["outcome"] == outcome
    assert len(telehealth.flags.patches) == 1


@pytest.mark.parametrize("case", [RELAY, AUDIO, BITRATE], ids=lambda case: case.setting)
def test_the_undo_puts_a_switch_back(case: Case, telehealth: Telehealth) -> None:
    undo: Any = telehealth.run(SETTING, **case.args)["undo"]
    done = telehealth.run(SETTING, setting=undo["args"]["setting"], value=undo["args"]["value"])
    assert (done["outcome"], arrived(telehealth)) == ("ok", [ON, OFF])


def test_a_switch_is_not_undone_within_the_hour(telehealth: Telehealth) -> None:
    """Not even by its own inverse: it would flap."""
    nobody_joins(telehealth)
    assert telehealth.run(SETTING, **SWITCH.args)["outcome"] == "ok"
    back = telehealth.run(SETTING, **BACK.args)
    assert back["outcome"] == "refused"
    assert "not again within 60 min" in back["refusals"][0]
    assert len(telehealth.flags.patches) == 1


@pytest.mark.parametrize(("aws_minutes", "outcome"), [(59, "refused"), (61, "planned")])
@pytest.mark.parametrize("time_factor", [1.0, 20.0])
def test_the_hour_passes_at_the_pace_of_the_environment(
    aws_minutes: int, outcome: str, time_factor: float, telehealth: Telehealth
) -> None:
    nobody_joins(telehealth)
    telehealth.run.environment["time_factor"] = time_factor
    # At the pace of the sandbox a minute is three seconds, which a busy machine may take.
    asked_at = datetime.now(UTC).replace(microsecond=0).timestamp()
    telehealth.flags.now = lambda: asked_at
    telehealth.flags.of("provider", hours=aws_minutes / 60 / time_factor)
    result = telehealth.run.plan(SETTING, SWITCH.args)
    assert result["outcome"] == outcome, result["msg"]
    if outcome == "refused":
        assert result["refusals"] == [
            f"The provider was switched {aws_minutes} min ago, and not again within 60 min, because it would flap: "
            "wait, or book visits by phone."
        ]


def test_consultations_stay_where_they_run(telehealth: Telehealth) -> None:
    predicted = telehealth.run.plan(SETTING, SWITCH.args)["prediction"]
    assert predicted[1] == "The 14 consultations that run at primary stay there until they end."
    telehealth.down("primary")
    predicted = telehealth.run.plan(SETTING, SWITCH.args)["prediction"]
    assert predicted[1] == "The 11 consultations that run at primary stay there until they end."
    telehealth.world.running = {}
    predicted = telehealth.run.plan(SETTING, SWITCH.args)["prediction"]
    assert predicted[1].startswith("How many consultations run at primary could not be read; all of them stay there")


@dataclass
class Refusal:
    """What makes a change that would be planned one that is refused, and by which words."""

    case: Case
    words: str
    spoil: Spoil
    key: str = field(default="")


def of(name: str, **more: Any) -> Spoil:
    """Something about a provider's answers."""
    return lambda telehealth: [telehealth.provider(name).body(what, **body) for what, body in more["answers"].items()]


def answering(name: str, what: str, status: int) -> Spoil:
    return lambda telehealth: telehealth.provider(name).answers.update({what: (status, {})})


def here(name: str, **more: Any) -> Spoil:
    """Something about a flag in this environment."""
    return lambda telehealth: telehealth.flags.flags[f"telehealth-{name.replace('_', '-')}"]["environments"][
        "sandbox"
    ].update(more)


def flagged(name: str, **more: Any) -> Spoil:
    return lambda telehealth: telehealth.flags.flags[f"telehealth-{name.replace('_', '-')}"].update(more)


def bot(name: str, minutes: int, *bad: int) -> Spoil:
    return lambda telehealth: telehealth.world.bot.update({name: (minutes, set(bad))})


def broken(operation: str) -> Spoil:
    return lambda telehealth: telehealth.world.broken.add(operation)


def no_key(telehealth: Telehealth) -> None:
    (telehealth.run.folder / "telehealth_keys").write_text("{}")


def silent(name: str, *ways: str) -> Spoil:
    return lambda telehealth: telehealth.provider(name).relay.silent.update(ways)


def far_silent(name: str, *ways: str) -> Spoil:
    return lambda telehealth: telehealth.provider(name).far.silent.update(ways)


def joining(*rows: Json) -> Spoil:
    """These are all the joins."""
    return lambda telehealth: setattr(telehealth.world, "joins", list(rows))


def turned_on(name: str) -> Spoil:
    return here(name, on=True)


def all_of(*spoils: Spoil) -> Spoil:
    return lambda telehealth: [spoil(telehealth) for spoil in spoils]


def unapproved(telehealth: Telehealth) -> None:
    telehealth.settings["providers"]["secondary"]["processor_approved"] = False


def well_again(name: str) -> Spoil:
    def spoil(telehealth: Telehealth) -> None:
        from .servers import Provider

        fresh = Provider()
        provider = telehealth.provider(name)
        provider.answers = fresh.answers
        ice = provider.answers["POST /v1/tokens"][1]["ice"]
        ice |= {"host": provider.relay.host, "port": provider.relay.port}
        fresh.close()

    return spoil


REFUSALS = [
    # The provider that gets new sessions must be well in this very read.
    (SWITCH, "The secondary provider is not well (status: 503", answering("secondary", "GET /v1/status", 503)),
    (SWITCH, "token: 401", answering("secondary", "POST /v1/tokens", 401)),
    (SWITCH, "token: 429", answering("secondary", "POST /v1/tokens", 429)),
    (SWITCH, "100 of 100 used", of("secondary", answers={"GET /v1/status": {"quota": {"used": 100, "limit": 100}}})),
    (
        SWITCH,
        "it says itself that it is in an outage",
        of("secondary", answers={"GET /v1/status": {"status": "outage"}}),
    ),
    (SWITCH, "no relay: udp: timeout", silent("secondary", "udp", "tcp")),
    (SWITCH, "Could not read the secondary provider", no_key),
    (SWITCH, "The application itself cannot use the secondary provider (the bot could not", bot("secondary", 70, 0)),
    (SWITCH, "the bot has not joined lately", bot("secondary", -1)),
    (SWITCH, "Could not read the bot at secondary", broken("GetMetricData")),
    # The one that they leave must be seen to fail by somebody who uses it.
    (SWITCH, "say that primary fails (128 of 128 joins succeeded (100.0%); the bot joined)", joining(*usual())),
    (SWITCH, "say that primary fails (100 of 100 joins", all_of(joining(line(100)), bot("primary", 70, 0))),
    (SWITCH, "say that primary fails (no join; the bot joined)", joining(line(60, 0, provider="secondary"))),
    (SWITCH, "say that primary fails (5 of 9 joins", joining(line(9, 5))),
    (SWITCH, "(no join; the bot has not joined lately)", all_of(joining(), bot("primary", -1))),
    (SWITCH, "Could not read the joins", broken("StartQuery")),
    # New sessions must get through there in the region and by the way that are set.
    (
        SWITCH,
        "The secondary provider has no relay over TCP",
        all_of(turned_on("relay_only"), silent("secondary", "tcp")),
    ),
    (
        SWITCH,
        "The secondary provider has no relay over TCP",
        all_of(here("relay_only", on=True, fallthrough={"rollout": {}}), silent("secondary", "tcp")),
    ),
    (
        SWITCH,
        "91 of 100 of the quota of secondary are used",
        all_of(
            turned_on("relay_only"),
            of("secondary", answers={"GET /v1/status": {"quota": {"used": 91, "limit": 100}}}),
        ),
    ),
    (
        SWITCH,
        "relayed in eu-west-1, and no relay of secondary answers there",
        all_of(here("media_region", fallthrough={"variation": 1}), far_silent("secondary", "udp", "tcp")),
    ),
    (
        SWITCH,
        "relayed in eu-west-1, and no relay of secondary answers there",
        all_of(
            turned_on("relay_only"),
            here("media_region", fallthrough={"variation": 1}),
            far_silent("secondary", "tcp"),
        ),
    ),
    (
        SWITCH,
        "relayed in af-south-1, and no relay of secondary answers there",
        lambda telehealth: telehealth.settings["providers"]["secondary"].update(regions=[]),
    ),
    (SWITCH, "serves some another region than others", here("media_region", fallthrough={"rollout": {}})),
    (SWITCH, "serves some another region than others", here("media_region", rules=[{"id": "county"}])),
    (SWITCH, "Could not read the media region flag", lambda t: t.flags.flags.pop("telehealth-media-region")),
    (SWITCH, "Could not read the relay only flag", lambda t: t.flags.flags.pop("telehealth-relay-only")),
    (SWITCH, "not approved as a processor of data", unapproved),
    (SWITCH, "running consultations could be moved or dropped", flagged("provider", tags=["telehealth"])),
    (SWITCH, "telehealth-provider is archived", flagged("provider", archived=True)),
    (SWITCH, "serves some another value than others", here("provider", rules=[{"id": "county"}])),
    (SWITCH, "serves some another value than others", here("provider", fallthrough={"rollout": {}})),
    (SWITCH, "telehealth-provider is off", here("provider", on=False)),
    (
        SWITCH,
        "wants an approval for changes in sandbox",
        lambda telehealth: setattr(telehealth.flags, "approval", True),
    ),
    # Back, only after a healthy hour.
    (BACK, "was not well for 60 min (the bot could not join 59 min ago)", bot("primary", 70, 59)),
    (BACK, "was not well for 60 min (the bot did not look for 3", bot("primary", 25)),
    (BACK, "The primary provider is not well", answering("primary", "POST /v1/tokens", 500)),
    (RELAY, "has no relay over TCP (tcp: timeout", silent("primary", "tcp")),
    (
        RELAY,
        "91 of 100 of the quota of primary are used",
        of("primary", answers={"GET /v1/status": {"quota": {"used": 91, "limit": 100}}}),
    ),
    (
        RELAY,
        "How much of the quota of primary is used could not be read (status: 503",
        answering("primary", "GET /v1/status", 503),
    ),
    (RELAY, "serves no single provider to everybody", here("provider", fallthrough={"rollout": {}})),
    (RELAY, "serves no single provider to everybody", here("provider", targets=[{"variation": 1}])),
    (RELAY, "Could not read the provider flag", lambda t: t.flags.flags.pop("telehealth-provider")),
    (RELAY, "running consultations could be moved or dropped", flagged("relay_only", tags=["telehealth:running"])),
    (REGION, "leave the region as it is", lambda telehealth: setattr(telehealth.primary.far, "delay_s", 0.15)),
    (REGION, "No relay of primary answers in eu-west-1", far_silent("primary", "udp")),
    (REGION, "No relay of primary answers in af-south-1, so nobody can say what is nearer", silent("primary", "udp")),
    (
        REGION,
        "so nobody can say what is nearer",
        lambda telehealth: telehealth.settings["providers"]["primary"]["regions"].pop(0),
    ),
    (REGION, "serves no single provider to everybody", here("provider", fallthrough={"rollout": {}})),
    (REGION, "serves no single provider to everybody", here("provider", rules=[{"id": "county"}])),
    (AUDIO, "has no tag telehealth:running, so nobody knows", flagged("audio_only", tags=[])),
    (PHONE, "The secondary provider is well: let new sessions go there", well_again("secondary")),
    (PHONE, "The primary provider is well: let new sessions go there", well_again("primary")),
    # A place without a way out, or two bad keys of ours: both probes fail, and the application joins.
    (PHONE, "does not say that primary fails (the bot joined)", bot("primary", 70)),
    (PHONE, "does not say that secondary fails (the bot joined)", bot("secondary", 70)),
    (PHONE, "does not say that primary fails (the bot has not joined lately)", bot("primary", -1)),
    (PHONE, "Could not read the bot at primary", broken("GetMetricData")),
    (PHONE, "No clinic lead has agreed", lambda telehealth: telehealth.settings.update(clinic_lead="")),
]


@pytest.mark.parametrize(("case", "words", "spoil"), REFUSALS, ids=[f"{row[0].setting}: {row[1]}" for row in REFUSALS])
def test_a_refusal_and_its_control(case: Case, words: str, spoil: Spoil, telehealth: Telehealth) -> None:
    case.prepare(telehealth)
    control = telehealth.run.plan(SETTING, case.args)
    assert control["outcome"] == "planned", control["msg"]

    spoil(telehealth)
    for check in (True, False):
        result = telehealth.run(SETTING, check=check, **case.args)
        assert result["outcome"] == "refused", result["msg"]
        assert any(words in text for text in result["refusals"]), result["refusals"]
    assert (arrived(telehealth), telehealth.sent()) == ([], [])


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            {"setting": "provider", "value": "tertiary"},
            "provider has no value tertiary: use one of primary, secondary.",
        ),
        ({"setting": "relay_only", "value": "yes"}, "relay_only has no value yes: use one of off, on."),
        (
            {"setting": "media_region", "value": "us-east-1"},
            "has no variation us-east-1: use one of af-south-1, eu-west-1.",
        ),
    ],
)
def test_a_value_that_there_is_not_is_refused(args: Json, words: str, telehealth: Telehealth) -> None:
    result = telehealth.run(SETTING, **args)
    assert result["outcome"] == "refused"
    assert words in result["refusals"][0]
    assert arrived(telehealth) == []


def test_a_flag_that_is_not_there_is_no_change(telehealth: Telehealth) -> None:
    del telehealth.flags.flags["telehealth-provider"]
    result = telehealth.run(SETTING, **SWITCH.args)
    assert (result["outcome"], arrived(telehealth)) == ("failed", [])
    assert "LaunchDarkly has no flag telehealth-provider in sandbox" in result["msg"]


def test_online_again_only_when_a_provider_is_well(telehealth: Telehealth) -> None:
    telehealth.flags.of("bookings_by_phone")["on"] = True
    args = {"setting": "bookings_by_phone", "value": "off"}
    assert telehealth.run.plan(SETTING, args)["outcome"] == "planned"
    telehealth.bot_fails("primary")
    assert telehealth.run.plan(SETTING, args)["outcome"] == "planned"
    telehealth.bot_fails("secondary")
    refusal = ["Neither provider is well, so visits could not be held online: leave it on."]
    assert telehealth.run.plan(SETTING, args)["refusals"] == refusal
    telehealth.world.bot = dict.fromkeys(PROVIDERS, (70, set()))
    assert telehealth.run.plan(SETTING, args)["outcome"] == "planned"
    telehealth.down()
    assert telehealth.run.plan(SETTING, args)["refusals"] == refusal


def test_one_binding_that_waited_is_no_distance(telehealth: Telehealth, monkeypatch: pytest.MonkeyPatch) -> None:
    """The near region answered once after a lost datagram: it is the near one still."""
    far_is_near(telehealth)
    near, far = telehealth.primary.relay.port, telehealth.primary.far.port
    took = {near: [250.0, 10.0, 12.0], far: [100.0, 100.0, 100.0]}

    def probe(_host: str, port: int, way: Transport, **_more: object) -> Relay:
        return Relay(way, True, None, "", took[port].pop(0) if way is Transport.UDP else 5.0)

    monkeypatch.setattr(telehealth_setting, "probe", probe)
    result = telehealth.run.plan(SETTING, REGION.args)
    assert result["refusals"] == ["eu-west-1 is 100 ms away and af-south-1 10 ms: leave the region as it is."]


# The notice.

PRICE = {"price_usd": 0.1}


@pytest.fixture
def by_phone(telehealth: Telehealth) -> Telehealth:
    """Nobody can be seen online, and visits are booked by phone."""
    both_down(telehealth)
    telehealth.flags.of("bookings_by_phone")["on"] = True
    return telehealth


def test_the_notice_check_send_check_send(by_phone: Telehealth) -> None:
    plan = by_phone.run.plan(NOTICE, PRICE)
    assert (plan["outcome"], plan["diff"]) == ("planned", {"before": {"sent": False}, "after": {"sent": True}})
    assert plan["prediction"] == ["4 messages, which cost up to 0.40 USD of the 97.00 USD that are left of this month."]

    done = by_phone.run(NOTICE, **PRICE)
    assert done["outcome"] == "ok", done["msg"]
    ((operation, sent),) = by_phone.sent()
    assert (operation, sent["Message"]) == ("Publish", TEXT)
    assert done["undo"].startswith("A message that was sent cannot be called back")

    for counted in (0, 1):
        by_phone.world.published = counted  # SNS counts minutes late
        for check in (True, False):
            assert by_phone.run(NOTICE, check=check, **PRICE)["outcome"] == "noop"
    assert len(by_phone.sent()) == 1


def test_a_notice_of_somebody_else_counts_too(by_phone: Telehealth) -> None:
    by_phone.world.published = 1
    for check in (True, False):
        assert by_phone.run(NOTICE, check=check, **PRICE)["outcome"] == "noop"
    assert by_phone.sent() == []


def word(telehealth: Telehealth) -> Json:
    """What the table says last of the notice."""
    return telehealth.world.table[f"step#{NOTICE}#topic/{telehealth.settings['notice_topic']}"]


def edited(telehealth: Telehealth) -> None:
    """Somebody edits the flag of the bookings."""
    telehealth.flags.of("bookings_by_phone", hours=-1 / 60)["on"] = True


def test_a_flag_that_is_edited_makes_no_second_notice(by_phone: Telehealth) -> None:
    assert by_phone.run(NOTICE, **PRICE)["outcome"] == "ok"
    edited(by_phone)
    for check in (True, False):
        result = by_phone.run(NOTICE, check=check, **PRICE)
        assert result["outcome"] == "refused", result["msg"]
        assert "was sent" in result["refusals"][0]
        assert "by run r1 of INC-1, and the facilities are not told twice within 4 h" in result["refusals"][0]
    assert len(by_phone.sent()) == 1


@pytest.mark.parametrize("time_factor", [1.0, 20.0])
@pytest.mark.parametrize(("minutes", "outcome"), [(239, "refused"), (241, "planned")])
def test_after_four_hours_a_new_outage_may_be_told(
    minutes: int, outcome: str, time_factor: float, by_phone: Telehealth
) -> None:
    by_phone.run(NOTICE, **PRICE)
    edited(by_phone)
    by_phone.run.environment["time_factor"] = time_factor
    word(by_phone)["at"]["S"] = iso(datetime.now(UTC) - minutes * MINUTE / time_factor)
    assert by_phone.run(NOTICE, check=True, **PRICE)["outcome"] == outcome


def test_a_notice_that_was_surely_not_sent_may_be_sent_again(by_phone: Telehealth) -> None:
    publish = by_phone.world.sns_Publish

    def throttled(_params: Json) -> Json:
        raise AwsError("Throttling")

    by_phone.world.sns_Publish = throttled  # type: ignore[method-assign]
    assert by_phone.run(NOTICE, **PRICE)["outcome"] == "failed"
    by_phone.world.sns_Publish = publish  # type: ignore[method-assign]
    assert by_phone.run(NOTICE, **PRICE)["outcome"] == "ok"


def test_a_notice_whose_end_was_not_written_down_is_not_sent_again(
    by_phone: Telehealth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run was killed behind the call."""
    with monkeypatch.context() as killed:
        killed.setattr(LeaseStore, "record", lambda *_args: None)
        assert by_phone.run(NOTICE, **PRICE)["outcome"] == "ok"
    result = by_phone.run(NOTICE, **PRICE)
    assert (result["outcome"], len(by_phone.sent())) == ("refused", 1)
    assert "may have been sent" in result["refusals"][0]


@pytest.mark.parametrize("price", ["nan", "inf", 0, -0.1])
def test_a_price_that_is_none_is_refused(price: object, by_phone: Telehealth) -> None:
    assert by_phone.run.plan(NOTICE, PRICE)["outcome"] == "planned"
    for check in (True, False):
        result = by_phone.run(NOTICE, check=check, price_usd=price)
        assert result["outcome"] == "refused", result["msg"]
        assert "set it to what one message costs at most, more than 0" in result["refusals"][0]
    assert by_phone.sent() == []


def test_the_notice_is_one_text_message_that_says_nothing_of_anybody() -> None:
    assert len(TEXT) <= 160
    assert TEXT.isascii()
    assert not any(letter.isdigit() for letter in TEXT)


@pytest.mark.parametrize("lost", ["before", "after"])
def test_a_notice_whose_reply_is_lost_is_not_sent_again(lost: str, by_phone: Telehealth) -> None:
    """SNS counts minutes late, so that nobody can tell."""
    by_phone.world.lose["Publish"] = lost
    assert by_phone.run(NOTICE, **PRICE)["outcome"] == "unknown"
    by_phone.world.lose.clear()
    again = by_phone.run(NOTICE, **PRICE)
    assert (again["outcome"], len(by_phone.sent())) == ("refused", 1)
    assert "may have been sent" in again["refusals"][0]
    edited(by_phone)
    assert (by_phone.run(NOTICE, **PRICE)["outcome"], len(by_phone.sent())) == ("refused", 1)


def test_a_lost_reply_that_sns_has_counted_is_done(by_phone: Telehealth) -> None:
    by_phone.world.lose["Publish"] = "after"
    publish = by_phone.world.sns_Publish
    by_phone.world.sns_Publish = lambda params: (setattr(by_phone.world, "published", 1), publish(params))[1]  # type: ignore[method-assign]
    assert by_phone.run(NOTICE, **PRICE)["outcome"] == "ok"


NOTICES: list[tuple[str, Callable[[Telehealth], object]]] = [
    ("The primary provider is well: let new sessions go there", well_again("primary")),
    ("does not say that primary fails (the bot joined)", bot("primary", 70)),
    ("does not say that secondary fails (the bot has not joined lately)", bot("secondary", -1)),
    ("Could not read the bot at primary", broken("GetMetricData")),
    ("The lease table", broken("GetItem")),
    ("4 messages cost up to 0.40 USD, and 0.39 USD are left", lambda t: setattr(t.world, "spent", [99.61])),
    ("Nobody is subscribed", lambda t: setattr(t.world, "subscribers", 0)),
    ("Could not read the spending of the month", broken("GetMetricData")),
    ("Could not read the limit of the month", broken("GetSMSAttributes")),
    ("Could not read the subscribers of the topic", broken("GetTopicAttributes")),
    ("Could not read the secondary provider", no_key),
]


@pytest.mark.parametrize(("words", "spoil"), NOTICES, ids=[row[0] for row in NOTICES])
def test_a_notice_is_refused(words: str, spoil: Spoil, by_phone: Telehealth, monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine a provider that is well may answer late, and then there would be a reason to send one.
    monkeypatch.setattr(_telehealth_changes, "PROBE_TIMEOUT_S", 30.0)
    assert by_phone.run.plan(NOTICE, PRICE)["outcome"] == "planned"
    spoil(by_phone)
    for check in (True, False):
        result = by_phone.run(NOTICE, check=check, **PRICE)
        assert result["outcome"] == "refused", result["msg"]
        assert any(words in text for text in result["refusals"]), result["refusals"]
    assert by_phone.sent() == []


def test_an_answer_of_cloudwatch_is_read_to_its_end(by_phone: Telehealth) -> None:
    whole = by_phone.world.cloudwatch_GetMetricData

    def paged(params: Json) -> Json:
        """An empty page, then the rest."""
        (found,) = whole(params)["MetricDataResults"]
        if "NextToken" not in params:
            first = found | {"Timestamps": [], "Values": [], "StatusCode": "PartialData"}
            return {"MetricDataResults": [first], "NextToken": "more"}
        return {"MetricDataResults": [found | {"StatusCode": "Complete"}]}

    by_phone.world.cloudwatch_GetMetricData = paged  # type: ignore[method-assign]
    assert "of the 97.00 USD that are left" in by_phone.run.plan(NOTICE, PRICE)["prediction"][0]
    by_phone.world.published = 1
    assert by_phone.run.plan(NOTICE, PRICE)["outcome"] == "noop"


def test_an_answer_of_cloudwatch_that_never_ends_is_no_answer(by_phone: Telehealth) -> None:
    whole = by_phone.world.cloudwatch_GetMetricData
    by_phone.world.cloudwatch_GetMetricData = lambda params: {**whole(params), "NextToken": "more"}  # type: ignore[method-assign]
    result = by_phone.run(NOTICE, **PRICE)
    assert (result["outcome"], by_phone.sent()) == ("refused", [])
    assert any("gave only a part of SMSMonthToDateSpentUSD" in text for text in result["refusals"])


def test_a_part_of_an_answer_of_cloudwatch_is_no_answer(by_phone: Telehealth) -> None:
    """An empty part would read as nothing spent and nothing sent."""
    whole = by_phone.world.cloudwatch_GetMetricData

    def part(params: Json) -> Json:
        (found,) = whole(params)["MetricDataResults"]
        return {"MetricDataResults": [found | {"Timestamps": [], "Values": [], "StatusCode": "PartialData"}]}

    by_phone.world.cloudwatch_GetMetricData = part  # type: ignore[method-assign]
    result = by_phone.run(NOTICE, **PRICE)
    assert result["outcome"] == "refused", result["msg"]
    assert any("gave only a part" in text for text in result["refusals"]), result["refusals"]
    assert by_phone.sent() == []


def test_a_notice_that_would_not_be_true_is_not_sent(by_phone: Telehealth) -> None:
    """It may be planned together with the flag, and goes out only when that is on."""
    by_phone.flags.of("bookings_by_phone")
    assert by_phone.run.plan(NOTICE, PRICE)["outcome"] == "planned"
    result = by_phone.run(NOTICE, **PRICE)
    assert (result["outcome"], by_phone.sent()) == ("refused", [])
    assert "Visits are booked online still" in result["refusals"][0]


def test_a_month_without_a_text_has_cost_nothing(by_phone: Telehealth) -> None:
    by_phone.world.spent = []
    assert "of the 100.00 USD that are left" in by_phone.run.plan(NOTICE, PRICE)["prediction"][0]

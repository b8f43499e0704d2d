"""A shape is judged without a part of the value in the sentence."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils._secret_shapes import sensitive_parts, trouble
from ansible_collections.daily_emr.ops.plugins.module_utils._secrets_options import ENTRY_SPEC
from hypothesis import given
from hypothesis import strategies as st

from .stores import ROOT

Json = dict[str, Any]

KEYS = yaml.safe_load((ROOT / "inventories/common/secrets.yml").read_text())["secrets_keys"]
UUID = "0a1b2c3d-1111-2222-3333-0a1b2c3d4e5f"
GOOD = {
    "DATABASE_URL": "postgresql://emr_application:0123456789abcdef@db.internal:5432/emr",
    "SESSION_PASSWORD": "k" * 32,
    "QUEUE_PASSWORD": "q" * 16,
    "SHA_API_KEY": json.dumps({"key": "k3y-of-ours", "secret": "s3cr3t-of-ours"}),
    "MFL_API_KEY": "m" * 20,
    "DHIS2_TOKEN": "d2pat_" + "A1b2" * 8 + "0123456789",
    "TELEHEALTH_PRIMARY_KEY": "p" * 16,
    "TELEHEALTH_SECONDARY_KEY": "p" * 16,
    "PAYMENTS_API_KEY": json.dumps({"consumer_key": "c" * 16, "consumer_secret": "d" * 16}),
    "LAUNCHDARKLY_SDK_KEY": f"sdk-{UUID}",
    "AUTH0_CLIENT_SECRET": "aA0_-" * 12,
}
BAD = [
    ("DATABASE_URL", "https://emr:0123456789abcdef@db.internal/emr", "is not a postgresql:// URL"),
    ("DATABASE_URL", "postgresql://emr:0123456789abcdef@db.internal", "without the name of a database"),
    ("DATABASE_URL", "postgresql://db.internal/emr", "without username and password"),
    ("DATABASE_URL", "postgresql://emr:short@db.internal/emr", "password shorter than 16"),
    ("DATABASE_URL", "postgresql://emr:0123456789abcdef@db.internal:port/emr", "is not a URL"),
    ("SESSION_PASSWORD", "k" * 31, "is shorter than 32 characters"),
    ("SESSION_PASSWORD", "k" * 32 + "\n", "has white space at an end"),
    ("SESSION_PASSWORD", "k" * 16 + "\n" + "k" * 16, "a line break"),
    ("SESSION_PASSWORD", "", "is empty"),
    ("MFL_API_KEY", "CHANGE_ME", "is a stand-in"),
    ("SHA_API_KEY", "plain-text-and-no-json", "is not JSON"),
    ("SHA_API_KEY", json.dumps(["key", "secret"]), "is not a JSON object"),
    ("SHA_API_KEY", json.dumps({"key": "k3y-of-ours"}), "has no text secret"),
    ("SHA_API_KEY", json.dumps({"key": "k3y-of-ours", "secret": "changeme"}), "has a field secret that is a stand-in"),
    ("DHIS2_TOKEN", GOOD["DHIS2_TOKEN"] * 2, "does not match the pattern"),
    ("LAUNCHDARKLY_SDK_KEY", f"mob-{UUID}", "does not match the pattern"),
    ("AUTH0_CLIENT_SECRET", "a b" * 20, "does not match the pattern"),
]


def shape(name: str) -> Json:
    (found,) = (key for key in KEYS if key["name"] == name)
    checked = ArgumentSpecValidator(ENTRY_SPEC).validate(found)
    assert not checked.error_messages, checked.error_messages
    return dict(checked.validated_parameters["shape"])


@pytest.mark.parametrize("name", [key["name"] for key in KEYS])
def test_each_key_of_the_inventory_has_a_value_that_fits(name: str) -> None:
    assert trouble(GOOD[name], shape(name)) == ""


@pytest.mark.parametrize(("name", "value", "said"), BAD)
def test_what_is_wrong_is_said_without_the_value(name: str, value: str, said: str) -> None:
    sentence = trouble(value, shape(name))

    assert said in sentence
    assert not [word for word in value.replace("\n", " ").split("@") if len(word) > 8 and word in sentence]


def test_the_blueprint_has_its_keys() -> None:
    wanted = {"DATABASE_URL", "SESSION_PASSWORD", "SHA_API_KEY", "MFL_API_KEY", "DHIS2_TOKEN"}
    assert wanted <= {key["name"] for key in KEYS}
    assert all(key["readers"] and key["used_by"] for key in KEYS)


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="%"), min_size=1).filter(lambda text: text == text.strip())
)
def test_the_parts_of_a_value_are_found(password: str) -> None:
    url = f"postgresql://emr:{quote(password, safe='')}@db/emr"

    assert {url, password} <= sensitive_parts(url)
    assert password in sensitive_parts(json.dumps({"a": [{"b": password}]}))

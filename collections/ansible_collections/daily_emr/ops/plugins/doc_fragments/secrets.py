# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The options of the modules of secrets."""

from __future__ import annotations


class ModuleDocFragment:
    """Where secrets are kept, and what a key should be like."""

    DOCUMENTATION = r"""
options:
  store:
    description: Where secrets are kept, the inventory variable C(secrets_store).
    type: dict
    required: true
    suboptions:
      component:
        description: The inventory host of the secrets.
        type: str
        required: true
      prefix:
        description: What the names of all secrets of the environment begin with.
        type: str
        required: true
      backend:
        description: The inventory variable C(emr_secrets).
        type: dict
        default: {}
      copy_region:
        description: The region that holds the replicas.
        type: str
        required: true
      kms_key:
        description: The KMS key of the secrets, an alias, an id or an ARN.
        type: str
        required: true
      copy_kms_key:
        description: The KMS key of the replicas, in the copy region.
        type: str
        required: true
      tags:
        description: Tags of new secrets.
        type: dict
        default: {}
      strangers:
        description: Names of roles that must not be able to read a secret unless it names them as a reader.
        type: list
        elements: str
        default: []
"""

    ENTRY = r"""
options:
  entry:
    description: A key, and what is expected of it. Never its value.
    type: dict
    required: true
    suboptions:
      name:
        description: Name of the key, without the prefix.
        type: str
        required: true
      about:
        description: What the key is for, in a sentence; the description of the secret.
        type: str
        default: ""
      shape:
        description: What the value looks like.
        type: dict
        default: {kind: text, min_length: 16, fields: []}
        suboptions:
          kind:
            description: How the value is read.
            type: str
            choices: [text, json, postgresql_url]
            default: text
          pattern:
            description: Regular expression that the whole text, or each field, has to match.
            type: str
          min_length:
            description: Fewest characters of the text, of each field, or of the password in a URL.
            type: int
            default: 16
          fields:
            description: Fields that a JSON object must have, with texts.
            type: list
            elements: str
            default: []
      max_age_days:
        description: Most days that a value may be old.
        type: int
        default: 90
      source:
        description: Whether we make a new value ourselves, or somebody else issues it.
        type: str
        choices: [generated, issued]
        default: issued
      rotated_by_aws:
        description: Whether AWS rotates it with a function of its own, instead of us.
        type: bool
        default: false
      replicated:
        description: Whether the copy region needs a replica.
        type: bool
        default: true
      readers:
        description: Names of the roles that have to be able to read it.
        type: list
        elements: str
        default: []
      used_by:
        description: Inventory hosts whose tasks get it when they start, and have to be recycled when it changes.
        type: list
        elements: str
        default: []
      test:
        description: How a new value is tried before it is made the current one, with something that only reads.
        type: dict
        default: {kind: shape}
        suboptions:
          kind:
            description:
              - V(shape) tries nothing, for a value that nobody else knows.
              - V(http) sends it to O(entry.test.url), V(postgresql) logs in with the URL that it is, and
                V(claims_api) asks for a token and for our own facility.
            type: str
            choices: [shape, http, postgresql, claims_api]
            default: shape
          url:
            description: Where it is sent.
            type: str
          component:
            description: The inventory host of the claims API that it is tried at.
            type: str
          header:
            description: The header that it is sent in.
            type: str
            default: Authorization
          prefix:
            description: What stands before it in the header.
            type: str
            default: "Bearer "
      effect:
        description: What users notice when it is rotated, in a sentence.
        type: str
        default: ""
"""

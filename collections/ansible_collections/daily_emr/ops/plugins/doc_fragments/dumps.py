# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The option ``dumps``, the same for all modules of dumps."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  dumps:
    description:
      - Where the dumps of a database lie, and how an object there has to be.
    type: dict
    required: true
    suboptions:
      component:
        description: Name of the component, which is also its inventory host.
        type: str
        required: true
      bucket:
        description: Name of the bucket. It has object lock, and encrypts by default.
        type: str
        required: true
      retention_days:
        description: Days for which an object is locked, in governance mode.
        type: int
        required: true
      encryption:
        description: How the bucket has to encrypt by default. Its own key is used.
        type: str
        choices: [aws:kms, AES256]
        default: aws:kms
      replicated:
        description: Whether the bucket has to be copied to a second region.
        type: bool
        default: true
"""

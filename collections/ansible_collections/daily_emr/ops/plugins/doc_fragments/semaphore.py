# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The options that say where Semaphore is, the same for all modules of it."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  url:
    description:
      - Address of Semaphore UI, version 2.16 or newer, without C(/api); for example V(https://semaphore.example.org).
      - Must be https, except on this machine.
    type: str
    required: true
  token:
    description:
      - Token of a user who owns or manages the project. Without it, the environment variable E(SEMAPHORE_API_TOKEN).
      - Is never shown.
    type: str
    required: true
  timeout_s:
    description: Seconds that one request may take.
    type: float
    default: 30.0
"""

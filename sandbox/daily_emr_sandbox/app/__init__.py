"""Stand-in of the EMR web application: one process is one ECS task.

It does for real what the runbooks look at (health, version, reads and writes in PostgreSQL, sessions in Valkey,
feature flags) and nothing else. Charts are synthetic. Notes are written and never read, answered or logged.
"""

from __future__ import annotations

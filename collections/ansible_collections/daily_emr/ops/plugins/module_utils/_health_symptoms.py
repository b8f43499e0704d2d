# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: which observations of a web service count, and what they are about. May change without notice.

"""The observations of a web service that are symptoms, and the subjects of those that are about something else."""

from __future__ import annotations

# What users feel, or what leaves them without a spare part. All of them ok means healthy.
SYMPTOMS = (
    "edge_failing",
    "balancer_failing",
    "no_tasks",
    "scaled_to_zero",
    "below_minimum",
    "too_few_targets",
    "tasks_not_live",
    "tasks_not_ready",
    "reads_failing",
    "new_release_crashing",
    "database_unreachable",
    "database_auth_failing",
    "database_slow",
    "cache_unreachable",
    "capacity_exhausted",
    "error_ratio_high",
    "latency_high",
)
# Where an observation is about something else than the component: the name of its subject.
SUBJECTS = {
    "secret_rotated": "rotated_secret",
    "zone_impaired": "impaired_zone",
    "waf_blocking": "blocking_rule",
    "flag_suspect": "suspect_flag",
    "deployment_in_progress": "service_deployment",
    "rollback_image_missing": "last_known_good",
    "rollback_incompatible": "last_known_good",
    "release_recent": "newest_revision",
    "new_release_crashing": "newest_revision",
    "new_release_failing": "newest_revision",
}

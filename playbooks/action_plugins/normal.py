"""Every module of amazon.aws and community.aws in these playbooks stands behind the identity guard."""

from ansible_collections.daily_emr.ops.plugins.plugin_utils.guarded import ActionModule

__all__ = ["ActionModule"]

"""The post-mortem of an incident: a draft from its record, a lint without blame, its deadline and its actions."""

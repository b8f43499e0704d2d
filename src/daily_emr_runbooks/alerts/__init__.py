"""The receiver of alerts: what a monitoring system posts becomes the words that start a runbook, and nothing else.

The event source `daily_emr.ops.alerts` of the collection serves it inside ansible-rulebook.
"""

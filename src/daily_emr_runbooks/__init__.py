"""The `runbook` command: a thin shell over ansible-runner, and the report of a run."""

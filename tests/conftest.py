"""For all tests."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.recording", "tests.second_tries"]

# How fast an example is depends on what else runs: a deadline would be a timed assert.
settings.register_profile("beside others", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("beside others")

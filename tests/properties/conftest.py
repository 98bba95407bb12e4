"""The same examples in every run: a failure is a failure of the code, not of the day."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "circuitmem",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("circuitmem")

"""What holds for every test."""

from hypothesis import HealthCheck, settings

# an example may take as long as it takes: other work on the same cores must not decide what passes
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

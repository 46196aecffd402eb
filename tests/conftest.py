"""For all tests here: no time limit per Hypothesis example, because the machine is shared with servers and other tests."""

from hypothesis import settings

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

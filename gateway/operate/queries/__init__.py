"""Commands that only look, and read from disk for it.

why.py      what led to an alarm, and what was done about others like it
trends.py   values of tags and events over time
upkeep.py   what a reload would change, dead letters, the audit trail, certificates
"""

from gateway.operate.queries.trends import Trends
from gateway.operate.queries.upkeep import Upkeep
from gateway.operate.queries.why import Why

__all__ = ["Trends", "Upkeep", "Why"]

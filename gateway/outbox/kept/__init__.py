"""What a running gateway's own log still holds, for people who look: its events, and values of tags over time.

own_log.py  Kept: asked by the rest of the gateway; reads in a thread
series.py   values of a few tags out of segment files, whole portions at a time
thinning.py as many points as a chart has room for, least and greatest kept
"""

from gateway.outbox.kept.own_log import EVENTS_AT_MOST, Kept
from gateway.outbox.kept.thinning import Series

__all__ = ["EVENTS_AT_MOST", "Kept", "Series"]

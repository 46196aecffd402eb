"""What a running gateway's own log still holds, for people who look: its events, and values of tags over time.

own_log.py     Kept: asked by the rest of the gateway; reads in a thread
series.py      values of a few tags: from summaries where these say enough, else from frames
frame_runs.py  frames out of segment files, whole portions at a time
summaries.py   summaries of finished segments are made; summarising.py makes one
thinning.py    as many points as a chart has room for, least and greatest kept
"""

from gateway.outbox.kept.own_log import EVENTS_AT_MOST, Kept
from gateway.outbox.kept.summarising import TOO_MUCH as SUMMARY_SHARE
from gateway.outbox.kept.thinning import Series

__all__ = ["EVENTS_AT_MOST", "SUMMARY_SHARE", "Kept", "Series"]

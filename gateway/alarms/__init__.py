"""What is raised, who has seen it, and what is shelved: one list, which outlives its watchers, reloads and restarts.

    a watcher (detect/) ─────────────────▶ Alarms ─▶ Event ─▶ outbox
    a device's own ─▶ Conditions ─────────▶ │ │
                      (DeviceEvents: budget) │ └▶ alarms.json (alarm_file.py)
                                             └──▶ events/, what an anomaly was found in (evidence.py)

What changes is on disk before it is told. An alarm has one id from raise to clear.
"""

from gateway.alarms.alarm import Alarm, Key, Origin
from gateway.alarms.alarms import Alarms
from gateway.alarms.conditions import Conditions
from gateway.alarms.evidence import Evidence, EvidenceStore, KeptEvidence, cpu

__all__ = ["Alarm", "Alarms", "Conditions", "Evidence", "EvidenceStore", "KeptEvidence", "Key", "Origin", "cpu"]

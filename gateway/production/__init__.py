"""What devices work for, and who says so: rules by tags, people, the far sides of sinks.

production.py   what is open: opens, closes, stamps, tells
rule_watch.py   what rules say by tags
open_work.py    one part that is open, and the file that keeps all of them
"""

from gateway.production.open_work import EndedBatch, OpenPart
from gateway.production.production import Correction, Production, Statement
from gateway.production.rule_watch import LONGEST

__all__ = ["LONGEST", "Correction", "EndedBatch", "OpenPart", "Production", "Statement"]

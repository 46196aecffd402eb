"""What the demonstration says of missing numbers."""

import json

from gateway.demo.arrivals import Arrivals


def test_a_receipt_between_two_events_is_no_missing_number() -> None:
    observer = Arrivals()
    for number, level in enumerate(("_event", "_receipt", "_event"), 1):
        observer.take(f"north/coater-1/{level}", json.dumps({"id": f"log:alarm:{number}"}).encode(), 0.0, 0.0)
    assert (observer.gaps, observer.repeats) == (0, 0)

"""Events that a part under test has told."""

from gateway.core.event import Event


class EventList(list[Event]):
    """Stands for the outbox (`gateway.core.event.EventLog`)."""

    def append_event(self, event: Event) -> None:
        self.append(event)

"""Over what a connection ends is found, whatever it is, and nothing else is left out."""

from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from gateway.kit.suspects import TRIAL, Suspects


class Server:
    """Ends a connection over each of `bad`, and over more than `most` at once; `dead`: over everything."""

    def __init__(self, count: int, bad: Collection[int] = (), most: int = 10**9, silent: bool = False) -> None:
        self.wanted = range(count)
        self.bad, self.most, self.silent, self.dead = set(bad), most, silent, False
        self.suspects: Suspects[int] = Suspects()
        self.now = 0.0
        self.lost = self.connections = self.requests = 0

    def connection(self, scans: int = 3) -> set[int]:
        """What was answered, until the connection ends or there were so many scans."""
        self.connections += 1
        answered: set[int] = set()
        for _ in range(scans):
            self.now += 1.0
            for portion in self.suspects.portions(self.wanted, self.now):
                self.requests += 1
                if self.dead or len(portion) > self.most or self.bad.intersection(portion):
                    expected = self.suspects.ended(
                        portion, "hung up", self.now, alive=bool(answered), silent=self.silent
                    )
                    self.lost += not expected
                    return answered
                self.suspects.answered(portion)
                answered.update(portion)
        return answered

    def until(self, wanted: set[int], most: int) -> None:
        """Connect again and again, at most so many times, until all of this is answered on one connection."""
        for _ in range(most):
            if wanted <= self.connection():
                return
        raise AssertionError(f"not found on {most} connections: {self.suspects.parked}")


def test_one_of_a_thousand_is_found_on_a_dozen_connections_and_costs_two_of_them():
    server = Server(1000, bad=[371])
    server.until(set(range(1000)) - {371}, 20)
    assert server.suspects.parked == {371: "hung up"}
    assert server.lost <= 4


def test_what_is_too_much_at_once_is_asked_for_in_parts_and_nothing_is_left_out():
    server = Server(1000, most=60)
    server.until(set(range(1000)), 8)
    assert not server.suspects.parked


def test_a_connection_that_ends_once_is_chance():
    server = Server(10)
    server.dead = True
    server.connection()
    server.dead = False
    assert server.suspects.portions(server.wanted, server.now) == [tuple(range(10))]


def test_after_a_device_was_silent_for_hours_all_is_asked_for_at_once_again():
    server = Server(100, silent=True)
    server.dead = True
    for _ in range(500):
        server.connection()
    server.dead = False
    server.connection()
    assert server.suspects.portions(server.wanted, server.now) == [tuple(range(100))]


def test_a_trial_is_made_now_and_then_and_is_no_loss():
    server = Server(8, bad=[3])
    server.until(set(range(8)) - {3}, 10)
    lost, connections, begin = server.lost, server.connections, server.now
    while server.now < begin + 20 * TRIAL:
        server.connection(1)
    assert server.lost == lost
    assert 3 in server.suspects.parked
    assert server.connections > connections


@given(
    st.sets(st.integers(0, 39), max_size=6), st.integers(1, 60), st.booleans(), st.permutations(range(40)), st.data()
)
def test_all_but_what_is_to_blame_is_answered_and_all_is_once_it_is_repaired(bad, most, silent, order, data):
    server = Server(40, bad, most, silent)
    server.wanted = order  # type: ignore[assignment]
    server.until(set(range(40)) - bad, 120)
    assert set(server.suspects.parked) <= bad
    server.bad, server.most = set(), data.draw(st.integers(most, 60))
    repaired = server.now
    server.until(set(range(40)), 120)
    assert server.now <= repaired + TRIAL + 3 * 7
    assert not server.suspects.parked

"""Which addresses a person means."""

import pytest

from gateway.cli.discover.ranges import MOST, RangeError, addresses


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["192.168.10.0/30"], ["192.168.10.1", "192.168.10.2"]),
        (["192.168.10.9/30"], ["192.168.10.9", "192.168.10.10"]),
        (["192.168.10.5-7"], ["192.168.10.5", "192.168.10.6", "192.168.10.7"]),
        (["10.0.0.255-10.0.1.1"], ["10.0.0.255", "10.0.1.0", "10.0.1.1"]),
        (["127.0.0.1", "127.0.0.1-2"], ["127.0.0.1", "127.0.0.2"]),
        (["10.0.0.1/32", "fd00::1"], ["10.0.0.1", "fd00::1"]),
        (["localhost"], ["127.0.0.1"]),
    ],
)
def test_ranges_are_read_as_people_write_them(written, meant, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("127.0.0.1", 0))])
    assert addresses(written) == meant


@pytest.mark.parametrize("slip", ["10.0.0.0/8", "0.0.0.0/0", "10.0.0.0-10.255.255.255", "fd00::/64", "192.168.0.0/21"])
def test_a_slip_that_means_half_the_network_is_refused(slip):
    with pytest.raises(RangeError, match=str(MOST)):
        addresses([slip])


def test_many_small_ranges_have_the_same_bound_together():
    with pytest.raises(RangeError, match=str(MOST)):
        addresses([f"10.0.{third}.0/24" for third in range(5)])


@pytest.mark.parametrize(
    "nonsense", ["192.168.10.0/33", "192.168.10.9-5", "1.2.3.4-999", "no such host", "", "10.0.0.0/a"]
)
def test_what_is_no_range_is_refused_with_the_way_to_write_one(nonsense):
    with pytest.raises(RangeError, match=r"192\.168\.10"):
        addresses([nonsense])

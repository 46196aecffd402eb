"""The simulated coater behaves like a machine: repeatable, in its bounds, and clearly ill when a nozzle clogs."""

from gateway.demo.coater import CLOG_SECONDS, TAGS, Coater


def run(coater: Coater, seconds: float, dt: float = 1.0) -> dict[str, float]:
    for _ in range(round(seconds / dt)):
        coater.step(dt)
    return coater.state()


def test_same_seed_and_steps_give_the_same_values_and_another_seed_others():
    assert run(Coater(7), 120) == run(Coater(7), 120) != run(Coater(8), 120)


def test_state_does_not_change_between_steps():
    coater = Coater(1)
    assert coater.state() == coater.state()
    assert list(coater.state()) == list(TAGS)


def test_temperatures_are_those_of_a_coater_from_the_first_moment():
    coater = Coater(3)
    for _ in range(1800):
        state = coater.state()
        assert 58 < state["inlet_temp"] < 62
        assert 43 < state["exhaust_temp"] < 49
        assert state["bed_temp"] < state["exhaust_temp"]
        coater.step(1)


def test_a_clogged_nozzle_lowers_the_spray_and_warms_the_bed():
    healthy, ill = Coater(5), Coater(5, clog_at=10)
    good, bad = run(healthy, 10 + CLOG_SECONDS + 60), run(ill, 10 + CLOG_SECONDS + 60)
    assert ill.clogged == 1
    assert bad["spray_rate"] < 0.6 * good["spray_rate"]
    assert bad["pump_current"] > 1.3 * good["pump_current"]
    assert bad["atomizing_pressure"] > good["atomizing_pressure"] + 0.15
    assert bad["exhaust_temp"] > good["exhaust_temp"] + 3


def test_cleaning_brings_the_spray_back():
    coater = Coater(5)
    run(coater, 5)
    coater.clog()
    assert run(coater, 60)["spray_rate"] < 90
    coater.clean()
    assert run(coater, 1)["spray_rate"] > 130


def test_larger_steps_lead_to_the_same_temperatures():
    fine, coarse = run(Coater(2), 600, 0.1), run(Coater(2), 600, 1.0)
    assert abs(fine["bed_temp"] - coarse["bed_temp"]) < 2

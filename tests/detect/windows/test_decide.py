"""n of m raises, k of l clears, and what is undecided does neither."""

import numpy as np

from gateway.detect.models.card import Persistence
from gateway.detect.windows.n_of_m import NofM


def run(pattern, raise_at=(2, 3), clear_at=(3, 3), hold=0):
    """Feed one asset: "+" above, "-" below, "?" undecided; gives "R" and "C" where it raises and clears."""
    decisions = NofM(1, Persistence(*raise_at), Persistence(*clear_at), hold)
    told = ""
    for sign in pattern:
        raised, cleared = decisions.tick(np.array([0]), np.array([sign == "+"]), np.array([sign == "-"]))
        told += "R" if len(raised) else "C" if len(cleared) else "."
    return told


def test_n_of_m_raise_once_and_k_of_l_clear_once():
    assert run("-+-+++---") == "...R....C"
    assert run("+++---+++", (3, 3), (2, 2)) == "..R.C...R"


def test_single_outliers_raise_nothing():
    assert run("+--+--+--+--") == "." * 12


def test_undecided_ticks_neither_raise_nor_clear():
    assert run("+?????+") == "......."
    assert run("++??????") == ".R......"
    assert run("++-?-?--?--") == ".R........."
    assert run("++---") == ".R..C"


def test_a_least_duration_must_be_served_without_a_break():
    assert run("++++++", (2, 2), (1, 1), hold=3) == "....R."
    assert run("++++-+++++", (2, 2), (1, 1), hold=3) == ".........R"
    assert run("++-++-++-+", (2, 3), (3, 3), hold=3) == "....R....."


def test_the_longest_persistence_is_64_ticks():
    assert run("+" * 64 + "-" * 64, (64, 64), (64, 64)) == "." * 63 + "R" + "." * 63 + "C"


def test_forgetting_drops_the_ticks_but_not_what_is_raised():
    decisions = NofM(2, Persistence(2, 2), Persistence(1, 1))
    both, no, yes = np.array([0, 1]), np.array([False, False]), np.array([True, True])
    decisions.tick(np.array([0]), yes[:1], no[:1])
    decisions.forget(both)
    assert decisions.tick(both, yes, no)[0].size == 0
    assert decisions.tick(both, yes, no)[0].tolist() == [0, 1]
    decisions.forget(both)
    assert decisions.active.tolist() == [True, True]
    assert decisions.tick(both, no, np.array([False, True]))[1].tolist() == [1]

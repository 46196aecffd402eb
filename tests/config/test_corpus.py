"""What technicians write is told at its line, with its fix, all at once, and with nothing that misleads (corpus.py)."""

from tests.config.corpus import CASES, all_judged


def test_broken_configurations_are_told_with_line_and_fix_and_nothing_else() -> None:
    verdicts = all_judged()
    due = sum(len(each.case.due) for each in verdicts)
    weak = [
        f"{each.case.name}: {'; '.join(map(str, each.said)) or 'nothing is told'}"
        for each in verdicts
        if min(each.line, each.fix) < len(each.case.due) or each.misleading
    ]
    assert sum(each.line for each in verdicts) >= 0.98 * due, weak
    assert sum(each.fix for each in verdicts) >= 0.95 * due, weak
    assert [each.case.name for each in verdicts if each.misleading] == [], weak


def test_the_corpus_is_large_and_each_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in CASES]
    assert len(names) >= 110
    assert len(set(names)) == len(names)

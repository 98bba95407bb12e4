"""Tiles with their exact answers, for authors of other simulators: the cases, and a judge of answers to them."""

from circuitmem.study.conformance.groups import GROUPS, Group
from circuitmem.study.conformance.judge import Verdict, judge
from circuitmem.study.conformance.suite import ConformanceCase, cases, solve_case, suite_record

__all__ = ["GROUPS", "ConformanceCase", "Group", "Verdict", "cases", "judge", "solve_case", "suite_record"]

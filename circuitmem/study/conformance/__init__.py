"""Tiles with their exact answers, for who writes another simulator: what it is asked, and whether it is right."""

from circuitmem.study.conformance.groups import GROUPS, Group
from circuitmem.study.conformance.judge import Verdict, judge
from circuitmem.study.conformance.suite import ConformanceCase, cases, solve_case, suite_record

__all__ = ["GROUPS", "ConformanceCase", "Group", "Verdict", "cases", "judge", "solve_case", "suite_record"]

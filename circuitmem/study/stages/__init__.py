"""The stages of ``circuitmem validate``: ``table.py`` lists them in the order in which they run."""

from circuitmem.study.stages.own import own_stages
from circuitmem.study.stages.stage import Stage, StageContext, StageResult, apart
from circuitmem.study.stages.table import STAGES

__all__ = ["STAGES", "Stage", "StageContext", "StageResult", "apart", "own_stages"]

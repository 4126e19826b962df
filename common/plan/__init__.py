"""A plan of a training, made from a cohort: every setting that the data decide, with its reason."""

from common.plan.decision import Decision
from common.plan.fingerprint import Fingerprint
from common.plan.machine import Machine, find_machine
from common.plan.make import Plan, make_plan
from common.plan.reading import read_fingerprint
from common.plan.recipe import Recipe
from common.plan.write import check_target, plan_text, write_plan

__all__ = [
    "Decision",
    "Fingerprint",
    "Machine",
    "Plan",
    "Recipe",
    "check_target",
    "find_machine",
    "make_plan",
    "plan_text",
    "read_fingerprint",
    "write_plan",
]

"""What a build would do and cost, told before it runs, and held against what it took.

dry_run.py    `build --dry-run` and `--preview`
expecting.py    stages that stand, run or may run; rates.py: what they take on this machine
planning.py    the command `plan`
building.py    a build that is measured, and compared with its plan; meter.py, memory.py: how
"""

from infimed_data.forecast.building import build
from infimed_data.forecast.dry_run import forecast, preview
from infimed_data.forecast.planning import as_json, as_text, make_plan

__all__ = ["as_json", "as_text", "build", "forecast", "make_plan", "preview"]

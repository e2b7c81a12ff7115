"""The stage that asks teachers: which rows go to which pass, their outcomes in shards, and what a build takes of them.

inputs.py    replayed files, reviewers' marks, and who may see which rows, before anything is asked
jobs.py      which rows each pass takes, and the stage that keeps its outcomes
problems.py  those rows as problems, and their pictures
asking.py    all teachers of a run by the manifest's names, with one budget
running.py   passes run, a shard at a time
shards.py    outcomes on disk
taught.py    what decisions need of all that
tables.py    the tables of a build, and what its lock says of them
forecast.py  what a run would ask and cost; preview.py: the same from a few rows that are really asked about
"""

from infimed_data.generate.forecast import JobForecast, forecast_each, forecast_jobs
from infimed_data.generate.inputs import TeacherMarks, find_replays, read_reviews, refused_teachers
from infimed_data.generate.jobs import Job, Origin, make_jobs
from infimed_data.generate.preview import preview_jobs
from infimed_data.generate.running import Result, Setting, run_jobs
from infimed_data.generate.tables import generate_facts, write_generated
from infimed_data.generate.taught import Taught, collect, unused_marks

__all__ = [
    "Job",
    "JobForecast",
    "Origin",
    "Result",
    "Setting",
    "Taught",
    "TeacherMarks",
    "collect",
    "find_replays",
    "forecast_each",
    "forecast_jobs",
    "generate_facts",
    "make_jobs",
    "preview_jobs",
    "read_reviews",
    "refused_teachers",
    "run_jobs",
    "unused_marks",
    "write_generated",
]

"""Teachers: models that are asked for reasoning, behind a server, in this process, or as finished answers in a file.

contract.py     what is asked and what comes back
settings.py     what a manifest says about a teacher and its budget
asker.py        asking: remembered answers first, one request for equal questions, kept before used
backends.py     the ways to ask: openai.py (with gate, transport, http1, refusals, replies), vllm.py, replay.py
cache/          the request cache
keys.py         what an answer is remembered under
budget.py       what a run may spend
estimate.py     what a run would cost
private.py      whether a server is in the private network
"""

from infimed_data.teachers.asker import Asker, Counts, ask_all, open_teacher
from infimed_data.teachers.backends import BACKENDS
from infimed_data.teachers.budget import Purse
from infimed_data.teachers.cache import Answer, RequestCache
from infimed_data.teachers.contract import Ask, Completion, ImagePart, Message, Part, Prompt, Sampling, TextPart
from infimed_data.teachers.estimate import Estimate, Estimator, estimate
from infimed_data.teachers.keys import asked, request_key
from infimed_data.teachers.private import why_public
from infimed_data.teachers.replay import export_cache
from infimed_data.teachers.settings import Budget, Price, Teacher, VllmEngine

__all__ = [
    "BACKENDS",
    "Answer",
    "Ask",
    "Asker",
    "Budget",
    "Completion",
    "Counts",
    "Estimate",
    "Estimator",
    "ImagePart",
    "Message",
    "Part",
    "Price",
    "Prompt",
    "Purse",
    "RequestCache",
    "Sampling",
    "Teacher",
    "TextPart",
    "VllmEngine",
    "ask_all",
    "asked",
    "estimate",
    "export_cache",
    "open_teacher",
    "request_key",
    "why_public",
]

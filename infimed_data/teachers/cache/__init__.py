"""The request cache: every answer that was ever paid for, durable before it is used, shared by any number of builds.

answers.py      what is remembered of one answer
frames.py       how records lie in a segment file, and how a damaged one is read
index.py        key to place, in about 20 bytes a record
store.py        the folder of segments: look-ups, group commits, other processes' records
"""

from infimed_data.teachers.cache.answers import Answer
from infimed_data.teachers.cache.store import Places, RequestCache

__all__ = ["Answer", "Places", "RequestCache"]

"""Publishes builds on the Hub.

terms.py      what may not be published, and why
files.py      which files go there: of a whole build, or ids, digests and the texts that licenses let through
pushing.py    makes the repository hold exactly these files, in one commit, with a tag
"""

from infimed_data.hub.pushing import push
from infimed_data.hub.terms import closed_sources

__all__ = ["closed_sources", "push"]

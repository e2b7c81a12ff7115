"""A build's outputs in the files of other trainers, each checked by reading it back.

rows.py     a build's rows one by one, with `<image>` where their pictures stand
formats.py  what each trainer wants of a row
writing.py  the files: JSON lines, Parquet, pictures
checking.py what every trainer trips over: tags, pictures, tokens
"""

from infimed_data.export.formats import FORMATS
from infimed_data.export.writing import export

__all__ = ["FORMATS", "export"]

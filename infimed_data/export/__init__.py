"""A build's outputs in the files of other trainers, each checked by reading it back.

rows.py     a build's rows one by one, with `<image>` where their pictures stand
formats.py  what each trainer wants of a row
writing.py  the files: JSON lines, Parquet, pictures
checking.py what every trainer trips over: tags, pictures, tokens

tests/benchmarks/export_loaders.py gives an export to the trainer's own loader. That of verl 0.9.1, llamafactory 0.9.5,
ms-swift 4.6.0, verifiers 0.4.0 and 0.1.6 read every row and picture. EasyR1 and VLM-R1 are in no package index: the
source of their loaders was read (EasyR1 0243608: RLHFDataset, bytes and tags as here, though at that commit rows
without pictures reach the processor with an empty list; VLM-R1 e0e622f: grpo_jsonl.py, pictures before the text).
"""

from infimed_data.export.formats import FORMATS
from infimed_data.export.writing import export

__all__ = ["FORMATS", "export"]

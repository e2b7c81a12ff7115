"""Teachers: models that are asked for reasoning, behind a server, in this process, or as finished answers in a file.

contract.py     what is asked and what comes back
"""

from infimed_data.teachers.contract import Ask, Completion, ImagePart, Message, Part, Prompt, Sampling, TextPart

__all__ = ["Ask", "Completion", "ImagePart", "Message", "Part", "Prompt", "Sampling", "TextPart"]

"""Training data: generate files of examples, and check whether a job can train on a JSONL file."""

from __future__ import annotations

import json
from typing import Any

MIN_EXAMPLES = 10
KEYS = {  # by method: the alternative sets of keys that an example may have
    "supervised": (("messages",), ("prompt", "completion")),
    "dpo": (("input", "preferred_output", "non_preferred_output"),),
    "reinforcement": (("messages",),),
}


def make_examples(examples: int, method: str, broken: int = 0) -> bytes:
    """Return a JSONL file with ``examples`` examples (fewer than 100,000) for a method.

    Equal arguments return equal files, and all lines have the same length. In the line with the number ``broken``,
    counted from 1, a key is misspelled. If ``broken`` is 0, every key is right.
    """
    question = '{"role": "user", "content": "question %05d"}'
    answer = '{"role": "assistant", "content": "answer %05d"}'
    if method == "dpo":
        outputs = f'"preferred_output": [{answer}], "non_preferred_output": [{answer}]'
        line = f'{{"input": {{"messages": [{question}]}}, {outputs}}}\n'
    else:
        line = f'{{"messages": [{question}, {answer}]}}\n'
    places = line.count("%05d")
    lines = [line % ((number,) * places) for number in range(1, examples + 1)]
    if broken:
        key = KEYS[method][0][0]
        lines[broken - 1] = lines[broken - 1].replace(f'"{key}"', f'"{key[:-2]}{key[-1]}{key[-2]}"', 1)
    return "".join(lines).encode()


def inspect_examples(content: bytes, method: str, param: str) -> tuple[int, dict[str, Any] | None]:
    """Return the number of examples, and the error that makes a job with this file fail (None if no error does)."""
    examples = 0
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            example = json.loads(line)
        except ValueError:
            return examples, _invalid(param, f"Invalid file format. Line {number} is not valid JSON")
        keys = KEYS[method]
        if not isinstance(example, dict) or not any(all(key in example for key in form) for form in keys):
            return examples, _invalid(param, f"Invalid file format. Example {number} is missing key {keys[0][0]!r}")
        examples += 1
    if examples < MIN_EXAMPLES:
        word = param.replace("_", " ").capitalize()
        message = f"{word} has {examples} example(s), but must have at least {MIN_EXAMPLES} examples"
        return examples, {"code": "invalid_n_examples", "message": message, "param": param}
    return examples, None


def _invalid(param: str, detail: str) -> dict[str, Any]:
    message = f"The job failed due to an invalid {param.replace('_', ' ')}. {detail}"
    return {"code": f"invalid_{param}", "message": message, "param": param}

"""Reads the file of waiting events that versions up to November 2026 wrote: lines of JSON.

A line is `{"n": 7, "event": {...}}` for an event, or `{"delivered": 7}` once the events up to number 7 were delivered.
"""

import json
from pathlib import Path


def read_jsonl(file: Path) -> list[str]:
    """Return the events that wait in such a file, as JSON.

    Lines that a failing disk has damaged are skipped, as is a last line that was not completely written.
    """
    events, delivered = [], 0
    for line in file.read_bytes().split(b"\n")[:-1]:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        match value:
            case {"n": int(number), "event": dict(event)}:
                events.append((number, json.dumps(event)))
            case {"delivered": int(number)}:
                delivered = number
    return [event for number, event in events if number > delivered]

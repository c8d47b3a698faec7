"""Requests and answers, a line of JSON each: what is there, prepare a contestant, run it, measure its memory.

Standard library and NumPy.

    {"do": "describe"}                                          -> {"versions": {…}, "threads": 2}
    {"do": "prepare", "contestant": "neuron.grid", "problem": "0", "threads": 1, "options": {…}}    -> {"prepared": 0}
    {"do": "run", "prepared": 0, "answer": "0"}                 -> {"seconds": …, "core_seconds": …}
    {"do": "memory", "prepared": 0}                             -> {"peak_bytes": …}

A problem is `NAME.json` and `NAME.npz` in the folder that the program was started with; an answer is `NAME.npz` there,
of one array or several. Whatever raises is an answer too: {"error": "RuntimeError: …"}.
"""

import json
import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from memory import peak_bytes

# Arrays by name, or what makes one of them, called when the clock has stopped.
Measure = Callable[[], Mapping[str, np.ndarray | Callable[[], np.ndarray]]]


@dataclass(frozen=True)
class Problem:
    """What was written for all contestants to read."""

    about: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def under(self, name: str) -> dict[str, np.ndarray]:
        """The arrays "name/…", by the rest of their names."""
        start = f"{name}/"
        return {key.removeprefix(start): array for key, array in self.arrays.items() if key.startswith(start)}


@dataclass(frozen=True)
class Program:
    """What this process can do.

    contestants: by name, (problem, **options) -> what is measured. What they do first is not timed.
    describe:    versions and the like.
    set_threads: called before whatever a contestant does, with as many as the contestant was prepared with.
    """

    contestants: Mapping[str, Callable[..., Measure]]
    describe: Callable[[], dict[str, Any]]
    set_threads: Callable[[int], None]


def answers_only() -> TextIO:
    """Where the answers go: standard output, of which this takes hold; what anybody prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def serve(program: Program, folder: Path, requests: TextIO, answers: TextIO) -> None:
    """Answer until there are no more requests."""
    prepared: list[tuple[int, Measure]] = []
    for line in requests:
        try:
            answer = _answer(program, folder, prepared, json.loads(line))
        except Exception as error:  # a peer may raise anything: it is reported to whom asked
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"}
        print(json.dumps(answer), file=answers, flush=True)


def _answer(program: Program, folder: Path, prepared: list[tuple[int, Measure]], request: Any) -> dict[str, Any]:
    match request["do"]:
        case "describe":
            return program.describe()
        case "prepare":
            make = program.contestants[request["contestant"]]
            program.set_threads(request["threads"])
            measure = make(_read(folder / request["problem"]), **request["options"])
            prepared.append((request["threads"], measure))
            return {"prepared": len(prepared) - 1}
        case "run" | "memory" as what:
            threads, measure = prepared[request["prepared"]]
            program.set_threads(threads)
            if what == "memory":
                return {"peak_bytes": peak_bytes(measure)}
            return _measured(measure, folder / f"{request['answer']}.npz")
    raise ValueError(f"there is nothing to do for {request['do']!r}")


def _read(path: Path) -> Problem:
    with np.load(path.with_suffix(".npz")) as arrays:
        return Problem(json.loads(path.with_suffix(".json").read_text()), dict(arrays))


def _measured(measure: Measure, path: Path) -> dict[str, Any]:
    start, cores = time.perf_counter(), time.process_time()
    arrays = measure()
    seconds, core_seconds = time.perf_counter() - start, time.process_time() - cores
    np.savez(path, **{name: array() if callable(array) else array for name, array in arrays.items()})
    return {"seconds": seconds, "core_seconds": core_seconds}

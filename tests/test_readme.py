"""The README is a program: read from top to bottom in an empty folder, its Python runs and so do its commands.

Blocks tagged `python` run in one namespace. Of blocks tagged `sh` or `console`, the lines that begin with `landscape `
run, in between and in the same folder; a block tagged `sh no-test` does not. The folder holds a copy of `figures/`.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

TAGS = ("python", "sh", "console", "sh no-test", "text", "bibtex", "", None)  # None: outside of blocks
PRELUDE = "import subprocess; _run = lambda command: subprocess.run(command, check=True, stdin=subprocess.DEVNULL)"


def program(markdown: str) -> str:
    """The Python program that `markdown` tells: line n of it does what line n of the text says, or is empty."""
    lines, tag, command = [], None, ""
    for line in markdown.split("\n"):
        fence, told = re.fullmatch(r"\s*```+\s*(.*?)\s*", line), ""
        if fence:
            tag = fence[1] if tag is None else None
            assert tag in TAGS, f"a block is tagged {tag!r}, and whether it runs is known for {TAGS} only"
        elif tag == "python":
            told = line
        elif tag in ("sh", "console"):
            command += line.removesuffix("\\")
            if not line.endswith("\\"):  # else the command goes on in the next line
                told, command = _call(command), ""
        lines.append(told)
    assert tag is None, "a block of code is not closed"
    return "\n".join(lines)


def _call(line: str) -> str:
    """The Python that runs a line of shell, or nothing unless the line is a `landscape` command."""
    line = line.removeprefix("$ ")
    if not line.startswith("landscape "):
        return ""
    script = Path(sys.executable).with_name("landscape")
    command = [str(script)] if script.exists() else [sys.executable, "-m", "landscape"]
    return f"_run({[*command, *shlex.split(line, comments=True)[1:]]!r})"


def execute(markdown: str, folder: Path) -> subprocess.CompletedProcess:
    """Run the program of `markdown` in `folder`; a traceback names the line of the text."""
    runner = folder / "_run_readme.py"
    source = f"{PRELUDE}\nexec(compile({program(markdown)!r}, 'README.md', 'exec'))\n"
    runner.write_text(source, "utf-8")
    environment = os.environ | {"MPLBACKEND": "Agg", "PYTHONUTF8": "1", "PYTHONPATH": str(ROOT)}
    environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # its numbers are not examined: a quarter less to compile
    command = [sys.executable, str(runner)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


def test_the_readme_runs_from_top_to_bottom(tmp_path):
    shutil.copytree(ROOT / "figures", tmp_path / "figures", ignore=shutil.ignore_patterns("out", "__pycache__"))
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "_run(" in program(readme) and "import landscape" in program(readme), "nothing of the README was found"
    done = execute(readme, tmp_path)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}"


TEXT = """Text with `code` and $ landscape x.

```python
a = 1
with open("made.txt", "w") as file:
    file.write(str(a + \\
                   1))
```

```sh
make figures
landscape surface "b c" \\
    --flag  # remark
```

```sh no-test
landscape never
```

```console
$ landscape show it
shown
```

```python
b = open("made.txt").read() + str(a)
```
"""


def test_a_text_becomes_a_program_line_by_line(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/none/python")
    lines = program(TEXT).split("\n")
    assert len(lines) == len(TEXT.split("\n"))
    told = {number: line for number, line in enumerate(lines, start=1) if line}
    assert told == {
        4: "a = 1",
        5: 'with open("made.txt", "w") as file:',
        6: "    file.write(str(a + \\",
        7: "                   1))",
        13: "_run(['/none/python', '-m', 'landscape', 'surface', 'b c', '--flag'])",
        21: "_run(['/none/python', '-m', 'landscape', 'show', 'it'])",
        26: 'b = open("made.txt").read() + str(a)',
    }


def test_python_blocks_share_names_and_the_folder(tmp_path):
    python = re.sub(r"```(sh|console).*?```", "", TEXT, flags=re.DOTALL)
    done = execute(python + "\n```python\nprint(b)\n```\n", tmp_path)
    assert (done.returncode, done.stdout) == (0, "21\n"), done.stderr


def test_a_failing_line_is_named_by_its_number_in_the_text(tmp_path):
    done = execute("Two\n\n```python\na = 1\na = b\n```\n", tmp_path)
    assert done.returncode == 1
    assert 'File "README.md", line 5' in done.stderr and "NameError: name 'b' is not defined" in done.stderr


def test_a_failing_command_fails(tmp_path):
    done = execute("```sh\nlandscape no-such-command\n```\n", tmp_path)
    assert done.returncode == 1
    assert "CalledProcessError" in done.stderr and "no-such-command" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```python\na = 1\n", "a block of code is not closed"),
        ("```python no-test\na = 1\n```\n", "a block is tagged 'python no-test'"),
        ("```bash\nlandscape show it\n```\n", "a block is tagged 'bash'"),
    ],
)
def test_no_block_is_passed_over_in_silence(text, message):
    with pytest.raises(AssertionError, match=message):
        program(text)

"""Calls the command line tool `quiesce`."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Union

# Exit codes of `quiesce run`.
_OK, _UNEXPECTED = 0, 1


class NotClean(AssertionError):
    """The program doesn't exit cleanly. The message is the tool's report; `result` is the program's part of the JSON report."""

    def __init__(self, report: str, result: Mapping[str, Any]) -> None:
        super().__init__(report)
        self.result = result


class TesterError(RuntimeError):
    """The tool is missing, was called wrongly, or couldn't do its work. The message says which."""

    __test__ = False  # pytest must not collect it as a test class


def expect_clean_exit(
    command: Union[str, Sequence[str]],
    *,
    below: Union[str, float, None] = None,
    runs: Optional[int] = None,
    confidence: Union[str, float, None] = None,
    allow_failures: Optional[int] = None,
    timeout: Union[str, float, None] = None,
    expect: Optional[str] = None,
    quiet_stderr: bool = False,
    jobs: Optional[int] = None,
    perturb: Optional[str] = None,
    seed: Optional[int] = None,
    name: Optional[str] = None,
    bail: Optional[int] = None,
    strict: bool = False,
    allow_threads: Sequence[str] = (),
    witness: bool = True,
    timeline: bool = False,
    signatures: bool = True,
    ignore_output: Sequence[str] = (),
    valgrind: bool = False,
    asan: bool = False,
    cwd: Union[str, "os.PathLike[str]", None] = None,
    env: Optional[Mapping[str, str]] = None,
) -> Mapping[str, Any]:
    """Runs a program many times. Returns its part of the JSON report if it exits cleanly.

    `command` is the program and its arguments, or one string that is split as a shell would split it. `below` is the
    failure rate to show ("1%" or 0.01, which takes 299 runs at the default `confidence` of 95 %). Without it, `runs`
    (default 20) must end as expected. `timeout` applies to each run: seconds, or text such as "500ms". `env` is added
    to this process's environment. The others are the tool's flags with the same names; `allow_threads` and
    `ignore_output` are lists.

    Raises NotClean when the program doesn't exit cleanly, and TesterError when the tester couldn't find that out.
    """
    options = {
        "--until": below,
        "--runs": runs,
        "--confidence": confidence,
        "--allow-failures": allow_failures,
        "--timeout": _duration(timeout),
        "--expect": expect,
        "--jobs": jobs,
        "--perturb": perturb,
        "--seed": seed,
        "--name": name,
        "--bail": bail,
    }
    flags = {
        "--quiet-stderr": quiet_stderr,
        "--strict": strict,
        "--no-witness": not witness,
        "--timeline": timeline,
        "--no-signatures": not signatures,
        "--valgrind": valgrind,
        "--asan": asan,
    }
    __tracebackhide__ = True  # a failed test shows its own line, not this function
    words = [*_tool(cwd), "run", "--json", "-"]
    for flag, value in options.items():
        if value is not None:
            words += [flag, _text(value)]
    for flag, values in (("--allow-thread", allow_threads), ("--ignore-output", ignore_output)):
        for value in values:
            words += [flag, value]
    words += [flag for flag, wanted in flags.items() if wanted]
    words += ["--", *(shlex.split(command) if isinstance(command, str) else command)]
    done = _run(words, cwd, {**os.environ, **(env or {})})
    if done.returncode not in (_OK, _UNEXPECTED):
        raise TesterError(done.stderr.strip() or f"quiesce ended with {done.returncode}")
    result = json.loads(done.stdout)["scenarios"][0]
    if done.returncode == _UNEXPECTED:
        raise NotClean(done.stderr.strip(), result)
    return result


def _run(words, cwd, env) -> "subprocess.CompletedProcess[str]":
    __tracebackhide__ = True
    try:
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise TesterError(f"can't start {words[0]}: {error}") from error
    with process:
        try:
            stdout, stderr = process.communicate()
        except BaseException:
            # The test is interrupted. SIGTERM makes the tool end what it has started.
            process.terminate()
            raise
    return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)


def _tool(cwd) -> Sequence[str]:
    __tracebackhide__ = True
    named = os.environ.get("QUIESCE_COMMAND")
    if named:
        return shlex.split(named)
    start = Path(cwd or ".").resolve()
    for directory in (start, *start.parents):
        local = directory / "node_modules" / ".bin" / "quiesce"
        if local.exists():
            return [str(local)]
    found = shutil.which("quiesce")
    if found:
        return [found]
    raise TesterError("quiesce is not installed: npm install --save-dev quiesce, or name it in QUIESCE_COMMAND")


def _duration(value: Union[str, float, None]) -> Optional[str]:
    """Numbers are seconds, as in Python's own timeouts."""
    return value if value is None or isinstance(value, str) else f"{round(value * 1000)}ms"


def _text(value) -> str:
    return f"{value:.12f}".rstrip("0") if isinstance(value, float) else str(value)

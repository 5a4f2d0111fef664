"""The pytest plugin: the fixture `expect_clean_exit`."""

from typing import Any, Callable, Mapping

import pytest

from . import tester


@pytest.fixture
def expect_clean_exit(request: pytest.FixtureRequest) -> Callable[..., Mapping[str, Any]]:
    """Runs a program many times and fails the test when it doesn't exit cleanly: see `pytest_quiesce.expect_clean_exit`."""

    def expect(command: Any, **options: Any) -> Mapping[str, Any]:
        __tracebackhide__ = True
        options.setdefault("cwd", str(request.config.rootpath))
        try:
            return tester.expect_clean_exit(command, **options)
        except tester.NotClean as failure:
            message = str(failure)
        pytest.fail(message, pytrace=False)

    return expect

"""The shutdown tester quiesce, for Python's tests."""

from .tester import NotClean, TesterError, expect_clean_exit

__all__ = ["NotClean", "TesterError", "expect_clean_exit"]

"""The shutdown tester quiesce, for tests in Python."""

from .tester import NotClean, TesterError, expect_clean_exit

__all__ = ["NotClean", "TesterError", "expect_clean_exit"]

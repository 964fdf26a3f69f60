"""Runs one module of Python's own test suite and writes each test's outcome as a line of JSON.

usage: python_suite.py OUTPUT MODULE [TEST-ID ...]
"""

import importlib
import inspect
import json
import os
import sys
import textwrap
import unittest


def main():
    output, name, *only = sys.argv[1:]
    from test import support

    support.use_resources = []  # no network, no tests that need gigabytes: as regrtest does
    support.verbose = 0
    module = importlib.import_module("test." + name)
    mend(module)
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    if only:
        suite = unittest.TestSuite(pick(suite, set(only)))
    with open(output, "w") as file:
        unittest.TextTestRunner(resultclass=lambda *a: Result(file, *a), verbosity=0).run(suite)


def mend(module):
    """Brings what is a coin here to what later versions of Python have.

    test_stress_modifying_handlers raises 100 signals while another thread exchanges the handler for
    SIG_IGN and back, and wants one of them to have been received. When raising takes longer than the
    other thread needs to wake up, few are: natively, with 200 us more for each tgkill (strace's
    delay_enter), none in 20 of 40 runs. Python goes on until there is one since 3.11.5.
    """
    stress = getattr(module, "StressTest", None)
    name = "test_stress_modifying_handlers"
    if not hasattr(stress, name):
        return
    source = textwrap.dedent(inspect.getsource(getattr(stress, name)))
    ends, lasts = "num_sent_signals < 100:", "num_sent_signals < 100 or num_received_signals < 1:"
    if ends in source:
        scope = {}
        exec(compile(source.replace(ends, lasts), module.__file__, "exec"), vars(module), scope)
        setattr(stress, name, scope[name])


def pick(suite, wanted):
    """The chosen tests, in suites of their classes so that class and module fixtures run."""
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from pick(item, wanted)
        elif item.id() in wanted:
            yield item


class Result(unittest.TextTestResult):
    def __init__(self, file, *args):
        super().__init__(*args)
        self.file = file

    def put(self, test, outcome, detail=""):
        self.file.write(json.dumps([test.id(), outcome, detail]) + "\n")
        self.file.flush()

    def addSuccess(self, test):
        super().addSuccess(test)
        self.put(test, "ok")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        # Names of files have the process's number in them.
        self.put(test, "skip: " + reason.replace("_%d_" % os.getpid(), "_PID_"))

    def addError(self, test, error):
        super().addError(test, error)
        self.put(test, "error", self._exc_info_to_string(error, test))

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.put(test, "fail", self._exc_info_to_string(error, test))

    def addExpectedFailure(self, test, error):
        super().addExpectedFailure(test, error)
        self.put(test, "expected failure")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.put(test, "unexpected success")

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.put(subtest, "sub-test failed", self._exc_info_to_string(error, test))


if __name__ == "__main__":
    main()

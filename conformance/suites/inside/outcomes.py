"""A pytest plugin in the suites' own environments: one line of JSON for each test and its outcome."""

import json
import os


class Outcomes:
    """Records the worst of setup, call and teardown; of a test that is run again the last run counts."""

    ORDER = ("passed", "skipped", "failed")

    def __init__(self, path):
        self.path = path
        self.worst = {}
        self.text = {}

    def pytest_runtest_logreport(self, report):
        test = report.nodeid
        if report.when == "setup":
            self.worst[test], self.text[test] = "passed", ""
        if report.outcome in self.ORDER:
            if self.ORDER.index(report.outcome) > self.ORDER.index(self.worst[test]):
                self.worst[test] = report.outcome
            if report.outcome == "failed":
                crash = getattr(report.longrepr, "reprcrash", None)
                self.text[test] = str(getattr(crash, "message", report.longrepr))[:400]
        if report.when == "teardown":
            self.note(test)

    def pytest_collectreport(self, report):
        if report.failed:
            self.worst[report.nodeid], self.text[report.nodeid] = "failed", str(report.longrepr)[-400:]
            self.note(report.nodeid)

    def note(self, test):
        with open(self.path, "a", encoding="utf-8") as out:
            out.write(json.dumps({"test": test, "outcome": self.worst[test], "why": self.text[test]}) + "\n")


def pytest_configure(config):
    config.pluginmanager.register(Outcomes(os.environ["SUITES_OUTCOMES"]), "suites-outcomes")


def pytest_collection_modifyitems(config, items):
    parts = json.loads(os.environ.get("SUITES_LEFT_OUT", "[]"))
    wanted = set(json.loads(os.environ.get("SUITES_WANTED", "[]")))
    keep, drop = [], []
    for item in items:
        out = any(part in item.nodeid for part in parts) or (wanted and item.nodeid not in wanted)
        (drop if out else keep).append(item)
    items[:] = keep
    if drop:
        config.hook.pytest_deselected(items=drop)

"""Makes statistics.json, the figures that statistics.test.ts compares with, from SciPy:

    python3 -m venv /tmp/scipy && /tmp/scipy/bin/pip install scipy==1.17.1
    /tmp/scipy/bin/python packages/quiesce/test/reference/statistics.py > packages/quiesce/test/reference/statistics.json
"""

import json

import scipy
from scipy.stats import binom, binomtest, fisher_exact

COUNTS = [(0, 1), (0, 5), (0, 20), (0, 300), (0, 10_000), (1, 60), (8, 60), (3, 20), (19, 20), (20, 20),
          (1, 4742), (5, 10_000), (137, 1_000), (9_999, 10_000)]
TABLES = [((1, 60), (0, 60)), ((8, 60), (0, 60)), ((0, 60), (8, 60)), ((4, 60), (0, 60)), ((13, 100), (2, 100)),
          ((50, 100), (50, 100)), ((0, 20), (0, 20)), ((20, 20), (0, 20)), ((3, 7), (1, 11)),
          ((31, 1_500), (12, 1_400)), ((400, 5_000), (300, 5_000)), ((1, 3), (0, 10_000)), ((120, 10_000), (80, 10_000))]
NEEDS = [(0.5, 0.95, 0), (0.13, 0.95, 0), (0.05, 0.95, 0), (0.02, 0.95, 0), (0.01, 0.95, 0), (0.001, 0.95, 0),
         (0.0003, 0.95, 0), (0.01, 0.99, 0), (0.01, 0.95, 1), (0.01, 0.95, 3), (0.001, 0.99, 2), (0.1, 0.9, 10)]


def needed(rate, confidence, failures):
    n = failures + 1
    step = 1 << 20
    while step:
        if binom.cdf(failures, n + step - 1, rate) > 1 - confidence:
            n += step
        else:
            step >>= 1
    return n


def bounds(failed, runs):
    two = binomtest(failed, runs).proportion_ci(0.95, "exact")
    return {
        "failed": failed, "runs": runs, "lower": two.low, "upper": two.high,
        "upperBound": binomtest(failed, runs, alternative="less").proportion_ci(0.95, "exact").high,
        "lowerBound": binomtest(failed, runs, alternative="greater").proportion_ci(0.95, "exact").low,
    }


def fisher(first, second):
    table = [[second[0], second[1] - second[0]], [first[0], first[1] - first[0]]]
    return {
        "first": first, "second": second,
        "twoSided": fisher_exact(table).pvalue,
        "lower": fisher_exact(table, alternative="less").pvalue,
        "higher": fisher_exact(table, alternative="greater").pvalue,
    }


def power(first, second, runs):
    px, py = binom.pmf(range(runs + 1), runs, first), binom.pmf(range(runs + 1), runs, second)
    total = 0.0
    for x in range(runs + 1):
        for y in range(runs + 1):
            p = px[x] * py[y]
            if p > 1e-14 and fisher_exact([[x, runs - x], [y, runs - y]]).pvalue <= 0.05:
                total += p
    return {"first": first, "second": second, "runs": runs, "power": total}


print(json.dumps({
    "scipy": scipy.__version__,
    "clopperPearson": [bounds(*counts) for counts in COUNTS],
    "fisher": [fisher(*table) for table in TABLES],
    "runsNeeded": [{"rate": r, "confidence": c, "failures": k, "runs": needed(r, c, k)} for r, c, k in NEEDS],
    "power": [power(0.13, 0.0, 60), power(0.02, 0.3, 25), power(0.5, 0.3, 50), power(0.9, 0.6, 40)],
}, indent=1))

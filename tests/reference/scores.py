"""Reference numbers for statistics of scores: NumPy, SciPy and statsmodels.

    python scores.py > scores.json
"""

import itertools
import json
import sys

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

random = np.random.default_rng(4)
MASK = 2**64 - 1


def spread(z):
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def drawn(seed, i, n):
    """The `i`th number below `n` of a seed, from 1."""
    rotated = (seed << 32 | seed >> 32) & MASK
    golden = 0x9E3779B97F4A7C15
    return spread((rotated + i * golden + golden) & MASK) * n >> 64


def bootstrap(groups, resamples, confidence, seed):
    """The percentile interval of the mean, groups drawn together."""
    numbers = itertools.count(1)
    means = []
    for _ in range(resamples):
        sample = [groups[drawn(seed, next(numbers), len(groups))] for _ in groups]
        means.append(np.concatenate(sample).mean())
    tail = 50 * (1 - confidence)
    return np.percentile(means, [tail, 100 - tail]).tolist()


def describe(values):
    return {
        "mean": np.mean(values),
        "sd": np.std(values, ddof=1),
        "quantiles": np.quantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist(),
    }


def signed_ranks(differences):
    nonzero = differences[differences != 0]
    ties = len(np.unique(np.abs(nonzero))) < len(nonzero)
    if len(nonzero) > 50:
        method = "approx"
    elif ties and len(nonzero) <= 13:
        # All sign flips, counted.
        method = stats.PermutationMethod(n_resamples=np.inf)
    elif ties:
        return None
    else:
        method = "exact"
    result = stats.wilcoxon(nonzero, method=method)
    ranks = stats.rankdata(np.abs(nonzero))
    biserial = (ranks[nonzero > 0].sum() - ranks[nonzero < 0].sum()) / ranks.sum()
    return {"p": float(result.pvalue), "rank_biserial": float(biserial)}


def flips(differences):
    if not 1 < len(differences) <= 16:
        return None
    result = stats.permutation_test(
        (differences, np.zeros(len(differences))),
        lambda a, b, axis: (a - b).mean(axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    return float(result.pvalue)


def main():
    report = {"described": [], "bootstrap": [], "paired": [], "holm": []}
    for n in (2, 3, 10, 37):
        values = random.beta(5, 2, n)
        report["described"].append({"values": values.tolist(), **describe(values)})
    for sizes, seed in (([1] * 12, 1), ([1, 3, 2, 1, 1, 4], 77)):
        groups = [random.beta(5, 2, n) for n in sizes]
        report["bootstrap"].append(
            {
                "groups": [g.tolist() for g in groups],
                "seed": seed,
                "interval": bootstrap(groups, 2000, 0.9, seed),
                # Not the same draws, but many: agrees to what chance leaves.
                "scipy": list(
                    stats.bootstrap(
                        (np.concatenate(groups),),
                        np.mean,
                        n_resamples=200_000,
                        confidence_level=0.9,
                        method="percentile",
                        rng=random,
                    ).confidence_interval
                )
                if max(sizes) == 1
                else None,
            }
        )
    samples = [random.normal(0.02, 0.05, n) for n in (1, 2, 5, 12, 16, 30, 50, 51, 200)]
    # Ties and zeros.
    samples += [np.round(random.normal(0.5, 2, n)) / 100 for n in (8, 12, 60, 300)]
    samples += [np.round(random.normal(0.5, 2, 9))]
    for differences in samples:
        n = len(differences)
        described = {"mean": differences.mean(), "median": np.median(differences)}
        described["d"] = differences.mean() / differences.std(ddof=1) if n > 1 else None
        report["paired"].append(
            {
                "differences": differences.tolist(),
                **described,
                "wilcoxon": signed_ranks(differences),
                "permutation": flips(differences),
            }
        )
    for p in ([0.01, 0.04, 0.03, 0.005], [0.5, 0.9], [0.02], [0.01, 0.01, 0.2, 0.9, 0.04]):
        report["holm"].append({"p": p, "corrected": multipletests(p, method="holm")[1].tolist()})
    json.dump(report, sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()

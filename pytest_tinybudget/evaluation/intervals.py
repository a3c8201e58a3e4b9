"""95 % confidence intervals of the figures that are computed from samples."""

from __future__ import annotations

from math import sqrt


#: The 97.5 % quantile of the normal distribution.
_Z = 1.959963984540054

#: Lower and upper end of an interval.
Interval = tuple[float, float]


def of_share(hits: int, count: int) -> Interval:
    """Wilson's score interval of a proportion (E. B. Wilson, JASA 22, 1927)."""
    share, spread = hits / count, _Z**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = _Z * sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def of_paired_difference(lost: int, won: int, count: int) -> Interval:
    """Interval of (lost - won) / count on paired samples (Agresti and Min, Stat. Med. 24, 2005).

    ``lost`` is how many only the first model has right, ``won`` how many only the second.
    """
    lost_, won_, count_ = lost + 0.5, won + 0.5, count + 2.0
    difference = (lost_ - won_) / count_
    half = _Z * sqrt(lost_ + won_ - (lost_ - won_) ** 2 / count_) / count_
    return max(-1.0, difference - half), min(1.0, difference + half)


def of_mean(mean: float, deviation: float, count: int) -> Interval:
    """Interval of a mean error, from the standard ``deviation``; its lower end is 0 at least."""
    half = _Z * deviation / sqrt(count)
    return max(0.0, mean - half), mean + half


def of_auc(auc: float, positives: int, negatives: int) -> Interval:
    """Interval of the area under a ROC curve (Hanley and McNeil, Radiology 143, 1982)."""
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (
        auc * (1 - auc) + (positives - 1) * (one - auc**2) + (negatives - 1) * (two - auc**2)
    ) / (positives * negatives)
    half = _Z * sqrt(max(0.0, variance))
    return max(0.0, auc - half), min(1.0, auc + half)

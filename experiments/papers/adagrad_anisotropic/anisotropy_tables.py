"""Tables of the study `anisotropy`: sigma where no run is needed for it, anisotropy, coefficients of the bounds."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from experiments.theory import bounds

if TYPE_CHECKING:
    import pandas

MAIN = "adagrad path"  # where sigma is taken first: the theorem is about AdaGrad and wants a supremum
FIXED = ("at w_0", "at w*", "everywhere")
ALL, EVERY_L2 = "all", "with every l2"  # choices of the sets


def choices(
    sets: Sequence[str], others: Mapping[str, Sequence[str]], with_every_l2: Sequence[str] = ()
) -> "pandas.DataFrame":
    """Which real sets count, by choice: all of them first, last those with paths for every l2 (if only some have)."""
    import pandas as pd

    named = {ALL: sets, **others, EVERY_L2: with_every_l2}
    rows = [(choice, name) for choice, names in named.items() for name in names]
    return pd.DataFrame(rows, columns=["choice", "set"])


def fixed_noise(constants: "pandas.DataFrame") -> "pandas.DataFrame":
    """At points that no run is needed for, sigma as rows of `noise` (without a seed)."""
    import pandas as pd

    rows = [
        {
            **{k: row[k] for k in ("set", "kind", "l2")},
            "where": where,
            "sigma_1": row[f"sigma_1 {where}"],
            "sigma_2": row[f"sigma_2 {where}"],
        }
        for row in constants.to_dict(orient="records")
        for where in FIXED
    ]
    return pd.DataFrame(rows)


def add_ratios(constants: "pandas.DataFrame", noise: "pandas.DataFrame") -> None:
    """Columns with the anisotropy of L and of sigma."""
    columns = {"anisotropy": constants.L_inf, "anisotropy, lambda_max": constants.lambda_max}
    for name, constant in columns.items():
        of_set = zip(constants.d, constant, constants.L_1, strict=True)
        constants[name] = [bounds.smoothness_anisotropy(*row) for row in of_set]
    dimension = noise["set"].map(dict(zip(constants["set"], constants.d, strict=True)))
    of_row = zip(dimension, noise.sigma_2, noise.sigma_1, strict=True)
    noise["anisotropy"] = [bounds.noise_anisotropy(*row) for row in of_row]


def coefficients(constants: "pandas.DataFrame", noise: "pandas.DataFrame") -> "pandas.DataFrame":
    """One row for each set, l2, place of sigma and domain: the comparator w*, or the box of side 2 max_j |w*_j|.

    Columns: the four coefficients (L smallest certified; of seeds the mean), R_b (also with lambda_max) and R_n.
    """
    import pandas as pd

    rows = []
    norms = noise.groupby(["set", "l2", "where"], sort=False)[["sigma_1", "sigma_2"]].mean().sort_index()
    for about in constants.to_dict(orient="records"):
        domains = {
            "comparator": bounds.Domain(about["D_inf"], about["D_2"]),
            "box": bounds.box(about["d"], 2 * about["D_inf"]),
        }
        for where, (total, length) in norms.loc[(about["set"], about["l2"])].iterrows():
            for name, domain in domains.items():
                found = bounds.coefficients(about["L_1"], about["L_inf"], total, length, domain)
                other = bounds.coefficients(about["L_1"], about["lambda_max"], total, length, domain)
                rows.append(
                    {
                        **{k: about[k] for k in ("set", "kind", "l2", "comparator")},
                        "domain": name,
                        "sigma": where,
                        "L_1 D_inf^2": found.adagrad_bias,
                        "L_inf D_2^2": found.sgd_bias,
                        "lambda_max D_2^2": other.sgd_bias,
                        "sigma_1 D_inf": found.adagrad_noise,
                        "sigma_2 D_2": found.sgd_noise,
                        "R_b": found.bias_ratio,
                        "R_b, lambda_max": other.bias_ratio,
                        "R_n": found.noise_ratio,
                    }
                )
    return pd.DataFrame(rows)
